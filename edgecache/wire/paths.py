"""CoAP resource paths: built and parsed here only."""

from __future__ import annotations

import re

from edgecache.model.errors import MalformedMessage, UsageError
from edgecache.model.ids import BlobId, Digest, parse_blob_id
from edgecache.model.priority import Priority, priority_named
from edgecache.wire import messages as m
from edgecache.wire.limits import CHUNKS_MAX

NODE = ("node",)
GOSSIP = ("gossip",)
DIRECTORY = ("directory",)
BLOB = "blob"
CHUNK = "chunk"
READING = "reading"
MANIFEST = "manifest"
HAVE = "have"

_DIGEST = re.compile(r"[0-9a-f]{64}")
_INDEX = re.compile(r"0|[1-9][0-9]{0,6}")
_BYTES = re.compile(r"[1-9][0-9]{0,6}")
_CHUNK_FORM = "a chunk is asked for as /chunk/{digest}?b={blob}&i={index}"

_POSTED: dict[type, tuple[str, ...]] = {
    m.Hello: NODE,
    m.Goodbye: NODE,
    m.Gossip: GOSSIP,
    m.StateDigest: GOSSIP,
    m.StateSummary: GOSSIP,
    m.StatePull: GOSSIP,
    m.StatePrune: GOSSIP,
    m.StatePush: GOSSIP,
    m.Announce: DIRECTORY,
    m.Lookup: DIRECTORY,
    m.Providers: DIRECTORY,
    m.Flood: DIRECTORY,
    m.Cancel: (CHUNK,),
}


def path_of(message: m.Message) -> tuple[str, ...]:
    """Where a control message is POSTed."""
    if isinstance(message, m.Have):
        return (BLOB, message.blob, HAVE)
    return _POSTED[type(message)]


def manifest_path(blob: BlobId) -> tuple[str, ...]:
    """GET: the manifest root, or with `?page=N` one page."""
    return (BLOB, blob, MANIFEST)


def small_query(most: int) -> tuple[str, ...]:
    """With a request for a root: a blob of one chunk may come instead, when it has at most so many bytes. Its manifest
    follows from it. Older nodes ignore this and answer with the root."""
    return (f"whole={most}",)


def parse_small(query: tuple[str, ...]) -> int:
    """How large a blob may be that comes instead of its root; 0 when none may."""
    claimed = next((part[6:] for part in query if part.startswith("whole=")), "")
    return int(claimed) if _BYTES.fullmatch(claimed) else 0


def chunk_path(digest: Digest) -> tuple[str, ...]:
    """GET: the bytes of one chunk; the query says in which blob and where (`b`, `i`)."""
    return (CHUNK, digest.hex())


def chunk_query(blob: BlobId, index: int) -> tuple[str, ...]:
    """Where the provider finds the chunk without an index over digests."""
    return (f"b={blob}", f"i={index}")


def parse_chunk(path: tuple[str, ...], query: tuple[str, ...]) -> tuple[Digest, BlobId, int]:
    """Digest, blob and index of a chunk request; raises MalformedMessage."""
    try:
        (text,) = path
        fields = dict(part.split("=", 1) for part in query)
        blob, index = parse_blob_id(fields["b"]), fields["i"]
    except (ValueError, KeyError, UsageError) as error:
        raise MalformedMessage(_CHUNK_FORM) from error
    if not _DIGEST.fullmatch(text) or not _INDEX.fullmatch(index) or int(index) >= CHUNKS_MAX:
        raise MalformedMessage(_CHUNK_FORM)
    return Digest(bytes.fromhex(text)), blob, int(index)


def unit_query(size: int) -> str:
    """How many bytes of the chunk are asked for, from where the request's Block2 says (from its begin without)."""
    return f"n={size}"


def parse_unit(query: tuple[str, ...]) -> int | None:
    """The number of bytes that `unit_query` asks for; None: to the end of the chunk."""
    for part in query:
        key, _, value = part.partition("=")
        if key == "n":
            if not _BYTES.fullmatch(value):
                raise MalformedMessage("n is a number of bytes")
            return int(value)
    return None


def priority_query(priority: Priority) -> tuple[str, ...]:
    """The class of a chunk request; a normal one names none, and older nodes ignore it."""
    return () if priority is Priority.NORMAL else (f"c={priority.word}",)


def parse_priority(query: tuple[str, ...]) -> Priority:
    """The class that a chunk request claims; normal when it names none that we know."""
    claimed = next((part[2:] for part in query if part.startswith("c=")), "")
    found = priority_named(claimed)
    return Priority.NORMAL if found is None else found


def parse_page(query: tuple[str, ...]) -> int | None:
    """The page a manifest request selects; None is the root."""
    for part in query:
        key, _, value = part.partition("=")
        if key == "page":
            if not value.isascii() or not value.isdigit() or len(value) > 5:
                raise MalformedMessage("page is a number")
            return int(value)
    return None
