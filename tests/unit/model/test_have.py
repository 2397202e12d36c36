"""Have-sets at their corners; the algebra is in the property tests."""

from __future__ import annotations

import time

import pytest

from edgecache.model.have import HaveSet


def test_empty() -> None:
    assert HaveSet().runs() == []
    assert HaveSet.of([]) == HaveSet.from_runs([]) == HaveSet.full(0) == HaveSet()
    assert not HaveSet()
    assert repr(HaveSet.of([2, 3])) == "HaveSet(2:[2, 2])"


def test_runs_begin_with_what_is_absent() -> None:
    assert HaveSet.full(3).runs() == [0, 3]
    assert HaveSet.of([2, 5, 6]).runs() == [2, 1, 2, 2]
    assert HaveSet.from_runs([4]) == HaveSet()


def test_negative_indexes_are_refused() -> None:
    with pytest.raises(IndexError):
        HaveSet.of([3, -1])


def test_the_largest_blob_takes_no_square_of_time() -> None:
    """2**20 chunks, every other one here: a quadratic form of any of these takes minutes."""
    started = time.process_time()
    have = HaveSet(int.from_bytes(b"\x55" * 2**17, "little"))
    runs = have.runs()
    assert len(runs) == 2**20
    assert HaveSet.from_runs(runs) == have == HaveSet.of(have)
    assert time.process_time() - started < 5
