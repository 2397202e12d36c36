"""Node facts: small, strict, and open to keys of later versions."""

from __future__ import annotations

from random import Random

import cbor2
import pytest

from edgecache.model.errors import LocalProtocolError, MalformedMessage
from edgecache.wire.facts import (
    CAPACITY_MAX,
    TERM_MAX,
    BridgeFact,
    decode_bridge,
    decode_capacity,
    encode_bridge,
    encode_capacity,
)


@pytest.mark.parametrize("fact", [BridgeFact(0, False), BridgeFact(7, True), BridgeFact(TERM_MAX, True)])
def test_bridge_facts_survive(fact: BridgeFact) -> None:
    assert decode_bridge(encode_bridge(fact)) == fact


def test_the_form_is_pinned() -> None:
    assert encode_bridge(BridgeFact(300, True)).hex() == "a20119012c02f5"
    assert encode_capacity(32).hex() == "a1011820"


@pytest.mark.parametrize("gib", [1, 32, CAPACITY_MAX])
def test_capacities_survive(gib: int) -> None:
    assert decode_capacity(encode_capacity(gib)) == gib


def test_later_versions_may_say_more() -> None:
    assert decode_bridge(cbor2.dumps({1: 3, 2: True, 9: "later"})) == BridgeFact(3, True)
    assert decode_capacity(cbor2.dumps({1: 3, 2: [1, 2]})) == 3
    assert decode_capacity(cbor2.dumps({1: 0})) == 1


@pytest.mark.parametrize(
    "value",
    [
        {}, {1: 3}, {2: True}, {1: -1, 2: True}, {1: TERM_MAX + 1, 2: True}, {1: True, 2: True}, {1: 3, 2: 1},
        {1: 3.0, 2: True}, {1: "3", 2: True}, [3, True], 3, None, {1: 3, 2: True, 3: "x" * 300},
    ],
)  # fmt: skip
def test_what_is_no_bridge_fact_is_refused(value: object) -> None:
    with pytest.raises(MalformedMessage):
        decode_bridge(cbor2.dumps(value))


@pytest.mark.parametrize("value", [{}, {1: -1}, {1: CAPACITY_MAX + 1}, {1: "1"}, {1: False}, 7])
def test_what_is_no_capacity_is_refused(value: object) -> None:
    with pytest.raises(MalformedMessage):
        decode_capacity(cbor2.dumps(value))


def test_arbitrary_bytes_are_refused_and_nothing_else_happens() -> None:
    rng = Random(1)
    for length in range(300):
        for decode in (decode_bridge, decode_capacity):
            with pytest.raises(MalformedMessage):
                decode(b"\xff" + rng.randbytes(length))
            with pytest.raises(MalformedMessage):
                decode(encode_bridge(BridgeFact(1, True)) + rng.randbytes(length + 1))


def test_we_do_not_write_what_nobody_would_read() -> None:
    for term in (-1, TERM_MAX + 1):
        with pytest.raises(LocalProtocolError):
            encode_bridge(BridgeFact(term, True))
    for gib in (0, CAPACITY_MAX + 1):
        with pytest.raises(LocalProtocolError):
            encode_capacity(gib)
