"""The virtual disk."""

from __future__ import annotations

import pytest

from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import NotFound, StoreFull
from edgecache.model.ids import parse_blob_id
from edgecache.sim.disk import VirtualDisk, virtual_blob

INFO = virtual_blob("firmware", 3 * CHUNK_BYTES + 7)


def test_a_virtual_blob_has_a_real_name_that_depends_on_its_bytes() -> None:
    assert parse_blob_id(INFO.blob) == INFO.blob
    assert virtual_blob("firmware", INFO.size) == INFO
    assert virtual_blob("firmware", INFO.size + 1).blob != INFO.blob


def test_chunks_are_counted_by_their_bytes() -> None:
    disk = VirtualDisk(10 * CHUNK_BYTES)
    disk.begin(INFO)
    assert disk.put_chunk(INFO.blob, 3) == 7
    assert disk.put_chunk(INFO.blob, 0) == CHUNK_BYTES
    assert disk.put_chunk(INFO.blob, 0) == CHUNK_BYTES
    assert disk.used == disk.written == CHUNK_BYTES + 7
    disk.remove(INFO.blob)
    assert disk.used == 0
    disk.remove(INFO.blob)


def test_the_capacity_is_not_crossed() -> None:
    disk = VirtualDisk(CHUNK_BYTES)
    with pytest.raises(StoreFull):
        disk.put(INFO, pinned=False)
    disk.begin(INFO)
    disk.put_chunk(INFO.blob, 0)
    with pytest.raises(StoreFull):
        disk.put_chunk(INFO.blob, 1)


def test_a_blob_is_complete_when_all_of_it_is_here() -> None:
    disk = VirtualDisk(10 * CHUNK_BYTES)
    disk.begin(INFO)
    for index in range(3):
        disk.put_chunk(INFO.blob, index)
    with pytest.raises(NotFound):
        disk.complete(INFO.blob)
    disk.put_chunk(INFO.blob, 3)
    disk.complete(INFO.blob)
    held = disk.get(INFO.blob)
    assert held is not None
    assert held.complete
    disk.remove(INFO.blob)
    assert disk.put(INFO, pinned=True).complete


def test_nothing_is_stored_of_a_blob_that_was_not_begun() -> None:
    disk = VirtualDisk(CHUNK_BYTES)
    with pytest.raises(NotFound):
        disk.put_chunk(INFO.blob, 0)
    with pytest.raises(NotFound):
        disk.put_page(INFO.blob, 0)
