"""Readings as values of the replicated map."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest

from edgecache.model.errors import LocalProtocolError, MalformedMessage
from edgecache.model.instant import WallTime
from edgecache.model.reading import Failure, Observation, OwnerClock, Reading, Stamp, Value
from edgecache.wire.limits import READING_BYTES_MAX, VALUE_BYTES_MAX
from edgecache.wire.reading import decode_value, encode_value, entry_key, series_of

WALL = WallTime(1_760_000_000.25)
GOOD: dict[int, Any] = {1: 21.5, 2: "Cel", 4: 3, 5: 7000}


def test_keys_hold_the_series() -> None:
    assert entry_key("w1/28-00:temp") == "r/w1/28-00:temp"
    assert series_of("r/w1/28-00:temp") == "w1/28-00:temp"
    assert series_of("n/mqtt") is None


@pytest.mark.parametrize("value", [21.5, -3, 0, True, False, "open", "", 2**63 - 1, -(2**63) + 1, 1e300])
def test_a_reading_arrives_as_it_was(value: Value) -> None:
    sent = Reading("temp", value, "Cel", 12.345, WALL)
    posted = decode_value("temp", encode_value(sent, 7))
    assert posted.stamp == Stamp(7, 12345, WALL)
    arrived = posted.observed(99.0)
    assert arrived == Reading("temp", value, "Cel", 99.0, WALL)
    assert isinstance(arrived, Reading)
    assert type(arrived.value) is type(value)


def test_a_failure_arrives_as_one_printable_line() -> None:
    sent = Failure("temp", "no such file:\n\x1b[31m" + "é" * 300, 1.0)
    posted = decode_value("temp", encode_value(sent, 7))
    arrived = posted.seen_with(OwnerClock.first(posted.stamp, 50.0))
    assert isinstance(arrived, Failure)
    assert arrived.taken == 50.0
    assert str(arrived).startswith("source failed: no such file:  [31mé")
    assert arrived.reason.isprintable()
    assert len(arrived.reason.encode()) <= 256


def test_a_clock_that_says_1970_is_not_passed_on() -> None:
    assert decode_value("t", encode_value(Reading("t", 1, "", 5.0, WallTime(1000.0)), 1)).stamp.wall is None


def test_a_reading_is_small() -> None:
    assert len(encode_value(Reading("temp", 21.5, "Cel", 86_400.0), 12)) <= 20
    text = Reading("temp", "é" * 128, "x" * 16, 1e9, WALL)
    assert len(encode_value(text, 2**63 - 1)) <= READING_BYTES_MAX <= VALUE_BYTES_MAX


@pytest.mark.parametrize(
    "wrong",
    [
        Reading("t", float("nan"), "", 1.0),
        Reading("t", float("inf"), "", 1.0),
        Reading("t", 2**63, "", 1.0),
        Reading("t", "x" * 257, "", 1.0),
        Reading("t", "a\nb", "", 1.0),
        Reading("t", 1, "deg C", 1.0),
        Reading("t", 1, "x" * 17, 1.0),
    ],
    ids=repr,
)
def test_what_cannot_be_read_is_not_sent(wrong: Observation) -> None:
    with pytest.raises(LocalProtocolError):
        encode_value(wrong, 1)


@pytest.mark.parametrize(
    "change",
    [
        {1: None},
        {1: float("nan")},
        {1: [1]},
        {1: b"x"},
        {1: "x" * 257},
        {2: 5},
        {2: "deg C"},
        {4: -1},
        {4: True},
        {5: 1.5},
        {6: "now"},
        {3: "both a value and a failure"},
        {7: "critical"},
        {8: b"x" * 600},
    ],
    ids=repr,
)
def test_other_values_are_refused(change: dict[int, object]) -> None:
    assert decode_value("t", cbor2.dumps(GOOD)).value == 21.5
    changed = GOOD | change
    with pytest.raises(MalformedMessage):
        decode_value("t", cbor2.dumps({key: changed[key] for key in sorted(changed)}))


@pytest.mark.parametrize("missing", [1, 4, 5])
def test_what_must_be_there_is_missed(missing: int) -> None:
    with pytest.raises(MalformedMessage):
        decode_value("t", cbor2.dumps({key: value for key, value in GOOD.items() if key != missing}))


def test_later_keys_are_ignored() -> None:
    assert decode_value("t", cbor2.dumps(GOOD | {8: "later"})) == decode_value("t", cbor2.dumps(GOOD))
