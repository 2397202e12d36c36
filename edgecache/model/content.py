"""Blobs and their chunks: the arithmetic between sizes, offsets, chunk indexes and manifest pages (chunking rule 1)."""

from __future__ import annotations

from dataclasses import dataclass

from edgecache.model.ids import BlobId, Digest

CHUNK_BYTES = 256 * 1024
"""Rule 1: always 256 KiB, so that the same file has the same id everywhere."""

UNITS_AHEAD = 2
"""Units of one chunk that a driver asks for at once: the next is on its way while the answer to the last travels."""

PAGE_CHUNKS = 1024
"""Chunk digests in one manifest page: 32 KiB of digests describe 256 MiB."""

MAX_PAGES = 1024
"""Bounds a manifest root at about 35 KiB, and a blob at 256 GiB."""

MAX_BLOB_BYTES = MAX_PAGES * PAGE_CHUNKS * CHUNK_BYTES

RULE_FIXED = 1


def unit_bytes(fits: float, least: int) -> int:
    """The largest unit of a chunk, a power of two, of at most `fits` bytes: `least` at least, a whole chunk at most."""
    return min(max(least, 1 << int(max(fits, 1.0)).bit_length() - 1), CHUNK_BYTES)


def chunk_count(size: int) -> int:
    """Chunks of a blob of `size` bytes; an empty blob has none."""
    return -(-size // CHUNK_BYTES)


def page_count(size: int) -> int:
    """Manifest pages of a blob of `size` bytes."""
    return -(-chunk_count(size) // PAGE_CHUNKS)


@dataclass(frozen=True, slots=True)
class ManifestRoot:
    """Rule, size and SHA-256 of the whole, and the digest of each page; no name, time or publisher."""

    size: int
    sha256: Digest
    pages: tuple[Digest, ...]
    rule: int = RULE_FIXED


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What everybody needs to know of a blob to handle its chunks by index."""

    blob: BlobId
    size: int
    sha256: Digest

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return chunk_count(self.size)

    @property
    def pages(self) -> int:
        """Number of manifest pages."""
        return page_count(self.size)

    def chunk_bytes(self, index: int) -> int:
        """Length of chunk `index`: 256 KiB for all but the last."""
        if not 0 <= index < self.chunks:
            raise IndexError(f"chunk {index} of {self.chunks}")
        return min(CHUNK_BYTES, self.size - index * CHUNK_BYTES)

    def page_range(self, page: int) -> range:
        """The chunk indexes whose digests page `page` lists."""
        return range(page * PAGE_CHUNKS, min((page + 1) * PAGE_CHUNKS, self.chunks))
