"""A virtual disk: which chunks and manifest pages of which blobs are here; no bytes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from edgecache.model.content import CHUNK_SIZES, BlobInfo, rule_of
from edgecache.model.errors import NotFound, StoreFull
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId, Digest, blob_id_from_root


@dataclass(slots=True)
class Holding:
    """One blob as a disk holds it."""

    info: BlobInfo
    have: HaveSet
    pages: HaveSet
    spoiled: HaveSet
    """Chunks that are here and wrong; only a store that does not verify has any."""
    pinned: bool = False
    complete: bool = False
    wanted: bool = False

    @property
    def bytes(self) -> int:
        """What its chunks take."""
        return self.info.bytes_of(self.have)


def virtual_blob(name: str, size: int) -> BlobInfo:
    """A blob that nobody has the bytes of, named as a real one would be."""
    whole = Digest(hashlib.sha256(f"bytes of {name}".encode()).digest())
    return BlobInfo(blob_id_from_root(b"%d of " % size + whole), size, whole, CHUNK_SIZES[rule_of(size)])


class VirtualDisk:
    """Survives the crash of its device. `capacity` bounds the bytes of all chunks."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._held: dict[BlobId, Holding] = {}
        self.written = 0
        self.used = 0

    def holdings(self) -> list[Holding]:
        """Everything, oldest first."""
        return list(self._held.values())

    def get(self, blob: BlobId) -> Holding | None:
        """What is here of a blob, if anything."""
        return self._held.get(blob)

    def _holding(self, blob: BlobId) -> Holding:
        if (held := self._held.get(blob)) is None:
            raise NotFound(f"{blob} is not here")
        return held

    def put(self, info: BlobInfo, *, pinned: bool) -> Holding:
        """A whole blob at once, as a user puts it; raises StoreFull."""
        if self.used + info.size > self.capacity:
            raise StoreFull(f"no room for {info.size} bytes")
        full = HaveSet.full(info.chunks)
        held = Holding(info, full, HaveSet.full(info.pages), HaveSet(), pinned=pinned, complete=True)
        self._held[info.blob] = held
        self.used += info.size
        self.written += info.size
        return held

    def begin(self, info: BlobInfo) -> Holding:
        """Start to hold a blob, or go on with it."""
        return self._held.setdefault(info.blob, Holding(info, HaveSet(), HaveSet(), HaveSet()))

    def put_page(self, blob: BlobId, page: int) -> Holding:
        """A manifest page is here; raises NotFound without the root."""
        held = self._holding(blob)
        held.pages = held.pages.with_index(page)
        return held

    def put_chunk(self, blob: BlobId, index: int, *, genuine: bool = True) -> int:
        """A chunk is here; returns its size; raises NotFound or StoreFull."""
        held = self._holding(blob)
        size = held.info.chunk_bytes(index)
        if index in held.have:
            return size
        if self.used + size > self.capacity:
            raise StoreFull(f"no room for {size} bytes")
        held.have = held.have.with_index(index)
        if not genuine:
            held.spoiled = held.spoiled.with_index(index)
        self.used += size
        self.written += size
        return size

    def complete(self, blob: BlobId) -> None:
        """All chunks are here; raises NotFound when they are not."""
        held = self._holding(blob)
        if held.have.missing(held.info.chunks):
            raise NotFound(f"chunks of {blob} are not here")
        held.complete = True

    def remove(self, blob: BlobId) -> None:
        """Drop a blob; harmless when it is not here."""
        if (held := self._held.pop(blob, None)) is not None:
            self.used -= held.bytes

    @property
    def free(self) -> int:
        """Bytes that may still be written."""
        return self.capacity - self.used
