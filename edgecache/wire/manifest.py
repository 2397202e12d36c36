"""The manifest of a blob, which is its name: a root over pages of chunk digests. Fixed for ever under chunking rule 1.

A page is up to 1,024 chunk digests, one after the other. The root is the deterministic CBOR map
`{1: rule, 2: size, 3: SHA-256 of the whole, 4: [SHA-256 of each page]}`, and its SHA-256 is in the blob's id.
So a reader that knows the id checks the root, then each page and each chunk as it comes, and never trusts a sender.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

import cbor2

from edgecache.model.content import (
    CHUNK_BYTES,
    MAX_BLOB_BYTES,
    PAGE_CHUNKS,
    RULE_FIXED,
    BlobInfo,
    ManifestRoot,
    chunk_count,
    page_count,
)
from edgecache.model.errors import InvariantBroken, MalformedMessage, UsageError
from edgecache.model.ids import DIGEST_BYTES, BlobId, Digest, blob_id_from_root, sha256
from edgecache.wire.limits import ROOT_BYTES_MAX
from edgecache.wire.strict_cbor import loads_map

RULE, SIZE, SHA256, PAGES = 1, 2, 3, 4
"""Keys of the root."""

_NAME: Final = "manifest root"


def encode_root(root: ManifestRoot) -> bytes:
    """The one encoding of a root."""
    return cbor2.dumps({RULE: root.rule, SIZE: root.size, SHA256: root.sha256, PAGES: root.pages})


def decode_root(data: bytes) -> ManifestRoot:
    """The root that these bytes are; raises MalformedMessage for all others, even another encoding of a good one."""
    if len(data) > ROOT_BYTES_MAX:
        raise MalformedMessage(f"{_NAME}: {len(data)} bytes where {ROOT_BYTES_MAX} may be")
    found = loads_map(data, _NAME)
    if list(found) != [RULE, SIZE, SHA256, PAGES]:
        raise MalformedMessage(f"{_NAME}: has not exactly the keys {RULE} to {PAGES}")
    if found[RULE] != RULE_FIXED:
        raise MalformedMessage(f"{_NAME}: chunking rule is not {RULE_FIXED}", hint="a newer edgecache may have made it")
    size, pages = found[SIZE], found[PAGES]
    if type(size) is not int or not 0 <= size <= MAX_BLOB_BYTES:
        raise MalformedMessage(f"{_NAME}: size is not a number up to {MAX_BLOB_BYTES}")
    if type(pages) is not list or len(pages) != page_count(size):
        raise MalformedMessage(f"{_NAME}: a blob of {size} bytes has {page_count(size)} pages")
    root = ManifestRoot(size, _digest(found[SHA256]), tuple(_digest(page) for page in pages))
    if encode_root(root) != data:
        raise MalformedMessage(f"{_NAME}: not in its deterministic encoding")
    return root


def _digest(value: object) -> Digest:
    if type(value) is not bytes or len(value) != DIGEST_BYTES:
        raise MalformedMessage(f"{_NAME}: a digest has {DIGEST_BYTES} bytes")
    return Digest(value)


def info_of(root: bytes) -> BlobInfo:
    """Id, size and digest of the blob with this encoded root; raises MalformedMessage."""
    decoded = decode_root(root)
    return BlobInfo(blob_id_from_root(root), decoded.size, decoded.sha256)


def page_digests(root: ManifestRoot, page: int, data: bytes) -> list[Digest]:
    """The chunk digests in page number `page`; raises MalformedMessage when `data` is not that page of this root."""
    if not 0 <= page < len(root.pages):
        raise MalformedMessage(f"manifest page {page}: there are {len(root.pages)}")
    count = min(PAGE_CHUNKS, chunk_count(root.size) - page * PAGE_CHUNKS)
    if len(data) != count * DIGEST_BYTES or sha256(data) != root.pages[page]:
        raise MalformedMessage(f"manifest page {page}: not the {count} digests that its root names")
    return [Digest(bytes(data[at : at + DIGEST_BYTES])) for at in range(0, len(data), DIGEST_BYTES)]


def is_whole(blob: BlobId, content: bytes) -> bool:
    """Whether this is all of that blob, and it has one chunk: its manifest follows from its content."""
    if not 0 < len(content) <= CHUNK_BYTES:
        return False
    builder = ManifestBuilder()
    builder.update(content)
    return builder.finish().blob == blob


class Manifest(NamedTuple):
    """A whole manifest, as `ManifestBuilder` leaves it."""

    blob: BlobId
    root: bytes
    pages: list[bytes]


class ManifestBuilder:
    """Makes a manifest from the chunks of a blob in their order; keeps only the pages (32 KiB for 256 MiB)."""

    def __init__(self) -> None:
        self._whole = hashlib.sha256()
        self._size = 0
        self._pages: list[bytearray] = []

    @property
    def size(self) -> int:
        """Bytes fed so far."""
        return self._size

    def update(self, chunk: bytes | bytearray | memoryview) -> Digest:
        """Feed the next chunk and get its digest. Only the last may be short; UsageError beyond the largest blob."""
        length = memoryview(chunk).nbytes
        if not 0 < length <= CHUNK_BYTES or self._size % CHUNK_BYTES:
            raise InvariantBroken(f"a chunk of {length} bytes after {self._size}: all but the last have {CHUNK_BYTES}")
        if self._size + length > MAX_BLOB_BYTES:
            raise UsageError(f"a blob has at most {MAX_BLOB_BYTES} bytes", hint="split the file")
        digest = sha256(chunk)
        if not self._pages or len(self._pages[-1]) == PAGE_CHUNKS * DIGEST_BYTES:
            self._pages.append(bytearray())
        self._pages[-1] += digest
        self._whole.update(chunk)
        self._size += length
        return digest

    def finish(self) -> Manifest:
        """The manifest of what was fed: nothing at all makes that of the empty blob."""
        digests = tuple(sha256(page) for page in self._pages)
        root = encode_root(ManifestRoot(self._size, Digest(self._whole.digest()), digests))
        return Manifest(blob_id_from_root(root), root, [bytes(page) for page in self._pages])
