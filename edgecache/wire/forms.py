"""How each kind of field looks on the wire: one `Form` per shape, its bounds enforced in both directions.

Structures inside a message are arrays of their fields in a fixed order: compact, and only the message itself has keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, Generic, TypeVar

from edgecache.model.errors import UsageError
from edgecache.model.have import HaveSet
from edgecache.model.ids import (
    BLOB_ID_VERSION,
    DIGEST_BYTES,
    NODE_ID_BYTES,
    BlobId,
    BlobRef,
    Digest,
    NodeId,
    blob_id_from_bytes,
    blob_id_to_bytes,
    node_id_from_bytes,
    node_id_to_bytes,
    parse_blob_ref,
)
from edgecache.wire.limits import CHUNKS_MAX, NAME_BYTES_MAX, RUNS_MAX

T = TypeVar("T")
K = TypeVar("K")

_IDS_CACHED = 4096
"""Node and blob ids converted lately: a site has fewer, and base32 costs more than all else in a message."""

UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters and text direction overrides: names are printed on terminals."""

_HOST = re.compile(r"[0-9A-Fa-f:.]{2,45}(%[0-9A-Za-z._-]{1,15})?\Z")


class Wrong(Exception):
    """A value is not what its form wants; `path` says where, filled in from the inside out."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.path: list[str] = []

    def __str__(self) -> str:
        return f"{''.join(reversed(self.path))}: {self.args[0]}"


@dataclass(frozen=True, slots=True)
class Form(Generic[T]):
    """The two directions of one shape; both raise Wrong."""

    pack: Callable[[T], object]
    parse: Callable[[object], T]


def uint(maximum: int, minimum: int = 0) -> Form[int]:
    """An integer from `minimum` to `maximum`."""

    def check(value: object) -> int:
        if type(value) is not int or not minimum <= value <= maximum:
            raise Wrong(f"not an integer from {minimum} to {maximum}")
        return value

    return Form(check, check)


def octets(maximum: int, minimum: int = 0) -> Form[bytes]:
    """A byte string of `minimum` to `maximum` bytes."""

    def check(value: object) -> bytes:
        if type(value) is not bytes or not minimum <= len(value) <= maximum:
            raise Wrong(f"not a byte string of {minimum} to {maximum} bytes")
        return value

    return Form(check, check)


def text(maximum: int, minimum: int = 0, pattern: re.Pattern[str] | None = None) -> Form[str]:
    """Text of `minimum` to `maximum` bytes, without control characters, and all of it matching `pattern`."""

    def check(value: object) -> str:
        if not isinstance(value, str) or len(value) > maximum or UNSHOWABLE.search(value):
            raise Wrong(f"not printable text of at most {maximum} bytes")
        if not minimum <= len(value if value.isascii() else value.encode()) <= maximum:
            raise Wrong(f"not text of {minimum} to {maximum} bytes")
        if pattern is not None and not pattern.fullmatch(value):
            raise Wrong("has characters that may not stand here")
        return value

    return Form(check, check)


def _check_flag(value: object) -> bool:
    if type(value) is not bool:
        raise Wrong("not true or false")
    return value


FLAG = Form(_check_flag, _check_flag)


def one_of(numbers: Mapping[K, int]) -> Form[K]:
    """A value out of a closed table, as its number."""
    back = {number: value for value, number in numbers.items()}

    def parse(value: object) -> K:
        if type(value) is not int or value not in back:
            raise Wrong("not a number that has a meaning here")
        return back[value]

    return Form(numbers.__getitem__, parse)


def several(form: Form[T], maximum: int) -> Form[tuple[T, ...]]:
    """An array of at most `maximum` of one form."""

    def walk(items: list[object] | tuple[T, ...], step: Callable[..., object]) -> list[object]:
        if len(items) > maximum:
            raise Wrong(f"{len(items)} elements where {maximum} may be")
        out: list[object] = []
        try:
            for item in items:
                out.append(step(item))
        except Wrong as wrong:
            wrong.path.append(f"[{len(out)}]")
            raise
        return out

    def parse(value: object) -> tuple[T, ...]:
        if type(value) is not list:
            raise Wrong("not an array")
        return tuple(walk(value, form.parse))  # type: ignore[arg-type]

    return Form(lambda items: walk(items, form.pack), parse)


def record(
    cls: Callable[..., T],
    fields: Mapping[str, Form[Any]],
    *,
    growing: bool = False,
    check: Callable[[T], str | None] = lambda value: None,
) -> Form[T]:
    """A dataclass as an array of its fields in this order; of a `growing` one later versions may add fields at the end.

    `check` says what is wrong with a value whose fields are each right.
    """
    names = tuple(fields)
    packers = tuple((name, form.pack) for name, form in fields.items())
    parsers = tuple((name, form.parse) for name, form in fields.items())

    def pack(value: T) -> object:
        if found := check(value):
            raise Wrong(found)
        out: list[object] = []
        try:
            for name, step in packers:
                out.append(step(getattr(value, name)))
        except Wrong as wrong:
            wrong.path.append(f".{names[len(out)]}")
            raise
        return out

    def parse(value: object) -> T:
        if type(value) is not list or len(value) < len(names) or (len(value) > len(names) and not growing):
            raise Wrong(f"not an array of {', '.join(names)}")
        out: list[object] = []
        try:
            for (_, step), item in zip(parsers, value, strict=False):
                out.append(step(item))
        except Wrong as wrong:
            wrong.path.append(f".{names[len(out)]}")
            raise
        made = cls(*out)
        if found := check(made):
            raise Wrong(found)
        return made

    return Form(pack, parse)


_node_text = lru_cache(_IDS_CACHED)(node_id_from_bytes)
_node_raw = lru_cache(_IDS_CACHED)(node_id_to_bytes)
_blob_text = lru_cache(_IDS_CACHED)(blob_id_from_bytes)
_blob_raw = lru_cache(_IDS_CACHED)(blob_id_to_bytes)


def _pack_node(node: NodeId) -> bytes:
    try:
        return _node_raw(node)
    except ValueError as error:
        raise Wrong("not a node id") from error


def _parse_node(value: object) -> NodeId:
    if type(value) is not bytes or len(value) != NODE_ID_BYTES:
        raise Wrong(f"not a node id of {NODE_ID_BYTES} bytes")
    return _node_text(value)


def _pack_blob(blob: BlobId) -> bytes:
    try:
        return _blob_raw(blob)
    except ValueError as error:
        raise Wrong("not a blob id") from error


def _parse_blob(value: object) -> BlobId:
    if type(value) is not bytes or len(value) != 1 + DIGEST_BYTES or value[0] != BLOB_ID_VERSION:
        raise Wrong(f"not a blob id of {1 + DIGEST_BYTES} bytes, the first {BLOB_ID_VERSION}")
    return _blob_text(value)


def _parse_digest(value: object) -> Digest:
    if type(value) is not bytes or len(value) != DIGEST_BYTES:
        raise Wrong(f"not a SHA-256 of {DIGEST_BYTES} bytes")
    return Digest(value)


NODE = Form(_pack_node, _parse_node)
BLOB = Form(_pack_blob, _parse_blob)
DIGEST = Form(_parse_digest, _parse_digest)
NAME = text(NAME_BYTES_MAX)


@lru_cache(_IDS_CACHED)
def _is_host(value: str) -> bool:
    if not _HOST.match(value):
        return False
    try:
        ip_address(value)
    except ValueError:
        return False
    return True


def _check_host(value: object) -> str:
    if type(value) is not str or len(value) > NAME_BYTES_MAX or not _is_host(value):
        raise Wrong("not an IP address")
    return value


HOST = Form(_check_host, _check_host)


def _pack_ref(ref: BlobRef) -> object:
    if ref.sha256 is not None:
        return _parse_digest(ref.sha256)
    if ref.blob is not None:
        return _pack_blob(ref.blob)
    return _parse_ref(ref.prefix).prefix


def _parse_ref(value: object) -> BlobRef:
    """33 bytes are a blob id, 32 the SHA-256 of the whole, text the beginning of an id."""
    if type(value) is bytes:
        return BlobRef(sha256=Digest(value)) if len(value) == DIGEST_BYTES else BlobRef(blob=_parse_blob(value))
    if type(value) is str:
        try:
            ref = parse_blob_ref(value)
        except UsageError as error:
            raise Wrong(error.message) from error
        if ref.prefix is not None:
            return ref
    raise Wrong("not a blob id, a SHA-256 or the beginning of a blob id")


REF = Form(_pack_ref, _parse_ref)


def _runs_bytes(runs: list[int]) -> int:
    """Bytes of these run lengths as CBOR."""
    return sum(1 if run < 24 else 2 if run < 1 << 8 else 3 if run < 1 << 16 else 5 for run in runs)


def _pack_have(have: HaveSet) -> object:
    """Run lengths, absent first; a little-endian bitmap when that is shorter."""
    bits = have.bits
    if bits < 0 or bits.bit_length() > CHUNKS_MAX:
        raise Wrong(f"has indexes beyond {CHUNKS_MAX}")
    bitmap_bytes = (bits.bit_length() + 7) // 8
    turns = (bits ^ bits << 1).bit_count()
    if turns <= min(bitmap_bytes, RUNS_MAX):
        runs = have.runs()
        if _runs_bytes(runs) <= bitmap_bytes:
            return runs
    return bits.to_bytes(bitmap_bytes, "little")


def _parse_have(value: object) -> HaveSet:
    if type(value) is bytes:
        if len(value) > CHUNKS_MAX // 8 or value[-1:] == b"\0":
            raise Wrong("not a bitmap of chunks")
        return HaveSet(int.from_bytes(value, "little"))
    if type(value) is not list or len(value) > RUNS_MAX or len(value) % 2:
        raise Wrong(f"not a bitmap or an even number of at most {RUNS_MAX} run lengths")
    total = 0
    for at, run in enumerate(value):
        if type(run) is not int or run < (at > 0):
            raise Wrong("not run lengths")
        total += run
    if total > CHUNKS_MAX:
        raise Wrong(f"has indexes beyond {CHUNKS_MAX}")
    return HaveSet.from_runs(value)


HAVE = Form(_pack_have, _parse_have)
