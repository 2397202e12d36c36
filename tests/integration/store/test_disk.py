"""The store on disk, over restarts: what it keeps, what it counts, and whom it lets in."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tracemalloc
from contextlib import suppress
from pathlib import Path

import pytest

from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import NotFound, StoreBusy, StoreCorrupt, StoreError, StoreNewer
from edgecache.model.have import HaveSet
from edgecache.store.disk import DiskStore
from tests.conformance.sample import Sample
from tests.integration.store.conftest import Opener

MIB = 1024 * 1024
ODD = 3 * CHUNK_BYTES + 1000


def open_paths() -> list[Path]:
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the listing itself is gone by now
            found.append(descriptor.readlink())
    return found


def test_everything_survives_a_clean_restart(opened: Opener) -> None:
    put, partial, begun = Sample(ODD, 1), Sample(ODD, 2), Sample(ODD, 3)
    store = opened(wall=lambda: 1000.5)
    put.put(store, name="firmware.img", pin=True)
    partial.fetch(store, [0, 3])
    store.set_wanted(partial.blob, True)
    store.begin(begun.blob, begun.root, pin=True)
    store.meta_set("peers", b"[1]")
    assert store.next_epoch() == 1
    before = store.blobs()
    store.close()

    store = opened()
    assert sorted(store.blobs(), key=lambda one: one.info.blob) == sorted(before, key=lambda one: one.info.blob)
    assert store.blob(put.blob).added == 1000.5
    assert put.read_all(store) == put.content
    assert [store.read(partial.blob, index) for index in (0, 3)] == [partial.chunk(0), partial.chunk(3)]
    assert store.usage().used == 3 * ODD
    assert store.meta_get("peers") == b"[1]"
    assert store.next_epoch() == 2
    assert store.recovered.chunks == 0


def test_chunks_that_were_not_flushed_are_found_by_their_digests(opened: Opener, tmp_path: Path) -> None:
    sample = Sample(8 * CHUNK_BYTES)
    store = opened()
    sample.fetch(store, [1, 4])
    store.flush()
    for index in (0, 7):
        store.put_chunk(sample.blob, index, sample.chunk(index))
    shutil.copytree(tmp_path / "store", tmp_path / "killed")  # as the kernel keeps it after kill -9
    after = opened(tmp_path / "killed")
    assert after.blob(sample.blob).have == HaveSet.of([0, 1, 4, 7])
    assert after.recovered.chunks == 2
    assert after.read(sample.blob, 7) == sample.chunk(7)


def test_one_process_owns_a_directory(opened: Opener, tmp_path: Path) -> None:
    store = opened()
    with pytest.raises(StoreBusy, match=f"process {os.getpid()}"):
        opened()
    script = f"""
from pathlib import Path
from edgecache.store.disk import DiskStore
DiskStore(Path({str(tmp_path / "store")!r}), cap=0, reserve=0)
"""
    command = [sys.executable, "-c", script]
    other = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert "StoreBusy" in other.stderr
    assert f"process {os.getpid()}" in other.stderr
    store.close()
    opened().close()


def test_a_newer_index_is_refused_and_not_touched(opened: Opener, tmp_path: Path) -> None:
    sample = Sample(ODD)
    store = opened()
    sample.put(store)
    store.close()
    index = tmp_path / "store/index.sqlite3"
    with sqlite3.connect(index) as db:
        db.execute("PRAGMA user_version = 999")
    db.close()
    before = index.read_bytes()
    for _ in range(2):
        with pytest.raises(StoreNewer, match="999"):
            opened()
    assert index.read_bytes() == before


def test_an_index_that_vanished_is_no_reason_to_remove_blobs(opened: Opener, tmp_path: Path) -> None:
    sample = Sample(ODD)
    store = opened()
    sample.put(store)
    store.close()
    (tmp_path / "store/index.sqlite3").unlink()
    for _ in range(2):
        with pytest.raises(StoreCorrupt):
            opened()
    assert (tmp_path / f"store/blobs/{sample.blob}.data").read_bytes() == sample.content


def damage(good: bytes, chooser: random.Random) -> bytes:
    """Some bits flipped, but not in the version, which would look newer."""
    damaged = bytearray(good)
    for at in chooser.sample(range(len(good)), 30):
        if not 60 <= at < 64:
            damaged[at] ^= 1 << chooser.randrange(8)
    return bytes(damaged)


@pytest.mark.parametrize("turns", [60, pytest.param(5000, marks=pytest.mark.slow)])
def test_a_damaged_index_is_reported_as_such_and_costs_no_file(opened: Opener, tmp_path: Path, turns: int) -> None:
    samples = [Sample(5000, seed) for seed in range(40)]
    store = opened()
    for sample in samples:
        sample.put(store)
    store.close()
    index = tmp_path / "store/index.sqlite3"
    good = index.read_bytes()
    chooser = random.Random(1)
    refused = 0
    for _ in range(turns):
        index.write_bytes(damage(good, chooser))
        try:
            store = opened()
            for sample in samples:
                assert sample.read_all(store) == sample.content
        except (StoreCorrupt, NotFound) as error:
            refused += isinstance(error, StoreCorrupt)
        with suppress(StoreError):
            store.close()
        assert len(list((tmp_path / "store/blobs").iterdir())) == len(samples)
    assert refused > turns / 4


def test_only_our_own_leftovers_are_removed(opened: Opener, tmp_path: Path) -> None:
    root, sample = tmp_path / "store", Sample(ODD)
    store = opened()
    sample.put(store)
    store.close()
    orphan = root / f"blobs/{Sample(1).blob}.data"
    ours = [root / "drafts/7.draft", orphan]
    foreign = [root / "blobs/notes.txt", root / "drafts/README", root / "blobs/b.data", root / "mine"]
    for path in ours + foreign:
        path.write_bytes(b"x")
    store = opened()
    assert set(store.recovered.removed) == {path.name for path in ours}
    assert not any(path.exists() for path in ours)
    assert all(path.exists() for path in foreign)
    assert sample.read_all(store) == sample.content


def test_files_are_for_their_owner_only(opened: Opener, tmp_path: Path) -> None:
    Sample(ODD).put(opened())
    assert (tmp_path / "store").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("chunks", [64 * 4, pytest.param(512 * 4, marks=pytest.mark.slow)])
def test_a_get_writes_little_more_than_the_blob_and_seldom_syncs(opened: Opener, chunks: int) -> None:
    sample = Sample(chunks * CHUNK_BYTES)
    store = opened()
    store.next_epoch()
    before = store.usage()
    sample.begin(store)
    store.set_wanted(sample.blob, True)
    order = list(range(chunks))
    random.Random(3).shuffle(order)
    for index in order:
        store.put_chunk(sample.blob, index, sample.chunk(index))
    store.complete(sample.blob)
    store.set_wanted(sample.blob, False)
    after = store.usage()
    assert after.written - before.written <= 1.01 * sample.info.size
    assert after.fsyncs - before.fsyncs <= sample.info.size / (8 * MIB)


@pytest.mark.parametrize("size", [64 * MIB, pytest.param(2048 * MIB, marks=pytest.mark.slow)])
def test_a_put_needs_little_memory(opened: Opener, size: int) -> None:
    store = opened()
    piece = random.Random(5).randbytes(MIB)
    tracemalloc.start()
    try:
        draft = store.draft()
        for _ in range(size // MIB):
            draft.write(piece)
        shown = draft.commit(name="big", pin=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert shown.info.size == size
    assert peak < 2 * MIB
    assert store.read(shown.info.blob, 5) == piece[MIB // 4 : MIB // 2]


def test_open_files_are_bounded(opened: Opener, tmp_path: Path) -> None:
    samples = [Sample(100, seed) for seed in range(40)]
    store = opened(open_files=5)
    for sample in samples:
        sample.fetch(store)
    store.flush()
    for sample in samples:
        assert sample.read_all(store) == sample.content
    assert sum(path.suffix == ".data" and path.is_relative_to(tmp_path) for path in open_paths()) == 5


def test_a_closed_store_leaves_no_file_open(opened: Opener, tmp_path: Path) -> None:
    store = opened()
    Sample(ODD).fetch(store)
    Sample(ODD, 1).put(store)
    store.close()
    assert not [path for path in open_paths() if path.is_relative_to(tmp_path)]


def test_a_store_that_cannot_open_lets_go_of_the_directory(tmp_path: Path) -> None:
    root = tmp_path / "store"
    root.mkdir()
    (root / "index.sqlite3").write_bytes(b"no database at all" * 1000)
    for _ in range(2):
        with pytest.raises(StoreCorrupt) as caught:
            DiskStore(root, cap=0, reserve=0)
        assert str(root) in caught.value.hint
    assert (root / "index.sqlite3").read_bytes() == b"no database at all" * 1000
