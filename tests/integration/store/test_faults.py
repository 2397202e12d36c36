"""Disks that fill up, fail, rot and lose files: the right error, nothing wrong served, and on it goes afterwards."""

from __future__ import annotations

import errno
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import StoreCorrupt, StoreError, StoreFull
from edgecache.model.have import HaveSet
from edgecache.ports import SmallBlob
from edgecache.store.disk import DiskStore
from edgecache.store.files import Files, store_error
from tests.conformance.sample import Sample
from tests.integration.store.conftest import Opener
from tests.lab.tools import lacking, require_tool

MIB = 1024 * 1024
ODD = 3 * CHUNK_BYTES + 1000


class FaultyFiles(Files):
    """Operations that can be made to fail, and a disk whose free space can be set."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.failing: dict[str, int] = {}
        """Error number by operation."""
        self.space: int | None = None

    def _fail(self, operation: str) -> None:
        if operation in self.failing:
            error = OSError(self.failing[operation], "as told")
            raise store_error(operation, error) from error

    def free(self) -> int:
        return super().free() if self.space is None else self.space

    def write_at(self, descriptor: int, data: bytes | bytearray | memoryview, offset: int) -> None:
        self._fail("write_at")
        super().write_at(descriptor, data, offset)

    def glance_at(self, descriptor: int, size: int, offset: int) -> memoryview:
        self._fail("glance_at")
        return super().glance_at(descriptor, size, offset)

    def sync(self, descriptor: int) -> None:
        self._fail("sync")
        super().sync(descriptor)

    def sync_directory(self, directory: Path) -> None:
        self._fail("sync_directory")
        super().sync_directory(directory)

    @contextmanager
    def one_sync(self) -> Iterator[None]:
        with super().one_sync():
            yield
            self._fail("one_sync")

    def rename(self, old: Path, new: Path) -> None:
        self._fail("rename")
        super().rename(old, new)


@pytest.fixture
def sample() -> Sample:
    return Sample(ODD)


@pytest.fixture
def files(tmp_path: Path) -> FaultyFiles:
    return FaultyFiles(tmp_path / "store")


def flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


# ---- rot


def test_a_chunk_that_has_changed_is_forgotten_and_can_be_had_again(
    opened: Opener, tmp_path: Path, sample: Sample
) -> None:
    store = opened()
    sample.put(store, pin=True)
    store.close()
    flip(tmp_path / f"store/blobs/{sample.blob}.data", CHUNK_BYTES + 77)

    store = opened()
    assert store.blob(sample.blob).complete
    with pytest.raises(StoreCorrupt):
        store.read(sample.blob, 1, 0, 10)
    shown = store.blob(sample.blob)
    assert (shown.have, shown.complete, shown.pinned) == (HaveSet.of([0, 2, 3]), False, True)
    store.close()

    store = opened()
    assert store.blob(sample.blob).have == HaveSet.of([0, 2, 3])
    assert not store.blob(sample.blob).complete
    store.put_chunk(sample.blob, 1, sample.chunk(1))
    store.complete(sample.blob)
    assert sample.read_all(store) == sample.content
    assert store.usage().used == ODD


def test_rot_of_what_was_there_before_the_start_is_found_before_the_blob_is_complete(
    opened: Opener, tmp_path: Path, sample: Sample
) -> None:
    store = opened()
    sample.fetch(store)
    store.close()
    store = opened()
    for index in (0, 2):
        flip(tmp_path / f"store/blobs/{sample.blob}.data", index * CHUNK_BYTES)
    with pytest.raises(StoreCorrupt):
        store.complete(sample.blob)
    assert store.blob(sample.blob).have == HaveSet.of([1, 3])
    sample.fetch(store, [0, 2])
    store.complete(sample.blob)


def test_a_chunk_that_the_disk_cannot_read_any_more_is_lost(
    opened: Opener, files: FaultyFiles, sample: Sample
) -> None:
    store = opened(files=files)
    sample.fetch(store)
    store.close()
    store = opened(files=files)
    files.failing["glance_at"] = errno.EIO
    with pytest.raises(StoreCorrupt, match="as told"):
        store.complete(sample.blob)
    files.failing.clear()
    assert not store.blob(sample.blob).have
    sample.fetch(store)
    store.complete(sample.blob)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, 2 * CHUNK_BYTES + 5, ODD - 1])
def test_a_file_cut_short_costs_what_was_behind_the_cut(
    opened: Opener, tmp_path: Path, sample: Sample, size: int
) -> None:
    store = opened()
    sample.put(store)
    store.close()
    with (tmp_path / f"store/blobs/{sample.blob}.data").open("r+b") as file:
        file.truncate(size)
    for _ in range(2):
        store = opened()
        assert store.blob(sample.blob).have == HaveSet.full(size // CHUNK_BYTES)
        assert not store.blob(sample.blob).complete
        store.close()
    store = opened()
    sample.fetch(store)
    store.complete(sample.blob)


def test_a_file_that_somebody_removed_costs_the_chunks(opened: Opener, tmp_path: Path) -> None:
    samples = [Sample(ODD, seed) for seed in range(3)]
    store = opened(open_files=0)
    samples[0].put(store)
    samples[1].fetch(store, [0, 1])
    samples[2].fetch(store)
    store.flush()
    for path in (tmp_path / "store/blobs").iterdir():
        path.unlink()
    for sample in samples[:2]:
        with pytest.raises(StoreCorrupt):
            store.read(sample.blob, 0)
    with pytest.raises(StoreCorrupt):
        store.complete(samples[2].blob)
    assert not store.blob(samples[2].blob).have
    store.close()
    store = opened()
    for sample in samples:
        assert not store.blob(sample.blob).have
        sample.fetch(store)
        store.complete(sample.blob)


# ---- failing operations


def test_a_failed_sync_loses_the_chunks_that_it_was_for(opened: Opener, files: FaultyFiles, sample: Sample) -> None:
    store = opened(files=files)
    sample.fetch(store, [0])
    store.flush()
    sample.fetch(store, [1, 2])
    for operation in ("sync", "sync_directory"):
        files.failing[operation] = errno.EIO
    with pytest.raises(StoreError):
        store.flush()
    assert store.blob(sample.blob).have == HaveSet.of([0])
    files.failing.clear()
    store.flush()
    sample.fetch(store)
    store.complete(sample.blob)
    assert sample.read_all(store) == sample.content


@pytest.mark.parametrize("operation", ["write_at", "sync", "sync_directory", "rename"])
@pytest.mark.parametrize("kind", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("partly_here", [False, True])
def test_a_put_that_fails_leaves_what_there_was(
    opened: Opener, files: FaultyFiles, tmp_path: Path, sample: Sample, operation: str, kind: int, partly_here: bool
) -> None:
    store = opened(files=files)
    if partly_here:
        sample.fetch(store, [1])
        store.flush()
    before = store.usage().used
    files.failing[operation] = kind
    with pytest.raises(StoreFull if kind == errno.ENOSPC else StoreError):
        sample.put(store)
    files.failing.clear()
    assert store.usage().used == before
    assert not list((tmp_path / "store/drafts").iterdir())
    assert [shown.have for shown in store.blobs()] == [HaveSet.of([1])] * partly_here
    assert not partly_here or store.read(sample.blob, 1) == sample.chunk(1)
    store.close()

    store = opened()
    assert [HaveSet.of([1]) - shown.have for shown in store.blobs()] == [HaveSet()] * partly_here
    sample.put(store)
    assert sample.read_all(store) == sample.content
    assert store.usage().used == ODD


@pytest.mark.parametrize("operation", ["write_at", "one_sync", "sync_directory", "rename"])
@pytest.mark.parametrize("kind", [errno.EIO, errno.ENOSPC])
def test_a_batch_that_fails_leaves_what_there_was(
    opened: Opener, files: FaultyFiles, tmp_path: Path, operation: str, kind: int
) -> None:
    samples = [Sample(20_000, seed) for seed in range(6)]
    store = opened(files=files)
    samples[0].begin(store)
    small = [SmallBlob(one.content) for one in samples]
    files.failing[operation] = kind
    with pytest.raises(StoreFull if kind == errno.ENOSPC else StoreError):
        store.small.keep(small)
    files.failing.clear()
    assert store.usage().used == 20_000
    assert not list((tmp_path / "store/drafts").iterdir())
    assert {path.stem for path in (tmp_path / "store/blobs").iterdir()} <= {samples[0].blob}, "which is begun"
    assert [(shown.info.blob, shown.complete) for shown in store.blobs()] == [(samples[0].blob, False)]
    assert all(shown.complete for shown in store.small.keep(small))
    store.close()

    store = opened()
    assert all(one.read_all(store) == one.content for one in samples)
    assert store.usage().used == 6 * 20_000


def test_a_read_that_fails_is_an_error_and_forgets_nothing(opened: Opener, files: FaultyFiles, sample: Sample) -> None:
    store = opened(files=files)
    sample.put(store)
    store.close()
    store = opened(files=files)  # what it has written itself would come from memory
    files.failing["glance_at"] = errno.EIO
    with pytest.raises(StoreError) as caught:
        store.read(sample.blob, 0)
    assert not isinstance(caught.value, StoreCorrupt)
    files.failing.clear()
    assert sample.read_all(store) == sample.content


# ---- space


def test_the_reserve_is_never_touched(opened: Opener, files: FaultyFiles, sample: Sample) -> None:
    store = opened(files=files, reserve=10 * MIB)
    sample.begin(store)
    files.space = 10 * MIB + CHUNK_BYTES - 1
    with pytest.raises(StoreFull):
        store.put_chunk(sample.blob, 0, sample.chunk(0))
    with pytest.raises(StoreFull):
        Sample(CHUNK_BYTES, 1).put(store)
    assert store.usage().free_over_reserve == 0
    files.space += 1
    store.put_chunk(sample.blob, 0, sample.chunk(0))
    store.put_chunk(sample.blob, 3, sample.chunk(3))
    assert store.blob(sample.blob).have == HaveSet.of([0, 3])


def test_room_for_a_blob_is_set_aside_when_it_begins(opened: Opener, files: FaultyFiles, sample: Sample) -> None:
    store = opened(files=files, reserve=MIB)
    files.space = MIB + 2 * ODD
    other = Sample(ODD + 1, 1)
    sample.begin(store)
    assert store.usage().free_over_reserve == ODD
    with pytest.raises(StoreFull):
        store.begin(other.blob, other.root, pin=False)
    store.put_chunk(sample.blob, 0, sample.chunk(0))
    files.space -= CHUNK_BYTES
    assert store.usage().free_over_reserve == ODD
    store.close()

    store = opened(files=files, reserve=MIB)
    assert store.usage().free_over_reserve == ODD
    store.remove(sample.blob)
    files.space += CHUNK_BYTES
    assert store.usage().free_over_reserve == 2 * ODD
    other.put(store)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = require_tool("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=8m", "none", str(place)]
    if subprocess.run(command, check=False, capture_output=True, timeout=30).returncode:
        lacking("mounting a small disk needs root")
    yield place
    subprocess.run([require_tool("umount"), "-l", place], check=True, timeout=30)


def fill(place: Path) -> Path:
    """Take all that is left, to the last byte."""
    filler = place / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


def use_until_full(store: DiskStore, blob: Sample) -> None:
    for turn in range(100):
        store.set_pinned(blob.blob, turn % 2 == 0)


def test_a_full_disk_is_survived(opened: Opener, small_disk: Path, sample: Sample) -> None:
    root, coming, third = small_disk / "store", Sample(8 * CHUNK_BYTES, 1), Sample(ODD, 2)
    store = opened(root)
    sample.put(store)
    third.put(store)
    coming.fetch(store, [0, 5])
    filler = fill(small_disk)
    with pytest.raises(StoreFull):
        store.put_chunk(coming.blob, 1, coming.chunk(1))
    with pytest.raises(StoreFull):
        Sample(1000, 3).put(store)
    with pytest.raises(StoreFull):
        use_until_full(store, sample)
    with suppress(StoreFull):
        store.flush()
    assert sample.read_all(store) == sample.content
    assert store.read(coming.blob, 5) == coming.chunk(5)

    filler.unlink()
    coming.fetch(store)
    store.complete(coming.blob)
    store.set_pinned(sample.blob, True)
    store.close()
    store = opened(root)
    assert store.blob(sample.blob).pinned
    assert coming.read_all(store) == coming.content


def test_a_full_disk_is_read_after_a_restart_and_blobs_can_be_removed(opened: Opener, small_disk: Path) -> None:
    root, samples = small_disk / "store", [Sample(ODD, seed) for seed in range(2)]
    store = opened(root)
    for sample in samples:
        sample.put(store)
    store.close()
    fill(small_disk)
    store = opened(root)
    assert [sample.read_all(store) for sample in samples] == [sample.content for sample in samples]
    assert store.remove(samples[0].blob) == ODD
    assert samples[1].read_all(store) == samples[1].content
    store.close()
    assert [shown.info.blob for shown in opened(root).blobs()] == [samples[1].blob]
