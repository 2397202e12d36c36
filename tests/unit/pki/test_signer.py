"""Signed heads: the owner's are believed, nobody else's, at the cost of one certificate check per owner."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from edgecache.adapters.pki.credentials import Credentials
from edgecache.adapters.pki.profile import to_der
from edgecache.adapters.pki.signer import OWNERS_MAX, NodeSigner
from edgecache.model.ids import Digest, NodeId
from edgecache.model.instant import WallTime
from edgecache.ports import Signer
from edgecache.wire.messages import StatePush
from tests.unit.pki.certificates import forged, key, member, mesh

ALICE = member("alice")
HASH = Digest(bytes(range(32)))


def pushed(owner: Credentials, *, version: int = 3, with_certificate: bool = True) -> StatePush:
    signature = NodeSigner(owner).sign_head(1, version, HASH)
    certificate = owner.certificate_der if with_certificate else b""
    return StatePush(owner.node, 1, 0, version, (), HASH, signature, certificate)


def bob() -> NodeSigner:
    return NodeSigner(member("bob"))


def test_it_is_a_signer() -> None:
    signer: Signer = NodeSigner(ALICE)
    assert (signer.node, signer.certificate) == (ALICE.node, ALICE.certificate_der)
    assert len(signer.sign_head(1, 1, HASH)) == 64


def test_an_owner_is_believed_with_its_certificate_and_from_then_on_without() -> None:
    signer = bob()
    assert not signer.verify_push(pushed(ALICE, with_certificate=False))
    assert signer.verify_push(pushed(ALICE))
    assert signer.verify_push(pushed(ALICE, version=4, with_certificate=False))
    assert not signer.verify_push(pushed(member("carol"), with_certificate=False))


PUSH = pushed(ALICE)


@pytest.mark.parametrize(
    "push",
    [
        replace(PUSH, version=4),
        replace(PUSH, epoch=2),
        replace(PUSH, epoch=-1),
        replace(PUSH, map_hash=Digest(bytes(32))),
        replace(PUSH, map_hash=Digest(b"")),
        replace(PUSH, owner=member("carol").node),
        replace(PUSH, owner=NodeId("nonsense")),
        replace(PUSH, signature=b""),
        replace(PUSH, signature=PUSH.signature[:-1] + bytes([PUSH.signature[-1] ^ 1])),
        replace(PUSH, certificate=member("carol").certificate_der),
        replace(PUSH, certificate=b"garbage"),
        replace(PUSH, certificate=member("alice", of="away").certificate_der),
        replace(
            PUSH,
            certificate=to_der(
                forged(
                    f"spiffe://{ALICE.mesh}/node/{ALICE.node}",
                    key("alice").public_key(),
                    key("mallory"),
                    mesh("home").certificate.subject,
                )
            ),
        ),
        replace(PUSH, certificate=to_der(mesh("home").certificate)),
    ],
)
def test_anything_else_is_not(push: StatePush) -> None:
    signer = bob()
    assert not signer.verify_push(push)
    assert signer.verify_push(PUSH)
    assert not signer.verify_push(push)


def test_a_member_cannot_speak_for_another() -> None:
    carol = member("carol")
    forgery = replace(PUSH, signature=NodeSigner(carol).sign_head(1, 3, HASH))
    assert not bob().verify_push(forgery)
    assert not bob().verify_push(replace(forgery, certificate=carol.certificate_der))


def test_an_expired_owner_is_refused_once_the_time_is_trusted() -> None:
    time: list[WallTime | None] = [None]
    signer = NodeSigner(member("bob"), lambda: time[0])
    push = pushed(member("alice", expires=datetime(2025, 1, 1, tzinfo=UTC)))
    assert signer.verify_push(push)
    time[0] = WallTime(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    assert not signer.verify_push(push)
    assert not signer.verify_push(replace(push, certificate=b""))
    assert signer.verify_push(pushed(ALICE))


def test_an_expired_certificate_is_told_from_a_forgery() -> None:
    """Relays whose clocks are not set pass such a push on in good faith."""
    time: list[WallTime | None] = [None]
    signer = NodeSigner(member("bob"), lambda: time[0])
    push = pushed(member("alice", expires=datetime(2025, 1, 1, tzinfo=UTC)))
    assert not signer.outdated(push), "as far as we know it is good"
    time[0] = WallTime(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    assert signer.outdated(push)
    assert not signer.outdated(replace(push, version=4))
    assert not signer.outdated(replace(push, signature=b""))
    assert not signer.outdated(pushed(ALICE))
    assert not signer.outdated(pushed(member("carol"), with_certificate=False))


def test_the_memory_for_owners_is_bounded_and_keeps_those_in_use() -> None:
    signer = bob()
    first, second = member("node 0"), member("node 1")
    assert signer.verify_push(pushed(first))
    assert signer.verify_push(pushed(second))
    for number in range(2, OWNERS_MAX):
        assert signer.verify_push(pushed(member(f"node {number}")))
    assert signer.verify_push(pushed(first, with_certificate=False))
    assert signer.verify_push(pushed(member("one more")))
    assert signer.verify_push(pushed(first, with_certificate=False))
    assert not signer.verify_push(pushed(second, with_certificate=False))
