"""Blobs and their chunks: the arithmetic between sizes, offsets, chunk indexes and manifest pages."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from edgecache.model.have import HaveSet
from edgecache.model.ids import DIGEST_BYTES, BlobId, Digest, sha256

CHUNK_BYTES = 256 * 1024
"""A chunk under rule 1, and what is hashed in one go under every rule (a leaf)."""

LARGE_CHUNK_BYTES = 2 * CHUNK_BYTES
"""A chunk under rule 3, the largest there is. Each costs about the same, whatever its size: with two leaves in one, a
blob goes a fifth faster from one node to another, with four no faster than that (decision 0014)."""

LARGE_BLOB_BYTES = 1024 * CHUNK_BYTES
"""From here on a blob has chunks under rule 3. So it has 512 at least: with fewer a swarm of 16 nodes and more waits
longer for its first chunks (decision 0014)."""

UNITS_AHEAD = 2
"""Units of one chunk that a driver asks for at once: the next is on its way while the answer to the last travels."""

PAGE_CHUNKS = 1024
"""Chunk digests in one manifest page: 32 KiB of digests describe 256 MiB, or 512."""

MAX_PAGES = 1024
"""Bounds a manifest root at about 35 KiB, and a blob at 256 GiB."""

MAX_BLOB_BYTES = MAX_PAGES * PAGE_CHUNKS * CHUNK_BYTES

RULE_FIXED, RULE_LARGE = 1, 3

CHUNK_SIZES: Final = MappingProxyType({RULE_FIXED: CHUNK_BYTES, RULE_LARGE: LARGE_CHUNK_BYTES})
"""Chunk sizes of the rules that we know."""


def rule_of(size: int) -> int:
    """The rule for a new blob of `size` bytes, which says all: the same file has the same id everywhere."""
    return RULE_FIXED if size < LARGE_BLOB_BYTES else RULE_LARGE


def unit_bytes(fits: float, least: int) -> int:
    """The largest unit of a chunk, a power of two, of at most `fits` bytes: `least` at least, a leaf at most."""
    return min(max(least, 1 << int(max(fits, 1.0)).bit_length() - 1), CHUNK_BYTES)


def chunk_count(size: int, chunk_size: int = CHUNK_BYTES) -> int:
    """Chunks of a blob of `size` bytes; an empty blob has none."""
    return -(-size // chunk_size)


def page_count(size: int, chunk_size: int = CHUNK_BYTES) -> int:
    """Manifest pages of a blob of `size` bytes."""
    return -(-chunk_count(size, chunk_size) // PAGE_CHUNKS)


def chunk_digest(data: bytes | bytearray | memoryview) -> Digest:
    """What a manifest says of a chunk: its SHA-256; if it is longer than a leaf, that of the SHA-256 of its leaves.

    Says nothing of its length: whoever does not know that checks it, too.
    """
    view = memoryview(data)
    return joined(b"".join([sha256(view[at : at + CHUNK_BYTES]) for at in range(0, view.nbytes, CHUNK_BYTES)]))


def joined(leaves: bytes) -> Digest:
    """The digest of a chunk whose leaves have these, one after the other."""
    return Digest(leaves) if len(leaves) == DIGEST_BYTES else sha256(leaves)


@dataclass(frozen=True, slots=True)
class ManifestRoot:
    """Rule, size and SHA-256 of the whole, and the digest of each page; no name, time or publisher."""

    size: int
    sha256: Digest
    pages: tuple[Digest, ...]
    rule: int = RULE_FIXED

    @property
    def chunk_size(self) -> int:
        """Length of all chunks but the last."""
        return CHUNK_SIZES[self.rule]


@dataclass(frozen=True, slots=True)
class BlobInfo:
    """What everybody needs to know of a blob to handle its chunks by index."""

    blob: BlobId
    size: int
    sha256: Digest
    chunk_size: int = CHUNK_BYTES
    """Of all its chunks but the last."""

    @property
    def chunks(self) -> int:
        """Number of chunks."""
        return chunk_count(self.size, self.chunk_size)

    @property
    def pages(self) -> int:
        """Number of manifest pages."""
        return page_count(self.size, self.chunk_size)

    def offset(self, index: int) -> int:
        """Where chunk `index` begins."""
        return index * self.chunk_size

    def chunk_bytes(self, index: int) -> int:
        """Length of chunk `index`."""
        if not 0 <= index < self.chunks:
            raise IndexError(f"chunk {index} of {self.chunks}")
        return min(self.chunk_size, self.size - index * self.chunk_size)

    def bytes_of(self, have: HaveSet) -> int:
        """Bytes of these of its chunks."""
        if not have:
            return 0
        last = self.chunks - 1
        short = self.chunk_size - self.chunk_bytes(last) if last in have else 0
        return len(have) * self.chunk_size - short

    def is_chunk(self, index: int, data: bytes | bytearray | memoryview, digest: Digest) -> bool:
        """Whether that is chunk `index`, of which the manifest says `digest`."""
        return memoryview(data).nbytes == self.chunk_bytes(index) and chunk_digest(data) == digest

    def page_range(self, page: int) -> range:
        """The chunk indexes whose digests page `page` lists."""
        return range(page * PAGE_CHUNKS, min((page + 1) * PAGE_CHUNKS, self.chunks))
