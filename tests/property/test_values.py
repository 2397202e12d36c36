"""Have-sets behave as sets of numbers, ids as numbers in disguise."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from edgecache.model.errors import UsageError
from edgecache.model.have import HaveSet
from edgecache.model.ids import (
    blob_id_to_bytes,
    node_id_from_bytes,
    node_id_to_bytes,
    parse_blob_id,
    parse_blob_ref,
    parse_node_id,
)
from tests.property.arbitrary import blobs, have_sets

index_sets = st.sets(st.integers(0, 400), max_size=60)


@given(index_sets, index_sets)
def test_algebra_is_that_of_sets(one: set[int], other: set[int]) -> None:
    a, b = HaveSet.of(one), HaveSet.of(sorted(other))
    assert set(a | b) == one | other
    assert set(a & b) == one & other
    assert set(a - b) == one - other
    assert (len(a), bool(a)) == (len(one), bool(one))
    assert (a == b) == (one == other)
    assert hash(a) == hash(HaveSet.of(one))
    assert list(a) == sorted(one)
    assert all((index in a) == (index in one) for index in range(0, 410, 7))


@given(index_sets, st.integers(0, 400))
def test_one_index_in_and_out(indexes: set[int], index: int) -> None:
    have = HaveSet.of(indexes)
    assert set(have.with_index(index)) == indexes | {index}
    assert set(have.without(index)) == indexes - {index}
    assert set(have) == indexes, "have-sets do not change"


@given(index_sets, st.integers(0, 500))
def test_missing_is_the_rest(indexes: set[int], count: int) -> None:
    assert set(HaveSet.of(indexes).missing(count)) == set(range(count)) - indexes
    assert set(HaveSet.full(count)) == set(range(count))


@given(have_sets())
def test_runs_round_trip_in_one_form(have: HaveSet) -> None:
    runs = have.runs()
    assert HaveSet.from_runs(runs) == have
    assert len(runs) % 2 == 0
    assert all(run > 0 for run in runs[1:])
    assert sum(runs) == have.bits.bit_length()
    assert sum(runs[1::2]) == len(have)


@given(st.lists(st.integers(1, 30), max_size=9))
def test_any_runs_are_what_they_say(runs: list[int]) -> None:
    expected: list[int] = []
    at = 0
    for number, run in enumerate(runs):
        if number % 2:
            expected.extend(range(at, at + run))
        at += run
    assert list(HaveSet.from_runs(runs)) == expected


@given(st.binary(min_size=16, max_size=16))
def test_node_ids_round_trip(raw: bytes) -> None:
    node = node_id_from_bytes(raw)
    assert parse_node_id(node) == node
    assert node_id_to_bytes(node) == raw


@given(blobs, st.integers(8, 53))
def test_blob_ids_round_trip(blob: str, length: int) -> None:
    parsed = parse_blob_id(blob)
    assert len(blob_id_to_bytes(parsed)) == 33
    assert parse_blob_ref(blob[:length]).prefix == blob[:length]


@given(st.text(max_size=60) | st.text("abcdefghijklmnopqrstuvwxyz234567", min_size=26, max_size=54))
def test_parsers_refuse_or_give_back_the_text(text: str) -> None:
    for parse in (parse_node_id, parse_blob_id, parse_blob_ref):
        with suppress(UsageError):
            assert str(parse(text)) == text
