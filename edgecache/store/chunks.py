"""The bytes of chunks: written, synced in batches, read back and verified, forgotten when the disk has lost them.

A sync that fails may have lost bytes although the kernel still shows them (it reports such an error once), so the
chunks that it was to make durable are forgotten.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable
from contextlib import suppress

from edgecache.model.content import CHUNK_BYTES, PAGE_CHUNKS
from edgecache.model.errors import NotFound, StoreCorrupt, StoreError, StoreFull
from edgecache.model.have import HaveSet
from edgecache.model.ids import sha256
from edgecache.store.files import Files, OpenFiles
from edgecache.store.held import Held, held_bytes, map_rows
from edgecache.store.index import Index
from edgecache.store.layout import Layout
from edgecache.store.pages import PageCache
from edgecache.store.room import Room


class Chunks:
    """Chunks in the data files of blobs. Thread-safe; `lock` is the store's, which whoever changes a blob holds."""

    def __init__(
        self, layout: Layout, files: Files, index: Index, pages: PageCache, room: Room, *, open_files: int
    ) -> None:
        self.lock = threading.RLock()
        self._layout = layout
        self._files = files
        self._index = index
        self._pages = pages
        self._room = room
        self._open = OpenFiles(files, open_files)

    def write(self, held: Held, index: int, data: bytes | bytearray | memoryview) -> None:
        """Write a verified chunk that is not here."""
        self._room.check(len(data))
        with self._open.use(self._layout.data(held.info.blob), write=True) as descriptor:
            self._files.write_at(descriptor, data, index * CHUNK_BYTES)
        self._room.wrote(len(data))
        held.fresh.append(index)
        held.verified = held.verified.without(index)
        held.change(have=held.shown.have.with_index(index))

    def read(self, held: Held, index: int, offset: int, end: int) -> bytes:
        """Bytes [offset, end) of a chunk that is here; StoreCorrupt, and the chunk forgotten, if it has changed."""
        try:
            return self._read(held, index, offset, end)
        except StoreCorrupt as error:
            self._forget(held, [index])
            if held.gone:
                raise NotFound(f"{held.info.blob} was removed") from error
            raise

    def _read(self, held: Held, index: int, offset: int, end: int) -> bytes:
        with self._open.use(self._layout.data(held.info.blob)) as descriptor:
            if index in held.verified:
                data = self._files.read_at(descriptor, end - offset, index * CHUNK_BYTES + offset)
                if len(data) == end - offset:
                    return data
            data = self._files.read_at(descriptor, held.info.chunk_bytes(index), index * CHUNK_BYTES)
        if sha256(data) != self._pages.digest(held, index):
            raise StoreCorrupt(
                f"chunk {index} of {held.info.blob} has changed on the disk",
                hint="the disk may be failing; the chunk is fetched again",
            )
        held.verified = held.verified.with_index(index)
        return data[offset:end]

    def whole_is_right(self, held: Held) -> bool:
        """Whether all chunks in their order, as they are on the disk, have the digest that the manifest gives.

        When they have not, each is checked: StoreCorrupt, and chunks forgotten, if the disk is to blame.
        """
        whole = hashlib.sha256()
        if held.info.size:
            with suppress(StoreCorrupt), self._open.use(self._layout.data(held.info.blob)) as descriptor:
                for index in range(held.info.chunks):
                    size = held.info.chunk_bytes(index)
                    whole.update(self._files.read_at(descriptor, size, index * CHUNK_BYTES))
        if whole.digest() == held.info.sha256:
            return True
        self.check_each(held)
        return False

    def check_each(self, held: Held) -> None:
        """Read and hash every chunk that is here; StoreCorrupt when some have changed, and those forgotten."""
        held.verified = HaveSet()
        failure: StoreCorrupt | None = None
        for index in held.shown.have:
            try:
                self.read(held, index, 0, held.info.chunk_bytes(index))
            except StoreCorrupt as error:
                failure = failure or error
        if failure is not None:
            raise failure

    def sync(self, blobs: Iterable[Held]) -> None:
        """Make all chunks durable. After a StoreError the chunks of other blobs are durable all the same."""
        failure: StoreError | None = None
        synced = []
        for held in blobs:
            try:
                self.sync_data(held)
            except StoreError as error:
                failure = failure or error
            if held.unmapped:
                synced.append(held)
        if synced:
            self._save_maps(synced)
        if failure is not None:
            raise failure

    def sync_data(self, held: Held) -> None:
        """Make the bytes of one blob and the name of its file durable, not the map."""
        if not held.fresh:
            return
        path = self._layout.data(held.info.blob)
        try:
            with self._open.use(path, write=True) as descriptor:
                self._files.sync(descriptor)
            if not held.named:
                self._files.sync_directory(path.parent)
                held.named = True
        except StoreError:
            self._forget(held, held.fresh)
            raise
        held.unmapped.update(index // PAGE_CHUNKS for index in held.fresh)
        held.fresh = []

    def _save_maps(self, blobs: list[Held]) -> None:
        rows = [row for one in blobs for row in map_rows(one.info.blob, one.shown.have, sorted(one.unmapped))]
        try:
            self._index.save_maps(rows)
        except StoreFull:
            if self._index.needs_sync:
                raise
            return  # the bytes are durable, and recovery finds them without a map; the next sync tries again
        for one in blobs:
            one.unmapped.clear()

    def _forget(self, held: Held, indexes: Iterable[int]) -> None:
        with self.lock:
            gone = HaveSet.of(indexes) & held.shown.have
            if held.gone or not gone:
                return
            self._room.wrote(-held_bytes(held.info, gone))
            have = held.shown.have - gone
            held.change(have=have, complete=False)
            held.fresh = [index for index in held.fresh if index in have]
            held.verified -= gone
            durable = have - HaveSet.of(held.fresh)
            with suppress(StoreError):  # whoever reads finds out again
                self._index.demote(held.info.blob, map_rows(held.info.blob, durable, range(held.info.pages)))

    def discard(self, held: Held) -> None:
        """Remove the data file."""
        self._forget(held, held.shown.have)
        self.drop(held)
        self._files.unlink(self._layout.data(held.info.blob))

    def drop(self, held: Held) -> None:
        """Another data file comes in the place of the one there was; reads that are under way end well."""
        self._open.drop(self._layout.data(held.info.blob))

    def close(self) -> None:
        """Close the files."""
        self._open.close()
