"""What the store takes from its own writes: bytes still in memory, the digest of the whole, chunks during a sync."""

from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import NotFound, StoreCorrupt, StoreError
from edgecache.model.have import HaveSet
from edgecache.model.ids import sha256
from edgecache.store.files import Files
from tests.conformance.sample import Sample
from tests.integration.store.conftest import Opener

SHARED_MEMORY = Path("/dev/shm")
ODD = 5 * CHUNK_BYTES + 1000


class WatchedFiles(Files):
    """Counts what is read, can forget what memory has, and calls back in the middle of a sync."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read = 0
        self.evicted = False
        self.during_sync: Callable[[], object] | None = None
        self.during_read: Callable[[], object] | None = None
        self.before_unlink: Callable[[], object] | None = None

    def glance_at(self, descriptor: int, size: int, offset: int) -> memoryview:
        data = super().glance_at(descriptor, size, offset)
        self.read += len(data)
        if (call := self.during_read) is not None:
            self.during_read = None
            call()
        return data

    def unlink(self, path: Path) -> None:
        if (call := self.before_unlink) is not None:
            self.before_unlink = None
            call()
        super().unlink(path)

    def cached_at(self, descriptor: int, size: int, offset: int) -> bytes | None:
        return None if self.evicted else super().cached_at(descriptor, size, offset)

    def sync(self, descriptor: int) -> None:
        super().sync(descriptor)
        if (call := self.during_sync) is not None:
            self.during_sync = None
            call()


@pytest.fixture
def sample() -> Sample:
    return Sample(ODD)


@pytest.fixture
def files(tmp_path: Path) -> WatchedFiles:
    return WatchedFiles(tmp_path / "store")


def flip(root: Path, sample: Sample, index: int) -> None:
    with (root / f"store/blobs/{sample.blob}.data").open("r+b") as file:
        file.seek(index * CHUNK_BYTES)
        byte = file.read(1)
        file.seek(index * CHUNK_BYTES)
        file.write(bytes([byte[0] ^ 1]))


# ---- bytes still in memory


def file_system(directory: Path) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", str(directory)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("swaps", ["", "/swapfile file 102396 0 -2\n"])
def test_what_is_on_tmpfs_is_in_memory_unless_memory_is_swapped(
    swaps: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if file_system(SHARED_MEMORY) != "tmpfs":
        pytest.skip("/dev/shm is no tmpfs here")
    (tmp_path / "swaps").write_text(f"Filename Type Size Used Priority\n{swaps}")
    monkeypatch.setattr("edgecache.store.files._SWAPS", tmp_path / "swaps")
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY) as directory, Path(directory, "file").open("w+b") as file:
        files = Files(Path(directory))
        files.lock(Path(directory, "lock"))
        file.write(b"x" * 5000)
        file.flush()
        assert files.cached_at(file.fileno(), 3000, 2000) == (None if swaps else b"x" * 3000)
        assert files.cached_at(file.fileno(), 3001, 2000) is None, "the file ends before"
        files.unlock()


def test_where_nobody_can_tell_what_memory_has_the_disk_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(descriptor: int, buffers: object, offset: int, flags: int = 0) -> int:
        assert flags == os.RWF_NOWAIT
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    if file_system(tmp_path) in ("tmpfs", "ramfs"):
        pytest.skip("the temporary directory has no disk")
    files = Files(tmp_path)
    files.lock(tmp_path / "lock")
    with (tmp_path / "file").open("w+b") as file:
        file.write(b"x" * 100)
        file.flush()
        monkeypatch.setattr("os.preadv", unknown)
        assert files.cached_at(file.fileno(), 100, 0) is None
    files.unlock()


def test_what_was_just_written_is_served_from_memory(opened: Opener, files: WatchedFiles, sample: Sample) -> None:
    store = opened(files=files)
    sample.fetch(store, [0, 2])
    assert store.read(sample.blob, 2, 10, 50) == sample.chunk(2)[10:60]
    assert store.read(sample.blob, 0) == sample.chunk(0)
    other = Sample(ODD, 1)
    other.put(store)
    assert other.read_all(store) == other.content
    if files.read:  # a file system that cannot tell whether memory has the bytes
        pytest.skip("no RWF_NOWAIT here")


def test_only_what_needs_no_disk_and_no_hash_is_read_now(
    opened: Opener, files: WatchedFiles, sample: Sample
) -> None:
    store = opened(files=files)
    sample.fetch(store, [0])
    digest = sha256(sample.chunk(0))
    if store.read_now(sample.blob, 0, digest) is None:
        pytest.skip("no RWF_NOWAIT here")
    assert store.read_now(sample.blob, 0, digest, 5, 7) == sample.chunk(0)[5:12]
    assert store.read_now(sample.blob, 0, None) == sample.chunk(0)
    assert store.read_now(sample.blob, 0, sha256(b"another")) is None
    files.evicted = True
    assert store.read_now(sample.blob, 0, digest) is None
    files.evicted = False
    store.close()
    store = opened(files=files)
    store.page(sample.blob, 0)
    assert store.read_now(sample.blob, 0, digest) is None, "this process has not hashed it yet"
    assert store.read(sample.blob, 0) == sample.chunk(0)
    assert store.read_now(sample.blob, 0, digest) == sample.chunk(0)
    with pytest.raises(NotFound):
        store.read_now(sample.blob, 1, None)


def test_what_comes_from_the_disk_is_hashed(
    opened: Opener, files: WatchedFiles, sample: Sample, tmp_path: Path
) -> None:
    store = opened(files=files)
    sample.put(store)
    flip(tmp_path, sample, 1)
    flip(tmp_path, sample, 3)
    files.evicted = True
    with pytest.raises(StoreCorrupt):
        store.read(sample.blob, 1, 100, 10)
    files.evicted = False  # one chunk had left memory, so that readahead may have brought in others
    with pytest.raises(StoreCorrupt):
        store.read(sample.blob, 3, 100, 10)
    assert store.blob(sample.blob).have == HaveSet.of([0, 2, 4, 5])


# ---- completing, and the digest of the whole


def test_what_this_process_has_written_is_not_read_again(opened: Opener, files: WatchedFiles, sample: Sample) -> None:
    store = opened(files=files)
    sample.fetch(store, [0, 2, 4])
    store.close()
    store = opened(files=files)
    for index in (5, 3, 1):
        store.put_chunk(sample.blob, index, sample.chunk(index))
    before = files.read
    store.complete(sample.blob)
    assert files.read - before == 3 * CHUNK_BYTES, "only what was there before the start"
    store.complete(sample.blob)
    assert files.read - before == 3 * CHUNK_BYTES


def test_the_whole_is_hashed_once_and_never_when_it_was_put(
    opened: Opener, files: WatchedFiles, sample: Sample
) -> None:
    store = opened(files=files)
    sample.fetch(store)
    store.complete(sample.blob)
    for _ in range(2):
        assert store.whole_is_right(sample.blob)
    assert files.read == ODD
    store.remove(sample.blob)
    sample.put(store)
    before = files.read
    assert store.whole_is_right(sample.blob)
    assert files.read == before


def test_a_glance_shows_what_the_file_has_and_nothing_of_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, content, preadv = Files(tmp_path), os.urandom(5000), os.preadv
    with (tmp_path / "file").open("w+b") as file:
        file.write(content)
        file.flush()
        monkeypatch.setattr("os.preadv", lambda fd, spaces, at: preadv(fd, [spaces[0][:700]], at))
        assert files.glance_at(file.fileno(), 4000, 1000) == content[1000:]
        assert files.glance_at(file.fileno(), 4000, 1500) == content[1500:], "it ends before"
        file.truncate(5)
        assert files.glance_at(file.fileno(), 4000, 0) == content[:5]


def test_a_file_that_was_cut_short_is_not_the_whole(opened: Opener, sample: Sample, tmp_path: Path) -> None:
    store = opened()
    sample.fetch(store)
    os.truncate(tmp_path / f"store/blobs/{sample.blob}.data", 3 * CHUNK_BYTES + 7)
    with pytest.raises(StoreCorrupt):
        store.complete(sample.blob)
    assert store.blob(sample.blob).have == HaveSet.of([0, 1, 2])
    sample.fetch(store)
    store.complete(sample.blob)


def test_rot_is_no_lie_of_the_manifest(opened: Opener, sample: Sample, tmp_path: Path) -> None:
    store = opened()
    sample.fetch(store)
    flip(tmp_path, sample, 1)
    with pytest.raises(StoreCorrupt):
        store.whole_is_right(sample.blob)
    assert 1 not in store.blob(sample.blob).have
    store.put_chunk(sample.blob, 1, sample.chunk(1))
    assert store.whole_is_right(sample.blob)


def test_a_chunk_that_another_forgets_meanwhile_is_no_lie(
    opened: Opener, files: WatchedFiles, sample: Sample, tmp_path: Path
) -> None:
    store = opened(files=files)
    sample.fetch(store)
    flip(tmp_path, sample, 4)

    def read() -> None:
        files.evicted = True
        with pytest.raises(StoreCorrupt):
            store.read(sample.blob, 4)

    files.during_read = read
    with pytest.raises(NotFound):
        store.whole_is_right(sample.blob)
    store.put_chunk(sample.blob, 4, sample.chunk(4))
    assert store.whole_is_right(sample.blob)


def test_a_data_file_that_somebody_removed_costs_its_chunks(opened: Opener, sample: Sample, tmp_path: Path) -> None:
    store = opened(open_files=0)
    sample.fetch(store)
    (tmp_path / f"store/blobs/{sample.blob}.data").unlink()
    with pytest.raises(StoreCorrupt):
        store.whole_is_right(sample.blob)
    assert not store.blob(sample.blob).have
    sample.fetch(store)
    assert store.whole_is_right(sample.blob)


def test_what_memory_had_to_give_up_is_not_read_again_to_complete(
    opened: Opener, files: WatchedFiles, sample: Sample
) -> None:
    store = opened(files=files)
    sample.fetch(store)
    files.evicted = True
    store.read(sample.blob, 0)
    before = files.read
    store.complete(sample.blob)
    assert files.read == before


def test_what_is_there_again_when_each_chunk_is_looked_at_is_no_lie_either(
    opened: Opener, files: WatchedFiles, sample: Sample, tmp_path: Path
) -> None:
    store = opened(files=files)
    sample.fetch(store)
    flip(tmp_path, sample, 5)
    files.during_read = lambda: flip(tmp_path, sample, 5)
    assert store.whole_is_right(sample.blob)


def test_a_chunk_that_is_lost_while_the_whole_is_hashed_is_no_lie_of_the_manifest(
    opened: Opener, files: WatchedFiles, sample: Sample, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened(files=files)
    sample.fetch(store)

    def lose() -> None:
        def fail(descriptor: int) -> None:
            raise StoreError("the disk fails")

        with monkeypatch.context() as patch:
            patch.setattr(files, "sync", fail)
            with pytest.raises(StoreError):
                store.flush()

    files.during_read = lose
    assert store.whole_is_right(sample.blob)
    assert not store.blob(sample.blob).have
    with pytest.raises(NotFound):
        store.complete(sample.blob)
    sample.fetch(store)
    store.complete(sample.blob)


# ---- who reads while a blob is removed, and fetched again


def test_who_reads_a_removed_blob_gets_nothing_of_the_next_file(opened: Opener, sample: Sample) -> None:
    store = opened()
    sample.fetch(store, [0])
    assert store.read(sample.blob, 0) == sample.chunk(0)
    reader = store._held[sample.blob]
    reader.verified = HaveSet.of([0])
    store.remove(sample.blob)
    sample.fetch(store, [1])
    with pytest.raises(NotFound):
        store._chunks.read(reader, 0, 0, 100)
    reader.verified = HaveSet.of([0])
    assert store._chunks.read_now(reader, 0, 0, 100) is None


def test_a_file_that_is_opened_just_before_its_end_is_not_read_again(
    opened: Opener, files: WatchedFiles, sample: Sample
) -> None:
    store = opened(files=files)
    sample.fetch(store, [0])
    reader = store._held[sample.blob]

    def read() -> None:
        with pytest.raises(NotFound):
            store._chunks.read(reader, 0, 0, 100)

    files.before_unlink = read
    store.remove(sample.blob)
    sample.fetch(store, [1])
    assert store.read(sample.blob, 1) == sample.chunk(1)


def test_the_whole_of_a_blob_that_is_gone_is_not_hashed(opened: Opener, sample: Sample) -> None:
    store = opened()
    sample.fetch(store, [0])
    store.remove(sample.blob)
    with pytest.raises(NotFound):
        store.whole_is_right(sample.blob)


# ---- chunks that come during a sync


def mapped(root: Path) -> HaveSet:
    """What the index names, as a start after a power cut would find it."""
    copy = root / "copy.sqlite3"
    for suffix in ("", "-wal"):
        copy.with_name(copy.name + suffix).write_bytes((root / f"store/index.sqlite3{suffix}").read_bytes())
    index = sqlite3.connect(copy)
    rows = index.execute("SELECT bits FROM chunk_map").fetchall()
    index.close()
    return HaveSet(sum(int.from_bytes(bits, "little") for (bits,) in rows))


def test_a_chunk_that_comes_during_a_sync_waits_for_the_next(
    opened: Opener, files: WatchedFiles, sample: Sample, tmp_path: Path
) -> None:
    store = opened(files=files)
    sample.fetch(store, [0, 1])
    files.during_sync = lambda: store.put_chunk(sample.blob, 2, sample.chunk(2))
    store.flush()
    assert store.blob(sample.blob).have == HaveSet.of([0, 1, 2])
    assert mapped(tmp_path) == HaveSet.of([0, 1])
    store.flush()
    assert mapped(tmp_path) == HaveSet.of([0, 1, 2])


def test_a_blob_that_is_put_or_removed_during_a_sync_of_its_chunks(
    opened: Opener, files: WatchedFiles, sample: Sample
) -> None:
    store = opened(files=files)
    sample.fetch(store, [0, 1])
    files.during_sync = lambda: store.remove(sample.blob)
    store.flush()
    assert not store.blobs()
    sample.fetch(store, [0, 1])
    files.during_sync = lambda: sample.put(store)
    store.flush()
    assert store.blob(sample.blob).complete
    store.close()
    store = opened(files=files)
    assert sample.read_all(store) == sample.content


def test_the_whole_is_complete_only_when_the_last_chunk_is_synced(
    opened: Opener, files: WatchedFiles, sample: Sample
) -> None:
    store = opened(files=files)
    sample.fetch(store)

    def replace() -> None:
        assert not store.blob(sample.blob).complete

    files.during_sync = replace
    store.complete(sample.blob)
    assert store.blob(sample.blob).complete
