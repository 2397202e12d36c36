"""Long blobs: what one chunk costs does not depend on how many there are."""

from __future__ import annotations

import sys
from types import FrameType

import pytest

from edgecache.model.content import CHUNK_BYTES
from tests.unit.core.swarm.desk import Desk
from tests.unit.core.swarm.world import blob_of

GIB = 1024**3


def calls_for_chunks(size: int, chunks: int) -> int:
    """Calls of Python functions while so many chunks of a blob of this size arrive."""
    info = blob_of(size)
    desk = Desk()
    desk.link(1, 2)
    desk.begin(info)
    desk.have(2, info, range(0, info.chunks, 2), wanting=True)
    count = 0

    def profile(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    sys.setprofile(profile)
    try:
        for _ in range(chunks):
            desk.store(desk.open[min(desk.open)], info)
    finally:
        sys.setprofile(None)
    return count


def test_a_chunk_of_a_long_blob_costs_as_much_as_one_of_a_short_one() -> None:
    short = calls_for_chunks(1024 * CHUNK_BYTES, 200)
    assert calls_for_chunks(4 * GIB, 200) <= 1.3 * short


@pytest.mark.parametrize("size", [4 * GIB, 4 * GIB - 1, 4 * GIB + 1])
def test_a_long_blob_is_fetched_page_by_page(size: int) -> None:
    info = blob_of(size)
    desk = Desk()
    desk.link(1)
    desk.begin(info)
    fetch = desk.swarm._state.fetching[info.blob].fetch
    assert fetch is not None
    assert fetch.picker is not None
    assert desk.swarm._state.blobs[info.blob].pages.bit_count() == info.pages == 16 + (size > 4 * GIB)
    assert fetch.picker.missing == (1 << info.chunks) - 1
    desk.store(desk.open[min(desk.open)], info)
    assert desk.swarm.fetches()[0].have == 1
