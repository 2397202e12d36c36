"""Names of nodes, blobs and chunks: distinct types, one text form, one parser each.

A node is named by its public key, a blob by the digest of its manifest's root, a chunk by its own digest.
Text is lower-case base32 without padding (RFC 4648 section 6): it survives DNS labels, MQTT topics and file names.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NewType

from edgecache.model.errors import UsageError

NodeId = NewType("NodeId", str)
"""`n` and 26 base32 characters: the first 128 bits of SHA-256 over the DER SubjectPublicKeyInfo."""

BlobId = NewType("BlobId", str)
"""Multibase base32 (`b`) of a version byte and the SHA-256 of the manifest root: 54 characters."""

Digest = NewType("Digest", bytes)
"""A SHA-256: 32 bytes."""

NODE_ID_BYTES = 16
DIGEST_BYTES = 32
BLOB_ID_VERSION = 1
BLOB_PREFIX_MIN = 8

_NODE_TEXT = re.compile(r"n[a-z2-7]{26}\Z")
_BLOB_TEXT = re.compile(r"b[a-z2-7]{53}\Z")
_BLOB_PREFIX = re.compile(r"b[a-z2-7]{7,52}\Z")
_SHA256_TEXT = re.compile(r"sha256:([0-9a-fA-F]{64})\Z")


def _b32(data: bytes) -> str:
    return base64.b32encode(data).decode("ascii").lower().rstrip("=")


def _unb32(text: str) -> bytes:
    return base64.b32decode(text.upper() + "=" * (-len(text) % 8))


def sha256(data: bytes | bytearray | memoryview) -> Digest:
    """SHA-256 of `data`."""
    return Digest(hashlib.sha256(data).digest())


def node_id_from_spki(spki_der: bytes) -> NodeId:
    """The id of the node that holds this public key (DER SubjectPublicKeyInfo)."""
    return node_id_from_bytes(hashlib.sha256(spki_der).digest()[:NODE_ID_BYTES])


def node_id_from_bytes(raw: bytes) -> NodeId:
    """The text form of a 16-byte node id."""
    if len(raw) != NODE_ID_BYTES:
        raise UsageError(f"a node id has {NODE_ID_BYTES} bytes, not {len(raw)}")
    return NodeId("n" + _b32(raw))


def node_id_to_bytes(node: NodeId) -> bytes:
    """The 16 bytes of a node id, as they go on the wire."""
    return _unb32(node[1:])


def parse_node_id(text: str) -> NodeId:
    """A node id from a user or a file; raises UsageError when it is none."""
    if not _NODE_TEXT.match(text):
        raise UsageError(f"{text!r} is not a node id", hint="a node id is 'n' and 26 characters a-z, 2-7")
    try:
        canonical = node_id_from_bytes(_unb32(text[1:]))
    except (binascii.Error, ValueError) as error:
        raise UsageError(f"{text!r} is not a node id") from error
    if canonical != text:
        raise UsageError(f"{text!r} is not a node id: its last character has stray bits")
    return canonical


def blob_id_from_root(root: bytes) -> BlobId:
    """The id of the blob whose encoded manifest root this is."""
    return blob_id_from_bytes(bytes([BLOB_ID_VERSION]) + hashlib.sha256(root).digest())


def blob_id_from_bytes(raw: bytes) -> BlobId:
    """The text form of a 33-byte blob id; refuses versions it does not know."""
    if len(raw) != 1 + DIGEST_BYTES:
        raise UsageError(f"a blob id has {1 + DIGEST_BYTES} bytes, not {len(raw)}")
    if raw[0] != BLOB_ID_VERSION:
        raise UsageError(f"blob id version {raw[0]} is not known here", hint="a newer edgecache may have made it")
    return BlobId("b" + _b32(raw))


def blob_id_to_bytes(blob: BlobId) -> bytes:
    """Version byte and root digest: 33 bytes, as they go on the wire."""
    return _unb32(blob[1:])


@lru_cache(maxsize=256)  # each request for a chunk names its blob
def parse_blob_id(text: str) -> BlobId:
    """A full blob id from a user, a file or a path segment; raises UsageError when it is none."""
    if not _BLOB_TEXT.match(text):
        raise UsageError(f"{text!r} is not a blob id", hint="a blob id is 'b' and 53 characters a-z, 2-7")
    try:
        canonical = blob_id_from_bytes(_unb32(text[1:]))
    except (binascii.Error, ValueError) as error:
        raise UsageError(f"{text!r} is not a blob id") from error
    if canonical != text:
        raise UsageError(f"{text!r} is not a blob id: its last character has stray bits")
    return canonical


@dataclass(frozen=True, slots=True)
class BlobRef:
    """What a user may write for a blob: exactly one of the three is set."""

    blob: BlobId | None = None
    prefix: str | None = None
    sha256: Digest | None = None

    def __str__(self) -> str:
        if self.sha256 is not None:
            return f"sha256:{self.sha256.hex()}"
        return self.blob or self.prefix or ""


def parse_blob_ref(text: str) -> BlobRef:
    """A full id, a prefix of at least 8 characters, or `sha256:HEX` of the whole; raises UsageError otherwise."""
    if found := _SHA256_TEXT.match(text):
        return BlobRef(sha256=Digest(bytes.fromhex(found[1])))
    if _BLOB_TEXT.match(text):
        return BlobRef(blob=parse_blob_id(text))
    if _BLOB_PREFIX.match(text):
        return BlobRef(prefix=text)
    raise UsageError(
        f"{text!r} does not name a blob",
        hint=f"give the id that `put` printed, {BLOB_PREFIX_MIN} or more of its first characters, or sha256:HEX",
    )
