"""The store on disk: one sparse file per blob, with the chunk map and the manifest in SQLite (decision 0002).

    ROOT/lock                 held while an agent runs; its process id is inside
    ROOT/index.sqlite3        blobs, manifests, chunk maps, small facts; .v0001 and so on: copies from before a migration
    ROOT/blobs/ID.data        chunk i at i * 256 KiB; chunks that are not here are holes
    ROOT/drafts/N.draft       blobs being put

What is acknowledged, and what stands behind it:

    put_chunk      the bytes are written; after a kill, recovery hashes what the map does not name
    flush          bytes synced, then the name of the file, then the map, with the blob's row and pages before it
    verify_whole   all of that, then a durable `complete`
    commit         draft synced, renamed, name synced, then a durable row; a file without a row is removed at the next start
    remove         a durable deletion, then the file goes

A sync of chunk bytes that fails may have lost them although the kernel still shows them: those chunks are forgotten.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from edgecache.model.content import CHUNK_BYTES, PAGE_CHUNKS
from edgecache.model.errors import MalformedMessage, NotFound, StoreCorrupt, StoreError, StoreFull
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId, Digest, sha256
from edgecache.ports import StoredBlob, StoreUsage
from edgecache.store import opening
from edgecache.store.draft import DiskDraft
from edgecache.store.files import Files, OpenFiles
from edgecache.store.held import Held, clean_name, held_bytes, map_rows, row_of
from edgecache.store.index import Index
from edgecache.store.pages import PageCache
from edgecache.store.recovery import DATA_SUFFIX, DRAFT_SUFFIX
from edgecache.store.remembered import Remembered
from edgecache.store.room import Room
from edgecache.wire.manifest import Manifest, info_of

BATCH_BYTES = 16 * 1024 * 1024
"""Chunk bytes between two syncs. More saves syncs; fewer lose less at a power cut and stall a writer for less."""

OPEN_FILES = 64
"""Data files kept open: more than an agent serves and fetches at once, far below the usual limit of 1,024."""


class DiskStore(Remembered):
    """Implements `ports.ChunkStore` and `ports.NodeMemory` in one directory that no other process may use.

    `cap` bounds the bytes of all blobs at their full sizes; `reserve` bytes of the disk are never touched by chunks.
    Raises StoreBusy, StoreNewer and StoreCorrupt when the directory cannot be used. Thread-safe: readers never wait for
    writers once the manifest page they need was read. `wall` tells the time that `added` shows.
    """

    def __init__(
        self,
        root: Path,
        *,
        cap: int,
        reserve: int,
        batch_bytes: int = BATCH_BYTES,
        open_files: int = OPEN_FILES,
        wall: Callable[[], float] = time.time,
        files: Files | None = None,
    ) -> None:
        self._files = files or Files(root)
        self._paths = opening.Paths(root)
        self._index = opening.open_index(self._paths, self._files)
        super().__init__(self._index)
        self._pages = PageCache(self._index)
        self._room = Room(self._files, cap=cap, reserve=reserve)
        self._open = OpenFiles(self._files, open_files)
        self._lock = threading.RLock()
        self._batch_bytes = batch_bytes
        self._wall = wall
        self._unsynced = 0
        self._draft_numbers = itertools.count(1)
        self._closed = False
        try:
            self._held, self.recovered = opening.recover(self._paths, self._files, self._index, self._pages)
        except BaseException:
            self._index.close()
            self._files.unlock()
            raise
        for held in self._held.values():
            self._room.take(held.info.size, written=held.written)

    def close(self) -> None:
        """Flush, and let go of the directory."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                self.flush()
            finally:
                self._open.close()
                self._index.close()
                self._files.unlock()

    # ---- what is here

    def blobs(self) -> list[StoredBlob]:
        """All blobs, in no order."""
        return [held.shown for held in list(self._held.values())]

    def blob(self, blob: BlobId) -> StoredBlob:
        """One blob."""
        return self._find(blob).shown

    def find(self, *, prefix: str = "", sha256: Digest | None = None) -> list[BlobId]:
        """Ids that begin with `prefix` or whose whole has this digest."""
        if sha256 is not None:
            return [one.info.blob for one in self.blobs() if one.info.sha256 == sha256]
        return [one.info.blob for one in self.blobs() if prefix and one.info.blob.startswith(prefix)]

    def usage(self) -> StoreUsage:
        """Bytes used and left, and what was written since this process opened the store, SQLite's share included."""
        return StoreUsage(
            used=self._room.used,
            cap=self._room.cap,
            free_over_reserve=self._room.free(),
            written=self._files.written,
            fsyncs=self._files.fsyncs,
        )

    # ---- manifests

    def begin(self, blob: BlobId, root: bytes, *, pin: bool) -> StoredBlob:
        """Start to hold a blob, or go on: reserves room; StoreCorrupt when `root` is not the manifest root of that id."""
        try:
            info = info_of(root)
        except MalformedMessage as error:
            raise StoreCorrupt(f"what should be the manifest root of {blob} is none: {error.message}") from error
        if info.blob != blob:
            raise StoreCorrupt(f"the manifest root of {info.blob} is not that of {blob}")
        with self._lock:
            held = self._held.get(blob)
            if held is not None:
                if pin and not held.shown.pinned:
                    self.set_pinned(blob, True)
                return held.shown
            shown = StoredBlob(
                info, HaveSet(), HaveSet(), pinned=pin, complete=False, wanted=False, added=self._wall()
            )
            self._room.ask(info.size)
            try:
                self._index.insert(row_of(shown, bytes(root)))
            except BaseException:
                self._room.give_back(info.size, written=0)
                raise
            self._held[blob] = Held(shown, bytes(root))
            return shown

    def put_page(self, blob: BlobId, page: int, data: bytes) -> None:
        """Store a manifest page; StoreCorrupt when it is not the one that the root names."""
        with self._lock:
            held = self._find(blob)
            if page in held.shown.pages:
                return
            self._pages.check(held, page, data)
            self._room.check(len(data))
            self._index.insert_page(blob, page, bytes(data))
            self._pages.keep(blob, page, bytes(data))
            held.change(pages=held.shown.pages.with_index(page))

    def root(self, blob: BlobId) -> bytes:
        """The manifest root; from memory."""
        return self._find(blob).root

    def page(self, blob: BlobId, page: int) -> bytes:
        """A manifest page."""
        return self._pages.get(self._find(blob), page)

    def chunk_digest(self, blob: BlobId, index: int) -> Digest:
        """Digest of a chunk; from memory if its page was used lately."""
        held = self._find(blob)
        if not 0 <= index < held.info.chunks:
            raise NotFound(f"{blob} has {held.info.chunks} chunks; there is no chunk {index}")
        return self._pages.digest(held, index)

    # ---- chunks

    def put_chunk(self, blob: BlobId, index: int, data: bytes | bytearray | memoryview) -> None:
        """Verify and store; StoreCorrupt when the digest differs. Readable at once, durable after the next flush."""
        if sha256(data) != self.chunk_digest(blob, index):
            raise StoreCorrupt(f"these {len(data)} bytes are not chunk {index} of {blob}")
        with self._lock:
            held = self._find(blob)
            if index in held.shown.have:
                return
            self._room.check(len(data))
            with self._open.use(self._paths.data(blob), write=True) as descriptor:
                self._files.write_at(descriptor, data, index * CHUNK_BYTES)
            self._room.wrote(len(data))
            held.fresh.append(index)
            held.verified = held.verified.without(index)
            held.change(have=held.shown.have.with_index(index))
            self._unsynced += len(data)
            if self._unsynced >= self._batch_bytes:
                self.flush()

    def read(self, blob: BlobId, index: int, offset: int = 0, size: int | None = None) -> bytes:
        """Bytes of a chunk, all of which is hashed at the first read; StoreCorrupt, and the chunk forgotten, if it differs.

        NotFound when the chunk is not here or has no such bytes.
        """
        held = self._find(blob)
        if index < 0 or index not in held.shown.have:
            raise NotFound(f"chunk {index} of {blob} is not here")
        length = held.info.chunk_bytes(index)
        end = length if size is None else offset + size
        if not 0 <= offset <= end <= length:
            raise NotFound(f"chunk {index} of {blob} has {length} bytes; {offset} to {end} are not among them")
        try:
            with self._open.use(self._paths.data(blob)) as descriptor:
                if index in held.verified:
                    data = self._files.read_at(descriptor, end - offset, index * CHUNK_BYTES + offset)
                    if len(data) == end - offset:
                        return data
                data = self._files.read_at(descriptor, length, index * CHUNK_BYTES)
        except StoreCorrupt:
            self._forget(blob, [index])
            raise
        if sha256(data) != self.chunk_digest(blob, index):
            self._forget(blob, [index])
            raise StoreCorrupt(
                f"chunk {index} of {blob} has changed on the disk", hint="the disk may be failing; it is fetched again"
            )
        held.verified = held.verified.with_index(index)
        return data[offset:end]

    def verify_whole(self, blob: BlobId) -> bool:
        """Digest of the whole; True makes the blob complete, durably. NotFound while chunks are missing.

        False when every chunk is right and the whole is not: the manifest lies. StoreCorrupt when the disk does.
        """
        held = self._find(blob)
        if held.shown.complete:
            return True
        self._require_all(held)
        self.flush()
        if self._digest_of_whole(held) != held.info.sha256:
            for index in range(held.info.chunks):
                held.verified = held.verified.without(index)
                self.read(blob, index)
            return False
        with self._lock:
            held = self._find(blob)
            self._require_all(held)
            self._index.set_complete(blob)
            held.unmapped.clear()
            held.verified = held.shown.have
            held.change(complete=True)
        return True

    def flush(self) -> None:
        """Make every stored chunk durable. After an error other chunks are durable all the same."""
        failure: StoreError | None = None
        with self._lock:
            self._unsynced = 0
            for held in list(self._held.values()):
                if held.fresh:
                    try:
                        self._sync(held)
                    except StoreError as error:
                        failure = failure or error
            self._save_maps()
        if failure is not None:
            raise failure

    def _sync(self, held: Held) -> None:
        path = self._paths.data(held.info.blob)
        try:
            with self._open.use(path, write=True) as descriptor:
                self._files.sync(descriptor)
            if not held.named:
                self._files.sync_directory(path.parent)
                held.named = True
        except StoreError:
            self._forget(held.info.blob, held.fresh)
            raise
        held.unmapped.update(index // PAGE_CHUNKS for index in held.fresh)
        held.fresh = []

    def _save_maps(self) -> None:
        behind = [held for held in self._held.values() if held.unmapped]
        if not behind:
            return
        rows = [row for one in behind for row in map_rows(one.info.blob, one.shown.have, sorted(one.unmapped))]
        try:
            self._index.save_maps(rows)
        except StoreFull:
            if self._index.needs_sync:
                raise
            return  # the bytes are durable, and recovery finds them without a map; the next flush tries again
        for one in behind:
            one.unmapped.clear()

    def _digest_of_whole(self, held: Held) -> bytes:
        whole = hashlib.sha256()
        if held.info.size:
            with self._open.use(self._paths.data(held.info.blob)) as descriptor:
                for index in range(held.info.chunks):
                    size = held.info.chunk_bytes(index)
                    whole.update(self._files.read_at(descriptor, size, index * CHUNK_BYTES))
        return whole.digest()

    def _require_all(self, held: Held) -> None:
        missing = held.shown.have.missing(held.info.chunks)
        if missing:
            raise NotFound(f"{len(missing)} of {held.info.chunks} chunks of {held.info.blob} are not here")

    def _forget(self, blob: BlobId, indexes: list[int]) -> None:
        with self._lock:
            held = self._held.get(blob)
            gone = HaveSet.of(indexes) & held.shown.have if held else HaveSet()
            if held is None or not gone:
                return
            self._room.wrote(-held_bytes(held.info, gone))
            have = held.shown.have - gone
            held.change(have=have, complete=False)
            held.fresh = [index for index in held.fresh if index in have]
            held.verified -= gone
            synced = have - HaveSet.of(held.fresh)
            with suppress(StoreError):  # whoever reads finds out again, and recovery believes only digests
                self._index.demote(blob, map_rows(blob, synced, range(held.info.pages)))

    # ---- whole blobs

    def draft(self) -> DiskDraft:
        """A blob to be put."""
        path = self._paths.drafts / f"{next(self._draft_numbers)}{DRAFT_SUFFIX}"
        return DiskDraft(path, self._files, self._room, self._adopt, sync_bytes=self._batch_bytes)

    def set_pinned(self, blob: BlobId, pinned: bool) -> None:
        """Keep a blob whatever comes, or no longer; durable."""
        with self._lock:
            held = self._find(blob)
            self._index.set_pinned(blob, pinned)
            held.change(pinned=pinned)

    def set_wanted(self, blob: BlobId, wanted: bool) -> None:
        """Whether a fetch of it goes on after a restart."""
        with self._lock:
            held = self._find(blob)
            if held.shown.wanted != wanted:
                self._index.set_wanted(blob, wanted)
                held.change(wanted=wanted)

    def remove(self, blob: BlobId) -> int:
        """Drop a blob, whatever its state; returns the bytes freed; durable."""
        with self._lock:
            held = self._find(blob)
            self._index.delete(blob)
            del self._held[blob]
            self._pages.drop(blob)
            path, freed = self._paths.data(blob), held.written
            self._open.drop(path)
            self._room.give_back(held.info.size, written=freed)
            self._files.unlink(path)
        return freed

    def _find(self, blob: BlobId) -> Held:
        if self._closed:
            raise StoreError("the store is closed")
        held = self._held.get(blob)
        if held is None:
            raise NotFound(f"{blob} is not here", hint="`edgecache ls` shows what is")
        return held

    def _adopt(self, draft: Path, manifest: Manifest, name: str, pin: bool) -> StoredBlob:
        """A synced draft becomes a blob, or completes the one that is here."""
        raise NotImplementedError
