"""CoAP resource paths: built and parsed here only."""

from __future__ import annotations

from edgecache.model.errors import MalformedMessage, UsageError
from edgecache.model.ids import DIGEST_BYTES, BlobId, Digest, parse_blob_id
from edgecache.wire import messages as m

NODE = ("node",)
GOSSIP = ("gossip",)
DIRECTORY = ("directory",)
BLOB = "blob"
CHUNK = "chunk"
READING = "reading"
MANIFEST = "manifest"
HAVE = "have"

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
        digest = bytes.fromhex(text)
        fields = dict(part.split("=", 1) for part in query)
        blob, index = parse_blob_id(fields["b"]), int(fields["i"])
    except (ValueError, KeyError, UsageError) as error:
        raise MalformedMessage("a chunk is asked for as /chunk/{digest}?b={blob}&i={index}") from error
    if len(digest) != DIGEST_BYTES or index < 0:
        raise MalformedMessage("a chunk is asked for as /chunk/{digest}?b={blob}&i={index}")
    return Digest(digest), blob, index


def unit_query(size: int) -> str:
    """How many bytes of the chunk are asked for, from where the request's Block2 says (from its begin without)."""
    return f"n={size}"


def parse_unit(query: tuple[str, ...]) -> int | None:
    """The number of bytes that `unit_query` asks for; None: to the end of the chunk."""
    for part in query:
        key, _, value = part.partition("=")
        if key == "n":
            if not value.isascii() or not value.isdigit() or len(value) > 7 or int(value) == 0:
                raise MalformedMessage("n is a number of bytes")
            return int(value)
    return None


def parse_page(query: tuple[str, ...]) -> int | None:
    """The page a manifest request selects; None is the root."""
    for part in query:
        key, _, value = part.partition("=")
        if key == "page":
            if not value.isascii() or not value.isdigit() or len(value) > 5:
                raise MalformedMessage("page is a number")
            return int(value)
    return None
