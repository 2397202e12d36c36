"""What the store knows in memory of a blob that it holds."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from edgecache.model.content import PAGE_CHUNKS, BlobInfo
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId
from edgecache.ports import StoredBlob
from edgecache.store.index import BlobRow, MapRow

NAME_CHARACTERS_MAX = 128
"""A name is for a line of `ls`."""

_PAGE_MASK = (1 << PAGE_CHUNKS) - 1


class Held:
    """A blob. `shown` is replaced as a whole, so a reader needs no lock; all else belongs to the store's lock."""

    __slots__ = ("fresh", "gone", "hashed", "named", "own", "root", "shown", "syncing", "unmapped", "verified", "whole")

    def __init__(self, shown: StoredBlob, root: bytes, *, named: bool = False) -> None:
        self.shown = shown
        self.root = root
        self.verified = HaveSet()
        """Chunks whose bytes were read back from the disk and hashed by this process."""
        self.hashed = HaveSet()
        """Chunks that this process has hashed, as it wrote them or since."""
        self.own = HaveSet()
        """Chunks that this process hashed as it wrote them, while none of them had to be read back from the disk."""
        self.whole: bool | None = None
        """Whether the digest of the whole is what the manifest says, which no chunk tells; None until it was asked."""
        self.fresh: list[int] = []
        """Chunks that are written and not synced."""
        self.syncing: list[int] = []
        """Those of them that a sync is under way for."""
        self.unmapped: set[int] = set()
        """Manifest pages that have chunks which are synced and not in the map."""
        self.named = named
        """The directory entry of the data file is durable."""
        self.gone = False
        """It was removed; somebody may still be reading."""

    @property
    def unsynced(self) -> list[int]:
        """Chunks that a power cut would take."""
        return [*self.syncing, *self.fresh]

    @property
    def info(self) -> BlobInfo:
        """The blob's id, size and digest."""
        return self.shown.info

    @property
    def written(self) -> int:
        """Bytes of the chunks that are here."""
        return self.info.bytes_of(self.shown.have)

    def change(self, **fields: Any) -> StoredBlob:
        """Show these fields from now on."""
        self.shown = replace(self.shown, **fields)
        return self.shown

    def now_whole(self, shown: StoredBlob) -> None:
        """Its data file was replaced by one that has all chunks, hashed as they were written, and is durable."""
        self.shown = shown
        self.verified = HaveSet()
        self.own = self.hashed = shown.have
        self.whole = True
        self.fresh, self.syncing = [], []
        self.unmapped.clear()
        self.named = True


def map_rows(blob: BlobId, have: HaveSet, pages: Iterable[int]) -> list[MapRow]:
    """The rows of the chunk map for some manifest pages."""
    return [MapRow(blob, page, have.bits >> page * PAGE_CHUNKS & _PAGE_MASK) for page in pages]


def row_of(shown: StoredBlob, root: bytes) -> BlobRow:
    """A blob as the index keeps it."""
    return BlobRow(
        shown.info.blob, root, shown.complete, shown.pinned, shown.wanted, shown.name, shown.added
    )


def clean_name(name: str) -> str:
    """A file name as it may be shown: the last part of a path, no control or direction characters, bounded."""
    last = name.rstrip("/").rpartition("/")[2]
    shown = "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(one)[0] == "C" else one for one in last)
    return shown[:NAME_CHARACTERS_MAX]
