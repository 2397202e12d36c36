"""Manifest pages in memory: what a chunk's digest is, without asking the index each time."""

from __future__ import annotations

import threading
from collections import OrderedDict

from edgecache.model.content import PAGE_CHUNKS
from edgecache.model.errors import MalformedMessage, StoreCorrupt
from edgecache.model.ids import DIGEST_BYTES, BlobId, Digest
from edgecache.store.held import Held
from edgecache.store.index import Index
from edgecache.wire.manifest import decode_root, page_digests

CACHED_BYTES_MAX = 4 * 1024 * 1024
"""Digests of 32 GiB of blobs."""

_ENTRY_BYTES = 256
"""What an entry takes besides its digests: a small blob has one digest."""


class PageCache:
    """The pages used lately. Thread-safe; a page that is not in it waits for the index, and so for a commit."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._lock = threading.Lock()
        self._pages: OrderedDict[tuple[BlobId, int], bytes] = OrderedDict()
        self._bytes = 0

    def check(self, held: Held, page: int, data: bytes) -> None:
        """StoreCorrupt unless `data` is that page of the blob."""
        try:
            page_digests(decode_root(held.root), page, data)
        except MalformedMessage as error:
            raise StoreCorrupt(f"{held.info.blob}: {error.message}") from error

    def get(self, held: Held, page: int) -> bytes:
        """A page, verified when it is read from the index; NotFound when it is not here."""
        key = (held.info.blob, page)
        with self._lock:
            if key in self._pages:
                self._pages.move_to_end(key)
                return self._pages[key]
        data = self._index.page(*key)
        self.check(held, page, data)
        self.keep(*key, data)
        return data

    def digest(self, held: Held, index: int) -> Digest:
        """The digest of a chunk; NotFound when its page is not here."""
        page, row = divmod(index, PAGE_CHUNKS)
        return Digest(self.get(held, page)[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES])

    def matches(self, held: Held, index: int, digest: Digest) -> bool:
        """Whether that is known to be the digest of a chunk: its page is in memory."""
        page, row = divmod(index, PAGE_CHUNKS)
        with self._lock:
            data = self._pages.get((held.info.blob, page))
        return data is not None and data[row * DIGEST_BYTES : (row + 1) * DIGEST_BYTES] == digest

    def keep(self, blob: BlobId, page: int, data: bytes) -> None:
        """Remember a page that was checked."""
        with self._lock:
            if (blob, page) not in self._pages:
                self._bytes += len(data) + _ENTRY_BYTES
            self._pages[(blob, page)] = data
            self._pages.move_to_end((blob, page))
            while self._bytes > CACHED_BYTES_MAX:
                _, dropped = self._pages.popitem(last=False)
                self._bytes -= len(dropped) + _ENTRY_BYTES
