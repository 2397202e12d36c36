"""CBOR as we take it from strangers: one map of ascending unsigned keys, definite lengths, no tags, nothing after it.

Two things keep a hostile document cheap. Its size is checked by the caller before anything is decoded. And the outer
map is read as a flat array, its keys checked here, while maps inside it may have only text or byte string keys: those
are hashed with a secret, whereas the hashes of integers and arrays can be made to collide (64 KiB of colliding keys
stalled the decoder for 0.4 s).
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import NoReturn

import cbor2

from edgecache.model.errors import MalformedMessage
from edgecache.wire.limits import CBOR_DEPTH_MAX, MAP_KEYS_MAX

KEY_MAX = 0xFFFF
"""Largest key of an outer map: two bytes are room enough for every field that will ever be."""

_MAP = 0xA0
_MAP_ONE_BYTE = 0xB8
_ARRAY_ONE_BYTE = 0x98


class _NoTags(dict[int, Callable[..., object]]):
    """Asked by the decoder for the meaning of each tag, before what is tagged is read: no tag has one."""

    def __missing__(self, tag: int) -> NoReturn:
        raise ValueError(f"tag {tag}")


_NO_TAGS = _NoTags()


def dumps(value: object) -> bytes:
    """Deterministic CBOR (RFC 8949 section 4.2.1, keys by length first as in 4.2.3) of plain values."""
    return cbor2.dumps(value, canonical=True)


def loads(data: bytes, what: str, *, number_keys: bool = False) -> object:
    """One document without tags, indefinite lengths or trailing bytes; raises MalformedMessage, naming `what`.

    `number_keys` lets maps have keys of any type: for small documents only.
    """
    stream = BytesIO(data)
    try:
        value: object = cbor2.CBORDecoder(
            stream,
            semantic_decoders=_NO_TAGS,
            max_depth=CBOR_DEPTH_MAX,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=not number_keys,
        ).decode()
    except Exception as error:  # whatever the decoder raises, it is the sender's doing
        cause = error.__cause__ or error
        raise MalformedMessage(f"{what}: not CBOR as edgecache writes it: {ascii(str(cause))[:120]}") from error
    if stream.tell() != len(data):
        raise MalformedMessage(f"{what}: {len(data) - stream.tell()} bytes after its end")
    return value


def loads_map(data: bytes, what: str) -> dict[int, object]:
    """A document that is one map of ascending unsigned keys; raises MalformedMessage, naming `what`."""
    size, start = _map_header(data, what)
    flat = loads(bytes((_ARRAY_ONE_BYTE, 2 * size)) + data[start:], what)
    if not isinstance(flat, list):
        raise MalformedMessage(f"{what}: not a map")
    found: dict[int, object] = {}
    last = -1
    items = iter(flat)
    for key, value in zip(items, items, strict=True):
        if type(key) is not int or not last < key <= KEY_MAX:
            raise MalformedMessage(f"{what}: keys must be ascending numbers up to {KEY_MAX}; wrong after key {last}")
        found[key] = value
        last = key
    return found


def _map_header(data: bytes, what: str) -> tuple[int, int]:
    """(pairs, length of the header) of the map at the start of `data`."""
    if len(data) > 1:
        first = data[0]
        if _MAP <= first < _MAP_ONE_BYTE:
            return first - _MAP, 1
        if first == _MAP_ONE_BYTE and data[1] <= MAP_KEYS_MAX:
            return data[1], 2
    elif data[:1] == bytes((_MAP,)):
        return 0, 1
    raise MalformedMessage(f"{what}: must be a map of at most {MAP_KEYS_MAX} keys")
