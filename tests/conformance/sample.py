"""A blob made for a test, with all that a peer would have of it."""

from __future__ import annotations

import random
from collections.abc import Iterable

from edgecache.model.content import CHUNK_BYTES, BlobInfo
from edgecache.ports import ChunkStore, StoredBlob
from edgecache.wire.manifest import ManifestBuilder, info_of

PIECE = 64 * 1024 * 1024
"""randbytes() makes no more than 256 MiB at once."""


class Sample:
    """Random bytes of a given size and seed; the same arguments make the same blob."""

    def __init__(self, size: int, seed: int = 0) -> None:
        source = random.Random(seed)
        self.content = b"".join(source.randbytes(min(PIECE, size - at)) for at in range(0, size, PIECE))
        manifest = ManifestBuilder()
        for at in range(0, size, CHUNK_BYTES):
            manifest.update(memoryview(self.content)[at : at + CHUNK_BYTES])
        self.blob, self.root, self.pages = manifest.finish()

    @property
    def info(self) -> BlobInfo:
        return info_of(self.root)

    def chunk(self, index: int) -> bytes:
        return self.content[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES]

    def chunks(self) -> list[bytes]:
        return [self.content[at : at + CHUNK_BYTES] for at in range(0, len(self.content), CHUNK_BYTES)]

    def begin(self, store: ChunkStore, *, pin: bool = False) -> StoredBlob:
        """Root and pages, as the first part of a fetch."""
        store.begin(self.blob, self.root, pin=pin)
        for number, page in enumerate(self.pages):
            store.put_page(self.blob, number, page)
        return store.blob(self.blob)

    def fetch(self, store: ChunkStore, indexes: Iterable[int] | None = None) -> None:
        """Begin, and store these chunks; without `indexes` all of them."""
        self.begin(store)
        for index in range(self.info.chunks) if indexes is None else indexes:
            store.put_chunk(self.blob, index, self.chunk(index))

    def put(self, store: ChunkStore, *, name: str = "", pin: bool = False) -> StoredBlob:
        """As a publisher does."""
        draft = store.draft()
        draft.write(self.content)
        return draft.commit(name=name, pin=pin)

    def read_all(self, store: ChunkStore) -> bytes:
        """Every chunk, which must be here."""
        return b"".join(store.read(self.blob, index) for index in range(self.info.chunks))
