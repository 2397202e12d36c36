"""Whose word is taken, and who is blamed."""

from __future__ import annotations

from dataclasses import replace

from edgecache.core import vocabulary as v
from edgecache.daemon.scrutiny import VERIFY_BURST, VERIFY_RATE, Scrutiny
from edgecache.model.ids import Digest, NodeId
from edgecache.wire.messages import StateDigest, StatePrune, StatePush
from tests.unit.daemon.stubs import node

RELAY, OWNER = node(1), node(2)
PUSH = StatePush(OWNER, 1, 0, 3, (), Digest(b"h" * 32), b"good", b"certificate")
DELTA = replace(PUSH, since=2, certificate=b"")


class Notary:
    """ports.Signer for which the signature says what it is."""

    node, certificate = node(100), b"ours"

    def __init__(self) -> None:
        self.checked = 0

    def sign_head(self, epoch: int, version: int, map_hash: Digest) -> bytes:
        return b"good"

    def knows(self, owner: NodeId) -> bool:
        return owner == node(3)

    def verify_push(self, push: StatePush) -> bool:
        self.checked += 1
        return push.signature == b"good"

    def outdated(self, push: StatePush) -> bool:
        return push.signature == b"good once"


def test_what_is_signed_by_its_owner_goes_to_the_core() -> None:
    assert Scrutiny(Notary()).of(RELAY, PUSH, 0.0) == v.MessageReceived(RELAY, PUSH)
    known = replace(DELTA, owner=node(3))
    assert Scrutiny(Notary()).of(RELAY, known, 0.0) == v.MessageReceived(RELAY, known)


def test_other_messages_need_no_signature() -> None:
    assert Scrutiny(Notary()).of(RELAY, StatePrune(), 0.0) == v.MessageReceived(RELAY, StatePrune())


def test_news_of_an_unknown_owner_are_an_announcement() -> None:
    notary = Notary()
    assert Scrutiny(notary).of(RELAY, DELTA, 0.0) == v.MessageReceived(RELAY, StateDigest((DELTA.head,)))
    assert not notary.checked


def test_whoever_relays_a_forgery_is_blamed() -> None:
    event = Scrutiny(Notary()).of(RELAY, replace(PUSH, signature=b"bad"), 0.0)
    assert isinstance(event, v.Misbehaved)
    assert event.peer == RELAY


def test_nobody_is_blamed_for_a_certificate_that_has_expired() -> None:
    assert Scrutiny(Notary()).of(RELAY, replace(PUSH, signature=b"good once"), 0.0) is None


def test_a_peer_cannot_keep_us_verifying() -> None:
    notary = Notary()
    scrutiny = Scrutiny(notary)
    told = [scrutiny.of(RELAY, replace(PUSH, version=n), 0.0) for n in range(int(2 * VERIFY_BURST))]
    assert notary.checked <= VERIFY_BURST + 1
    assert told[-1] == v.MessageReceived(RELAY, StateDigest((replace(PUSH, version=len(told) - 1).head,)))
    assert scrutiny.of(OWNER, PUSH, 0.0) == v.MessageReceived(OWNER, PUSH), "others are not affected"
    before = notary.checked
    for _ in range(int(2 * VERIFY_BURST)):
        scrutiny.of(RELAY, PUSH, 1.0)
    assert notary.checked - before <= VERIFY_RATE + 1
