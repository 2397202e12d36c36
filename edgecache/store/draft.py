"""A blob being put: written as it comes, its manifest made on the way, in bounded memory."""

from __future__ import annotations

from contextlib import suppress

from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import StoreError
from edgecache.ports import StoredBlob
from edgecache.store.adoption import Adoption, Draft
from edgecache.store.files import Files
from edgecache.store.room import Room
from edgecache.wire.manifest import ManifestBuilder


class DiskDraft:
    """Implements `ports.Draft`. Used by one thread. After an error nothing of it is left, and it takes no more."""

    def __init__(self, adoption: Adoption, files: Files, room: Room, *, sync_bytes: int) -> None:
        self._adoption = adoption
        self._path = adoption.next_path()
        self._files = files
        self._room = room
        self._sync_bytes = sync_bytes
        self._manifest = ManifestBuilder()
        self._partial = bytearray()
        self._unsynced = 0
        self._descriptor: int | None = files.create(self._path)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append; raises StoreFull, or UsageError beyond the largest blob there may be."""
        view = memoryview(data).cast("B")
        self._file()
        try:
            while view:
                if not self._partial and len(view) >= CHUNK_BYTES:
                    self._append(view[:CHUNK_BYTES])
                    view = view[CHUNK_BYTES:]
                    continue
                taken = view[: CHUNK_BYTES - len(self._partial)]
                self._partial += taken
                view = view[len(taken) :]
                if len(self._partial) == CHUNK_BYTES:
                    self._append_partial()
        except BaseException:
            self.abort()
            raise

    def commit(self, *, name: str, pin: bool) -> StoredBlob:
        """The blob; durable when this returns. Nothing of it is left when this raises."""
        try:
            if self._partial:
                self._append_partial()
            self._files.sync(self._file())
            (stored,) = self._adoption.adopt([Draft(self._path, self._manifest.finish(), name, pin)])
            return stored
        finally:
            self.abort()

    def abort(self) -> None:
        """Leave no trace; harmless after commit."""
        if self._descriptor is None:
            return
        self._files.close(self._descriptor)
        self._descriptor = None
        with suppress(StoreError):  # the next start removes it
            self._files.unlink(self._path)
        self._room.give_back(self._manifest.size, written=self._manifest.size)

    def _file(self) -> int:
        if self._descriptor is None:
            raise StoreError("this draft has ended", hint="put the file again")
        return self._descriptor

    def _append_partial(self) -> None:
        piece, self._partial = self._partial, bytearray()
        self._append(piece)

    def _append(self, piece: bytearray | memoryview) -> None:
        offset, size = self._manifest.size, len(piece)
        self._room.ask(size)
        try:
            self._files.write_at(self._file(), piece, offset)
            self._manifest.update(piece)
        except BaseException:
            self._room.give_back(size, written=0)
            raise
        self._room.wrote(size)
        self._unsynced += size
        # Else the last sync would have all of a large file before it, and so would every other commit of that time.
        if self._unsynced >= self._sync_bytes:
            self._files.sync(self._file())
            self._unsynced = 0
