"""The bytes of chunks: written, synced in batches, read back and verified, forgotten when the disk has lost them.

A chunk that this process has hashed and written is what was hashed for as long as the kernel still has it in memory;
one that has to come from the disk is hashed at its first read, and from then on so is every other of its blob. A sync
that fails may have lost bytes although the kernel still shows them (it reports such an error once), so the chunks that
it was to make durable are forgotten.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from hashlib import sha256

from edgecache.model.content import PAGE_CHUNKS
from edgecache.model.errors import NotFound, StoreCorrupt, StoreError, StoreFull
from edgecache.model.have import HaveSet
from edgecache.store.files import Files, OpenFiles, is_unreadable
from edgecache.store.held import Held, map_rows
from edgecache.store.index import Index
from edgecache.store.layout import Layout
from edgecache.store.pages import PageCache
from edgecache.store.room import Room

HASHED_AT_ONCE = 1024 * 1024
"""Bytes that are read and hashed in one go for the digest of the whole. More: fewer waits for the interpreter's lock,
but only a little."""


class Chunks:
    """Chunks in the data files of blobs. Thread-safe; `lock` is the store's, which whoever changes a blob holds."""

    def __init__(
        self, layout: Layout, files: Files, index: Index, pages: PageCache, room: Room, *, open_files: int
    ) -> None:
        self.lock = threading.RLock()
        self._syncing = threading.Lock()
        """Taken before `lock`, never while it is held."""
        self._layout = layout
        self._files = files
        self._index = index
        self._pages = pages
        self._room = room
        self._open = OpenFiles(files, open_files)

    def write(self, held: Held, index: int, data: bytes | bytearray | memoryview) -> bool:
        """Write a verified chunk; False when it is here already. Others go on meanwhile; NotFound if the blob goes."""
        self._room.check(len(data))
        with ExitStack() as stack:
            with self.lock:
                if not self._lacks(held, index):
                    return False
                descriptor = stack.enter_context(self._open.use(self._layout.data(held.info.blob), write=True))
            self._files.write_at(descriptor, data, held.info.offset(index))
        with self.lock:
            if not self._lacks(held, index):
                return False
            self._room.wrote(len(data))
            held.fresh.append(index)
            held.verified = held.verified.without(index)
            held.own, held.hashed = held.own.with_index(index), held.hashed.with_index(index)
            held.change(have=held.shown.have.with_index(index))
        return True

    def _lacks(self, held: Held, index: int) -> bool:
        if held.gone:
            raise NotFound(f"{held.info.blob} was removed")
        return index not in held.shown.have

    def read(self, held: Held, index: int, offset: int, end: int) -> bytes:
        """Bytes [offset, end) of a chunk that is here; StoreCorrupt, and the chunk forgotten, if it has changed."""
        try:
            data = self._read(held, index, offset, end)
        except StoreCorrupt as error:
            self._forget(held, [index])
            if held.gone:
                raise NotFound(f"{held.info.blob} was removed") from error
            raise
        if held.gone:  # the file that was read may be that of a later fetch, with holes
            raise NotFound(f"{held.info.blob} was removed")
        return data

    def read_now(self, held: Held, index: int, offset: int, end: int) -> bytes | None:
        """The same if nothing has to be waited for: the chunk needs no hashing, and memory has these bytes."""
        if index not in held.verified and index not in held.own:
            return None
        with self._open.use(self._layout.data(held.info.blob)) as descriptor:
            data = self._files.cached_at(descriptor, end - offset, held.info.offset(index) + offset)
        return None if held.gone else data

    def _read(self, held: Held, index: int, offset: int, end: int) -> bytes:
        with self._open.use(self._layout.data(held.info.blob)) as descriptor:
            if index in held.verified:
                data = self._files.read_at(descriptor, end - offset, held.info.offset(index) + offset)
                if len(data) == end - offset:
                    return data
            elif index in held.own:
                cached = self._files.cached_at(descriptor, end - offset, held.info.offset(index) + offset)
                if cached is not None:
                    return cached
                with self.lock:
                    held.own = HaveSet()
            data = self._files.read_at(descriptor, held.info.chunk_bytes(index), held.info.offset(index))
        self._require_right(held, index, data)
        held.verified = held.verified.with_index(index)
        return data[offset:end]

    def _require_right(self, held: Held, index: int, data: bytes) -> None:
        if not held.info.is_chunk(index, data, self._pages.digest(held, index)):
            raise StoreCorrupt(
                f"chunk {index} of {held.info.blob} has changed on the disk",
                hint="the disk may be failing; the chunk is fetched again",
            )
        with self.lock:
            held.hashed = held.hashed.with_index(index)

    def whole_is_right(self, held: Held) -> bool:
        """Whether the chunks in their order have the digest that the manifest gives; read and hashed only once, as the
        manifest alone decides it. StoreCorrupt, and chunks forgotten, when the disk is to blame; NotFound when one is
        not here.
        """
        if held.whole is None:
            with suppress(StoreCorrupt):  # which chunk it is, the slow way finds out
                held.whole = self._digest(held) == held.info.sha256 or None
        if held.whole is None:
            held.whole = self._digest_of_chunks(held) == held.info.sha256
        return held.whole

    def _digest(self, held: Held) -> bytes:
        digest, at, end = sha256(), 0, held.info.size
        if end:
            with self._open.use(self._layout.data(held.info.blob)) as descriptor:
                while data := self._files.glance_at(descriptor, min(HASHED_AT_ONCE, end - at), at):
                    digest.update(data)
                    at += len(data)
        return digest.digest()

    def _digest_of_chunks(self, held: Held) -> bytes:
        """As `_digest`, of chunks each of which is right: if the digest then is not, it is the manifest that lies."""
        digest = sha256()
        for data in self._read_each(held, HaveSet.full(held.info.chunks)):
            digest.update(data)
        return digest.digest()

    def check_unseen(self, held: Held) -> None:
        """Hash the chunks that this process has not hashed, all if the file was cut short or removed. StoreCorrupt, and
        they are forgotten: some have changed."""
        short = self._files.size(self._layout.data(held.info.blob)) < held.info.size
        for _ in self._read_each(held, held.shown.have if short else held.shown.have - held.hashed):
            pass

    def _read_each(self, held: Held, chunks: HaveSet) -> Iterator[bytes]:
        """Chunks as they are on the disk, each right. StoreCorrupt at the end when others were not, or are unreadable:
        those are forgotten."""
        failure: StoreCorrupt | None = None
        for index in chunks:
            if held.gone or index not in held.shown.have:
                raise failure or NotFound(f"chunk {index} of {held.info.blob} is not here")
            try:
                with self._open.use(self._layout.data(held.info.blob)) as descriptor:
                    data = self._files.read_at(descriptor, held.info.chunk_bytes(index), held.info.offset(index))
                self._require_right(held, index, data)
            except StoreError as error:
                if held.gone:
                    raise NotFound(f"{held.info.blob} was removed") from error
                if not isinstance(error, StoreCorrupt) and not is_unreadable(error):
                    raise
                self._forget(held, [index])
                failure = failure or StoreCorrupt(error.message, hint=error.hint)
            else:
                yield data
        if failure is not None:
            raise failure

    def sync(self, blobs: list[Held]) -> None:
        """Make all chunks durable. After a StoreError the chunks of other blobs are durable all the same.

        Others write chunks meanwhile: whoever calls this must not hold `lock`.
        """
        failure: StoreError | None = None
        with self._syncing:
            for held in blobs:
                try:
                    self._sync_data(held)
                except StoreError as error:
                    failure = failure or error
            with self.lock:
                if synced := [held for held in blobs if held.unmapped and not held.gone]:
                    self._save_maps(synced)
        if failure is not None:
            raise failure

    def sync_data(self, held: Held) -> None:
        """Make the bytes of one blob and the name of its file durable, not the map; not with `lock` held."""
        with self._syncing:
            self._sync_data(held)

    def _sync_data(self, held: Held) -> None:
        path = self._layout.data(held.info.blob)
        try:
            with ExitStack() as stack:
                with self.lock:
                    if not held.fresh or held.gone:
                        return
                    descriptor = stack.enter_context(self._open.use(path, write=True))
                    held.syncing, held.fresh = held.fresh, []
                self._files.sync(descriptor)
            if not held.named:
                self._files.sync_directory(path.parent)
        except StoreError:
            self._forget(held, held.unsynced)
            raise
        with self.lock:
            if held.syncing:  # else it was put meanwhile
                held.named = True
            held.unmapped.update(index // PAGE_CHUNKS for index in held.syncing)
            held.syncing = []

    def _save_maps(self, blobs: list[Held]) -> None:
        rows = [row for one in blobs for row in map_rows(one.info.blob, _durable(one), sorted(one.unmapped))]
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
            self._room.wrote(-held.info.bytes_of(gone))
            have = held.shown.have - gone
            held.change(have=have, complete=False)
            held.fresh = [index for index in held.fresh if index in have]
            held.syncing = [index for index in held.syncing if index in have]
            held.verified -= gone
            held.own -= gone
            held.hashed -= gone
            with suppress(StoreError):  # whoever reads finds out again
                self._index.demote(held.info.blob, map_rows(held.info.blob, _durable(held), range(held.info.pages)))

    def discard(self, held: Held) -> None:
        """Remove the data file."""
        self._forget(held, held.shown.have)
        self._files.unlink(self._layout.data(held.info.blob))
        self.drop(held)  # last: nobody opens that file after this

    def drop(self, held: Held) -> None:
        """Another data file comes in the place of the one there was; reads that are under way end well."""
        self._open.drop(self._layout.data(held.info.blob))

    def close(self) -> None:
        """Close the files."""
        self._open.close()


def _durable(held: Held) -> HaveSet:
    """Chunks that survive a power cut."""
    return held.shown.have - HaveSet.of(held.unsynced)
