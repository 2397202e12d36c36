"""The store on disk: one sparse file per blob, with the chunk map and the manifest in SQLite (decision 0002).

    ROOT/lock                 held while an agent runs; its process id is inside
    ROOT/index.sqlite3        blobs, manifests, chunk maps, small facts; .v0001 ...: copies from before migrations
    ROOT/blobs/ID.data        the chunks, each at its place; those that are not here are holes
    ROOT/drafts/N.draft       blobs being put

What is acknowledged, and what stands behind it:

    put_chunk      the bytes are written; after a kill, recovery hashes what the map does not name
    flush          bytes synced, then the name of the file, then the map, with the blob's row and pages before it
    complete       bytes and name synced, then a durable `complete`, with the blob's row and pages before it
    commit         draft synced, renamed, name synced, then a durable row; a file without a row goes at the next start
    small.keep     files and names synced at once, then durable rows; likewise
    remove         a durable deletion, then the file goes
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from edgecache.model.errors import MalformedMessage, NotFound, StoreCorrupt, StoreError, StoreFull, UnknownRule
from edgecache.model.ids import BlobId, Digest, blob_id_from_root
from edgecache.ports import SmallBlobStore, StoredBlob, StoreUsage
from edgecache.store.adoption import Adoption, nothing_of
from edgecache.store.chunks import Chunks
from edgecache.store.draft import DiskDraft
from edgecache.store.files import Files
from edgecache.store.held import Held, row_of
from edgecache.store.index import CHECKPOINT_BYTES
from edgecache.store.layout import Layout, open_index
from edgecache.store.pages import PageCache
from edgecache.store.recovery import recover
from edgecache.store.remembered import Remembered
from edgecache.store.room import Room
from edgecache.wire.manifest import info_of

BATCH_BYTES = 16 * 1024 * 1024
"""Chunk bytes between two syncs. More saves syncs; fewer lose less at a power cut and stall a writer for less."""

OPEN_FILES = 64
"""Data files kept open: more than an agent serves and fetches at once, far below the usual limit of 1,024."""


class DiskStore(Remembered):
    """Implements `ports.ChunkStore` and `ports.NodeMemory` in one directory that no other process may use.

    `cap` bounds the bytes of all blobs at their full sizes; `reserve` bytes of the disk are never touched by chunks.
    Chunks are synced every `batch_bytes`, the log of the index is moved at `checkpoint_bytes`, `open_files` are kept
    open, `wall` tells the time that `added` shows. Opening raises StoreBusy, StoreNewer or StoreCorrupt. Thread-safe:
    readers do not wait for writers, except for a manifest page that is not in memory.
    """

    def __init__(
        self,
        root: Path,
        *,
        cap: int,
        reserve: int,
        batch_bytes: int = BATCH_BYTES,
        open_files: int = OPEN_FILES,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
        wall: Callable[[], float] = time.time,
        files: Files | None = None,
    ) -> None:
        self._files = files or Files(root)
        self._layout = Layout(root)
        self._index = open_index(self._layout, self._files, checkpoint_bytes=checkpoint_bytes)
        super().__init__(self._index)
        self._pages = PageCache(self._index)
        self._room = Room(self._files, cap=cap, reserve=reserve)
        self._chunks = Chunks(
            self._layout, self._files, self._index, self._pages, self._room, open_files=open_files
        )
        self._lock = self._chunks.lock
        self._batch_bytes = batch_bytes
        self._unsynced = 0
        self._wall = wall
        self._closed = False
        try:
            self._held, self.recovered = recover(self._layout, self._files, self._index, self._pages)
        except BaseException:
            self._index.close()
            self._files.unlock()
            raise
        self._adoption = Adoption(
            self._layout, self._files, self._index, self._pages, self._room, self._chunks, self._held, wall,
            itertools.count(1),
        )
        self.small: SmallBlobStore = self._adoption
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
            self._chunks.close()
            self._index.close()
            self._files.unlock()

    # ---- what is here

    def blobs(self) -> list[StoredBlob]:
        """All blobs, in the order in which they came."""
        return [held.shown for held in list(self._held.values())]

    def blob(self, blob: BlobId) -> StoredBlob:
        """One blob."""
        return self._get(blob).shown

    def find(self, *, prefix: str = "", sha256: Digest | None = None) -> list[BlobId]:
        """Ids that begin with `prefix` or whose whole has this digest."""
        infos = [shown.info for shown in self.blobs()]
        if sha256 is not None:
            return [info.blob for info in infos if info.sha256 == sha256]
        return [info.blob for info in infos if prefix and info.blob.startswith(prefix)]

    def usage(self) -> StoreUsage:
        """Bytes used and left, and what was written since the store was opened, SQLite's share included."""
        return StoreUsage(
            used=self._room.used,
            cap=self._room.cap,
            free_over_reserve=self._room.free(),
            written=self._files.written,
            fsyncs=self._files.fsyncs,
        )

    # ---- manifests

    def begin(self, blob: BlobId, root: bytes, *, pin: bool) -> StoredBlob:
        """Start to hold a blob, or go on; reserves room; StoreCorrupt when `root` is not the root of that id,
        UnknownRule when it is and takes a newer edgecache."""
        if blob_id_from_root(root) != blob:
            raise StoreCorrupt(f"the manifest root of {blob_id_from_root(root)} is not that of {blob}")
        try:
            info = info_of(root)
        except UnknownRule:
            raise
        except MalformedMessage as error:
            raise StoreCorrupt(f"what should be the manifest root of {blob} is none: {error.message}") from error
        with self._lock:
            self._require_open()
            held = self._held.get(blob)
            if held is not None:
                if pin and not held.shown.pinned:
                    self.set_pinned(blob, True)
                return held.shown
            shown = replace(nothing_of(info, self._wall()), pinned=pin)
            self._room.ask(info.size)
            try:
                self._index.insert(row_of(shown, root))
            except BaseException:
                self._room.give_back(info.size, written=0)
                raise
            self._held[blob] = Held(shown, root)
            return shown

    def put_page(self, blob: BlobId, page: int, data: bytes) -> None:
        """Store a manifest page; StoreCorrupt when it is not the one that the root names."""
        with self._lock:
            held = self._get(blob)
            self._pages.check(held, page, data)
            if page in held.shown.pages:
                return
            self._room.check(len(data))
            self._index.insert_page(blob, page, data)
            self._pages.keep(blob, page, data)
            held.change(pages=held.shown.pages.with_index(page))

    def root(self, blob: BlobId) -> bytes:
        """The manifest root; from memory."""
        return self._get(blob).root

    def page(self, blob: BlobId, page: int) -> bytes:
        """A manifest page."""
        return self._pages.get(self._get(blob), page)

    def chunk_digest(self, blob: BlobId, index: int) -> Digest:
        """Digest of a chunk; from memory if its page was used lately."""
        held = self._get(blob)
        if not 0 <= index < held.info.chunks:
            raise NotFound(f"{blob} has {held.info.chunks} chunks; there is no chunk {index}")
        return self._pages.digest(held, index)

    # ---- chunks

    def put_chunk(self, blob: BlobId, index: int, data: bytes | bytearray | memoryview) -> None:
        """Verify and store; StoreCorrupt when the digest differs. Readable at once, durable after the next flush."""
        if not self._get(blob).info.is_chunk(index, data, self.chunk_digest(blob, index)):
            raise StoreCorrupt(f"these {len(data)} bytes are not chunk {index} of {blob}")
        if not self._chunks.write(self._get(blob), index, data):
            return
        with self._lock:
            self._unsynced += len(data)
            due = self._unsynced >= self._batch_bytes
        if due:
            self.flush()

    def flush(self) -> None:
        """Make every stored chunk durable. After an error, chunks that could not be synced are not here any more."""
        with self._lock:
            self._unsynced = 0
            blobs = list(self._held.values())
        self._chunks.sync(blobs)

    def complete(self, blob: BlobId) -> None:
        """All chunks are here: durably so when this returns. NotFound while some are missing.

        Chunks from before the last start are hashed again: StoreCorrupt, and they are forgotten, if they have changed.
        """
        held = self._get(blob)
        while not held.shown.complete:
            _require_all(held)
            self._chunks.check_unseen(held)
            self._chunks.sync_data(held)
            with self._lock:
                held = self._get(blob)
                _require_all(held)
                if not held.unsynced:
                    self._index.set_complete(blob)
                    held.unmapped.clear()
                    held.change(complete=True)

    def whole_is_right(self, blob: BlobId) -> bool:
        """Whether the SHA-256 of the whole is what the manifest says; hashed at the first question.

        False when every chunk is right and the whole is not: the manifest lies. StoreCorrupt when the disk does,
        NotFound while chunks are missing.
        """
        held = self._get(blob)
        _require_all(held)
        return self._chunks.whole_is_right(held)

    def read(self, blob: BlobId, index: int, offset: int = 0, size: int | None = None) -> bytes:
        """Bytes of a chunk, which is hashed at its first read; StoreCorrupt, and it is forgotten, if it has changed.

        NotFound when the chunk is not here or has no such bytes.
        """
        held = self._get(blob)
        return self._chunks.read(held, index, offset, _end(held, index, offset, size))

    def read_now(
        self, blob: BlobId, index: int, digest: Digest | None, offset: int = 0, size: int | None = None
    ) -> bytes | None:
        """The same, of the chunk with that digest, for who must not wait for a disk; None when that takes `read`."""
        held = self._get(blob)
        if digest is not None and not self._pages.matches(held, index, digest):
            return None
        return self._chunks.read_now(held, index, offset, _end(held, index, offset, size))

    # ---- whole blobs

    def draft(self) -> DiskDraft:
        """A blob to be put."""
        self._require_open()
        return DiskDraft(self._adoption, self._files, self._room, sync_bytes=self._batch_bytes)

    def set_pinned(self, blob: BlobId, pinned: bool) -> None:
        """Keep a blob whatever comes, or no longer; durable."""
        with self._lock:
            held = self._get(blob)
            self._index.set_pinned(blob, pinned)
            held.change(pinned=pinned)

    def set_wanted(self, blob: BlobId, wanted: bool) -> None:
        """Whether a fetch of it goes on after a restart."""
        with self._lock:
            held = self._get(blob)
            if held.shown.wanted != wanted:
                self._index.set_wanted(blob, wanted)
                held.change(wanted=wanted)

    def remove(self, blob: BlobId) -> int:
        """Drop a blob, whatever its state; returns the bytes freed; durable."""
        with self._lock:
            held = self._get(blob)
            freed = held.written
            try:
                self._index.delete(blob)
            except StoreFull:
                self._chunks.discard(held)  # makes room for the record of its end
                self._index.delete(blob)
            held.gone = True
            del self._held[blob]
            self._room.give_back(held.info.size, written=held.written)
            self._chunks.discard(held)
        return freed

    def _get(self, blob: BlobId) -> Held:
        self._require_open()
        held = self._held.get(blob)
        if held is None:
            raise NotFound(f"{blob} is not here", hint="`edgecache ls` shows what is")
        return held

    def _require_open(self) -> None:
        if self._closed:
            raise StoreError("the store is closed")


def _end(held: Held, index: int, offset: int, size: int | None) -> int:
    if index < 0 or index not in held.shown.have:
        raise NotFound(f"chunk {index} of {held.info.blob} is not here")
    length = held.info.chunk_bytes(index)
    end = length if size is None else offset + size
    if not 0 <= offset <= end <= length:
        raise NotFound(f"chunk {index} of {held.info.blob} has {length} bytes, and none from {offset} to {end}")
    return end


def _require_all(held: Held) -> None:
    missing = held.shown.have.missing(held.info.chunks)
    if missing:
        raise NotFound(f"{len(missing)} of {held.info.chunks} chunks of {held.info.blob} are not here")
