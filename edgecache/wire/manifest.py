"""The manifest of a blob, which is its name: a root over pages of chunk digests. Fixed for ever under each rule.

A page is up to 1,024 chunk digests, one after the other. The root is the deterministic CBOR map
`{1: rule, 2: size, 3: SHA-256 of the whole, 4: [SHA-256 of each page]}`, and its SHA-256 is in the blob's id.
So a reader that knows the id checks the root, then each page and each chunk as it comes, and never trusts a sender.
Under rule 1 chunks have 256 KiB; under rule 3, of blobs of 256 MiB and more, 512 KiB. Blobs of that size that were put
before there was rule 3 have rule 1 and keep it. Rule 2 is kept for chunks whose borders their content decides.
"""

from __future__ import annotations

import hashlib
from typing import Final, NamedTuple

import cbor2

from edgecache.model.content import (
    CHUNK_BYTES,
    CHUNK_SIZES,
    MAX_BLOB_BYTES,
    PAGE_CHUNKS,
    RULE_FIXED,
    BlobInfo,
    ManifestRoot,
    chunk_count,
    joined,
    page_count,
    rule_of,
)
from edgecache.model.errors import InvariantBroken, MalformedMessage, UnknownRule, UsageError
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
    """The root that these bytes are; raises MalformedMessage for all others, even another encoding of a good one, and
    UnknownRule for what a newer edgecache may have made."""
    if len(data) > ROOT_BYTES_MAX:
        raise MalformedMessage(f"{_NAME}: {len(data)} bytes where {ROOT_BYTES_MAX} may be")
    found = loads_map(data, _NAME)
    if list(found) != [RULE, SIZE, SHA256, PAGES]:
        raise MalformedMessage(f"{_NAME}: has not exactly the keys {RULE} to {PAGES}")
    rule, size, pages = found[RULE], found[SIZE], found[PAGES]
    if type(rule) is not int:
        raise MalformedMessage(f"{_NAME}: a chunking rule is a number")
    if rule not in CHUNK_SIZES:
        known = " and ".join(map(str, CHUNK_SIZES))
        raise UnknownRule(
            f"{_NAME}: chunking rule {rule}, and only {known} are known here", hint="install a newer edgecache"
        )
    if type(size) is not int or not 0 <= size <= MAX_BLOB_BYTES:
        raise MalformedMessage(f"{_NAME}: size is not a number up to {MAX_BLOB_BYTES}")
    if rule != RULE_FIXED and rule != rule_of(size):
        raise MalformedMessage(f"{_NAME}: a blob of {size} bytes has chunking rule {rule_of(size)}")
    expected = page_count(size, CHUNK_SIZES[rule])
    if type(pages) is not list or len(pages) != expected:
        raise MalformedMessage(f"{_NAME}: a blob of {size} bytes has {expected} pages")
    root = ManifestRoot(size, _digest(found[SHA256]), tuple(_digest(page) for page in pages), rule)
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
    return BlobInfo(blob_id_from_root(root), decoded.size, decoded.sha256, decoded.chunk_size)


def page_digests(root: ManifestRoot, page: int, data: bytes) -> list[Digest]:
    """The chunk digests in page number `page`; raises MalformedMessage when `data` is not that page of this root."""
    if not 0 <= page < len(root.pages):
        raise MalformedMessage(f"manifest page {page}: there are {len(root.pages)}")
    count = min(PAGE_CHUNKS, chunk_count(root.size, root.chunk_size) - page * PAGE_CHUNKS)
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
    """Makes a manifest from the leaves of a blob in their order; keeps only their digests (32 KiB for 256 MiB).

    Which rule a blob has is known at its end. As a long chunk is named by the digests of its leaves, no byte is hashed
    once more for that.
    """

    def __init__(self) -> None:
        self._whole = hashlib.sha256()
        self._size = 0
        self._leaves = bytearray()

    @property
    def size(self) -> int:
        """Bytes fed so far."""
        return self._size

    def update(self, leaf: bytes | bytearray | memoryview) -> None:
        """Feed the next CHUNK_BYTES. Only the last leaf may be short; UsageError beyond the largest blob."""
        length = memoryview(leaf).nbytes
        if not 0 < length <= CHUNK_BYTES or self._size % CHUNK_BYTES:
            raise InvariantBroken(f"a leaf of {length} bytes after {self._size}: all but the last have {CHUNK_BYTES}")
        if self._size + length > MAX_BLOB_BYTES:
            raise UsageError(f"a blob has at most {MAX_BLOB_BYTES} bytes", hint="split the file")
        self._leaves += sha256(leaf)
        self._whole.update(leaf)
        self._size += length

    def finish(self) -> Manifest:
        """The manifest of what was fed: nothing at all makes that of the empty blob."""
        rule = rule_of(self._size)
        digests = b"".join(map(joined, _parts(self._leaves, CHUNK_SIZES[rule] // CHUNK_BYTES)))
        pages = _parts(digests, PAGE_CHUNKS)
        whole = Digest(self._whole.digest())
        root = encode_root(ManifestRoot(self._size, whole, tuple(sha256(page) for page in pages), rule))
        return Manifest(blob_id_from_root(root), root, pages)


def _parts(digests: bytes | bytearray, count: int) -> list[bytes]:
    """So many digests in each but the last."""
    return [bytes(digests[at : at + count * DIGEST_BYTES]) for at in range(0, len(digests), count * DIGEST_BYTES)]
