"""Drafts that become blobs: a few together cost the syncs of one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edgecache.model.content import BlobInfo
from edgecache.model.errors import StoreError
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId
from edgecache.ports import SmallBlob, StoredBlob
from edgecache.store.chunks import Chunks
from edgecache.store.files import Files
from edgecache.store.held import Held, clean_name, row_of
from edgecache.store.index import Index
from edgecache.store.layout import Layout
from edgecache.store.pages import PageCache
from edgecache.store.room import Room
from edgecache.wire.manifest import Manifest, ManifestBuilder, info_of

ONE_BY_ONE_MAX = 3
"""Up to so many files are synced one by one; more by one sync of the whole file system, which waits for whatever other
programs have written to it. Measured, 400 files of 20 kB on ext4: 78 ms one by one, 6 ms by one sync."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A file with all bytes of a blob, durable, that is no blob yet."""

    path: Path
    manifest: Manifest
    name: str
    pin: bool


class Adoption:
    """Makes drafts blobs; implements `ports.SmallBlobStore`. Thread-safe: the lock is that of `chunks`."""

    def __init__(
        self, layout: Layout, files: Files, index: Index, pages: PageCache, room: Room, chunks: Chunks,
        held: dict[BlobId, Held], wall: Callable[[], float], numbers: Iterator[int],
    ) -> None:
        self._layout, self._files, self._index, self._pages = layout, files, index, pages
        self._room, self._chunks = room, chunks
        self._held, self._wall, self._numbers = held, wall, numbers

    def next_path(self) -> Path:
        """Where the next draft is written."""
        return self._layout.draft(next(self._numbers))

    def keep(self, blobs: Sequence[SmallBlob]) -> list[StoredBlob]:
        """Blobs of at most one chunk, in their order: all of them or none, durable when this returns."""
        wanted = [(_manifest_of(blob.data), blob) for blob in blobs]
        once = {manifest.blob: (manifest, blob) for manifest, blob in wanted}
        total = sum(len(blob.data) for _, blob in once.values())
        self._room.ask(total)
        drafts = [Draft(self._place(manifest.blob), manifest, blob.name, blob.pin) for manifest, blob in once.values()]
        together = len(drafts) > ONE_BY_ONE_MAX
        written = 0
        try:
            with self._files.one_sync() if together else nullcontext():
                for draft, (_, blob) in zip(drafts, once.values(), strict=True):
                    self._write(draft.path, blob.data, sync=not together)
                    written += len(blob.data)
            stored = {one.info.blob: one for one in self.adopt(drafts, named=together)}
        finally:
            self._clear(drafts)
            self._room.give_back(total, written=written)
        return [stored[manifest.blob] for manifest, _ in wanted]

    def _place(self, blob: BlobId) -> Path:
        """Where a small blob is written: where it will stay, unless something of it is there already. Without a row in
        the index a file is nothing: if it does not come to that, the next start removes it."""
        return self.next_path() if blob in self._held else self._layout.data(blob)

    def _write(self, path: Path, data: bytes, *, sync: bool) -> None:
        descriptor = self._files.open(path, write=True)
        try:
            self._files.write_at(descriptor, data, 0)
            if sync:
                self._files.sync(descriptor)
        finally:
            self._files.close(descriptor)
        self._room.wrote(len(data))

    def _clear(self, drafts: list[Draft]) -> None:
        """Remove what did not become a blob. Who began to fetch one of them meanwhile has the same bytes to write."""
        with self._chunks.lock:
            for draft in drafts:
                if draft.manifest.blob not in self._held or draft.path.parent == self._layout.drafts:
                    with suppress(StoreError):  # the next start removes it
                        self._files.unlink(draft.path)

    def adopt(self, drafts: Sequence[Draft], *, named: bool = False) -> list[StoredBlob]:
        """Blobs, durable when this returns; each may be named once. The draft of one that is here is left as it is.
        `named`: the names of the drafts are durable."""
        with self._chunks.lock:
            found = [self._looked_up(draft) for draft in drafts]
            moved = [one for one in found if not one.held.shown.complete]
            try:
                self._move(moved, named=named)
                self._index.insert_all(
                    (row_of(one.whole, one.held.root), () if one.held.shown.complete else one.draft.manifest.pages)
                    for one in found
                    if one.whole != one.held.shown
                )
            except BaseException:
                for one in moved:
                    if one.held.info.blob not in self._held:
                        with suppress(StoreError):  # the next start removes it
                            self._files.unlink(self._layout.data(one.held.info.blob))
                raise
            for one in found:
                self._take(one)
            return [one.whole for one in found]

    def _looked_up(self, draft: Draft) -> _Adopted:
        manifest = draft.manifest
        held = self._held.get(manifest.blob) or Held(nothing_of(info_of(manifest.root), self._wall()), manifest.root)
        shown = held.shown
        whole = replace(
            shown,
            have=HaveSet.full(held.info.chunks),
            pages=HaveSet.full(held.info.pages),
            pinned=shown.pinned or draft.pin,
            complete=True,
            wanted=shown.wanted and shown.complete,
            name=shown.name or clean_name(draft.name),
        )
        return _Adopted(draft, held, whole)

    def _move(self, moved: list[_Adopted], *, named: bool) -> None:
        for one in moved:
            place = self._layout.data(one.held.info.blob)
            if one.draft.path == place:
                if self._files.size(place) != one.held.info.size:
                    raise StoreError(f"{one.held.info.blob} was put by two and removed by one", hint="put it again")
            else:
                self._files.rename(one.draft.path, place)
                self._chunks.drop(one.held)
                named = False
            one.held.named = False
        if moved and not named:
            self._files.sync_directory(self._layout.blobs)

    def _take(self, one: _Adopted) -> None:
        held, blob = one.held, one.held.info.blob
        if held.shown.complete:
            held.shown, held.whole = one.whole, True
            return
        if blob in self._held:
            self._room.wrote(held.info.size - held.written)
        else:
            self._room.take(held.info.size, written=held.info.size)
        for number, page in enumerate(one.draft.manifest.pages):
            self._pages.keep(blob, number, page)  # who reads it soon does not wait for the index, which may be syncing
        held.now_whole(one.whole)
        self._held[blob] = held


@dataclass(frozen=True, slots=True)
class _Adopted:
    """A draft, the blob that it becomes or is already, and what that will be shown as."""

    draft: Draft
    held: Held
    whole: StoredBlob


def nothing_of(info: BlobInfo, added: float) -> StoredBlob:
    """A blob of which nothing is here yet."""
    return StoredBlob(info, HaveSet(), HaveSet(), pinned=False, complete=False, wanted=False, added=added)


def _manifest_of(data: bytes) -> Manifest:
    builder = ManifestBuilder()
    if data:
        builder.update(data)
    return builder.finish()
