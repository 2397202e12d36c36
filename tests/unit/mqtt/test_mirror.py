"""The outbox in which the newest message of a topic wins, and the claim that says who bridges."""

from __future__ import annotations

import pytest

from edgecache.adapters.mqtt.claim import BridgeClaim, parse_claim
from edgecache.adapters.mqtt.mirror import Mirror, Rank
from edgecache.model.ids import node_id_from_bytes

ONE, TWO = node_id_from_bytes(b"1" * 16), node_id_from_bytes(b"2" * 16)


def drain(mirror: Mirror, *, acknowledge: bool = True, first_mid: int = 1) -> list[tuple[str, bytes]]:
    out = []
    mid = first_mid
    while (message := mirror.take()) is not None:
        mirror.sent(mid, *message)
        out.append(message)
        if acknowledge:
            mirror.acknowledged(mid)
        mid += 1
    return out


def test_the_newest_wins_and_order_is_by_rank() -> None:
    mirror = Mirror()
    mirror.set("state", "1", Rank.STATE)
    mirror.set("config", "c", Rank.CONFIG)
    mirror.set("state", "2", Rank.STATE)
    mirror.set("term", "t", Rank.BRIDGE)
    assert drain(mirror) == [("term", b"t"), ("config", b"c"), ("state", b"2")]
    assert mirror.settled


def test_the_same_value_is_published_again_when_it_is_told_again() -> None:
    mirror = Mirror()
    for _ in range(2):
        mirror.set("state", "1", Rank.STATE)
        assert drain(mirror) == [("state", b"1")]


def test_the_window_holds_back_until_acknowledged() -> None:
    mirror = Mirror(window=2)
    for n in range(5):
        mirror.set(f"t{n}", "x", Rank.STATE)
    assert len(drain(mirror, acknowledge=False)) == 2
    assert mirror.waiting == 5
    mirror.acknowledged(1)
    assert mirror.take() == ("t2", b"x")


def test_after_a_lost_connection_everything_goes_out_again() -> None:
    mirror = Mirror(window=2)
    for n in range(3):
        mirror.set(f"t{n}", "x", Rank.STATE)
    drain(mirror, acknowledge=False)
    mirror.mark_all()
    assert sorted(drain(mirror)) == [("t0", b"x"), ("t1", b"x"), ("t2", b"x")]


def test_a_removed_topic_is_forgotten_when_the_broker_has_forgotten_it() -> None:
    mirror = Mirror()
    mirror.set("a", "x", Rank.CONFIG)
    drain(mirror)
    mirror.clear("a", Rank.CONFIG)
    assert mirror.get("a") is None
    assert mirror.take() == ("a", b"")
    mirror.sent(9, "a", b"")
    assert mirror.acknowledged(9) == "a"
    assert len(mirror) == 0


def test_what_is_set_again_while_its_removal_is_under_way_stays() -> None:
    mirror = Mirror()
    mirror.clear("a", Rank.CONFIG)
    assert mirror.take() == ("a", b"")
    mirror.sent(1, "a", b"")
    mirror.set("a", "new", Rank.CONFIG)
    assert mirror.acknowledged(1) is None
    assert drain(mirror, first_mid=2) == [("a", b"new")]


def test_the_number_of_topics_is_bounded() -> None:
    mirror = Mirror(topics_max=2)
    assert [mirror.set(f"t{n}", "x", Rank.STATE) for n in range(3)] == [True, True, False]
    assert mirror.set("t0", "y", Rank.STATE)


def test_unknown_acknowledgements_are_harmless() -> None:
    assert Mirror().acknowledged(77) is None


def test_claims_travel_and_outrank() -> None:
    mine = BridgeClaim(5, ONE)
    assert parse_claim(mine.encode().encode()) == mine
    assert BridgeClaim(6, TWO).outranks(mine)
    assert BridgeClaim(5, TWO).outranks(mine), "of two with one term the broker has chosen the last"
    assert not BridgeClaim(4, TWO).outranks(mine)
    assert not BridgeClaim(6, ONE).outranks(mine)


@pytest.mark.parametrize(
    "payload",
    [b"", b"5", b"[]", b"{}", b"\xff", b'{"term": "5", "node": "n"}', b'{"term": true, "node": "%s"}' % ONE.encode(),
     b'{"term": -1, "node": "%s"}' % ONE.encode(), b'{"term": 1e300, "node": "%s"}' % ONE.encode(),
     b'{"term": 9007199254740992, "node": "%s"}' % ONE.encode(), b"[" * 400, b" " * 600],
)  # fmt: skip
def test_what_is_no_claim_is_none(payload: bytes) -> None:
    assert parse_claim(payload) is None
