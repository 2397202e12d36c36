"""Where everything of a data directory is, and how it is taken into possession."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from edgecache.model.ids import BlobId
from edgecache.store.files import Files
from edgecache.store.index import Index

DRAFT_SUFFIX = ".draft"

_DATA_SUFFIX = ".data"
_DATA_FILE = re.compile(r"(b[a-z2-7]{53})\.data\Z")


class Layout:
    """The paths below one root."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = root / "lock"
        self.index = root / "index.sqlite3"
        self.blobs = root / "blobs"
        self.drafts = root / "drafts"
        self._data = lru_cache(maxsize=256)(self._data_path)

    def data(self, blob: BlobId) -> Path:
        """The file with the chunks of a blob; the same object for the same blob, which has its hash ready."""
        return self._data(blob)

    def _data_path(self, blob: BlobId) -> Path:
        return self.blobs / f"{blob}{_DATA_SUFFIX}"

    def draft(self, number: int) -> Path:
        """The file of a draft."""
        return self.drafts / f"{number}{DRAFT_SUFFIX}"


def data_files(names: Iterable[str]) -> dict[BlobId, str]:
    """The names that are those of data files, by blob; others are not ours to touch."""
    return {BlobId(match[1]): name for name in names if (match := _DATA_FILE.match(name))}


def open_index(layout: Layout, files: Files, *, checkpoint_bytes: int) -> Index:
    """Lock the directory, making it if need be, and open its index; StoreBusy, StoreNewer or StoreCorrupt."""
    files.make(layout.root)
    files.lock(layout.lock)
    try:
        files.make(layout.blobs)
        files.make(layout.drafts)
        new = not data_files(files.sizes(layout.blobs))
        return Index(layout.index, files, create=new, checkpoint_bytes=checkpoint_bytes)
    except BaseException:
        files.unlock()
        raise
