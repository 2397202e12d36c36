"""Messages to bytes and back: deterministic CBOR maps with integer keys; `edgecache.cddl` is the same in words.

Key 0 is the number of the message's kind, and stands first. Of the keys that a reader does not know it ignores the even
ones and refuses the message over an odd one, so that later versions can say which of their additions may be overlooked.
Everything is bounded by `limits.py`, the whole before it is decoded, and each field is checked before a message exists.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, Final

import cbor2

from edgecache.model.errors import LocalProtocolError, MalformedMessage
from edgecache.model.ids import Digest, NodeId
from edgecache.model.peer import Address, CloseReason, Limits, PeerInfo
from edgecache.wire import limits, strict_cbor
from edgecache.wire import messages as m
from edgecache.wire.forms import (
    BLOB,
    DIGEST,
    FLAG,
    HAVE,
    HOST,
    NAME,
    NODE,
    REF,
    Form,
    Wrong,
    octets,
    one_of,
    record,
    several,
    text,
    uint,
)

HEAD_DOMAIN: Final = "edgecache state head 1"
"""First element of what a head's signature covers, so that it can never be taken for a signature of something else."""

MAP_DOMAIN: Final = "edgecache state map 1"

HOST_HASH_BYTES = 8
"""Hash of the machine id in a hello."""

_NEWER: Final = "a newer edgecache may have sent it"

_REQUIRED = object()


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message: its key, and what its absence means on the wire (never a default that may change)."""

    key: int
    name: str
    form: Form[Any]
    absent: object = _REQUIRED

    @property
    def required(self) -> bool:
        """Whether a message without it is refused."""
        return self.absent is _REQUIRED


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of message; `check` says what is wrong with one whose fields are each right."""

    number: int
    cls: type
    fields: tuple[Field, ...]
    limit: int = limits.CONTROL_BYTES_MAX
    check: Callable[[Any], str | None] = lambda message: None


def _check_hello(hello: m.Hello) -> str | None:
    if len(hello.versions) != 2 or hello.versions[0] > hello.versions[1]:
        return "versions are not the lowest and the highest"
    return None if len(hello.host) in (0, HOST_HASH_BYTES) else f"host has not {HOST_HASH_BYTES} bytes"


def _check_claim(claim: m.Claim) -> str | None:
    return None if claim.held <= claim.chunks else "holds more chunks than there are"


def _check_push(push: m.StatePush) -> str | None:
    if not push.since <= push.version:
        return "since is after version"
    if any(not push.since < entry.version <= push.version for entry in push.entries):
        return "an entry's version is not in (since, version]"
    if len({entry.key for entry in push.entries}) != len(push.entries):
        return "one key twice"
    if sum(len(entry.key) + len(entry.value or b"") for entry in push.entries) > limits.OWNER_BYTES_MAX:
        return f"more than {limits.OWNER_BYTES_MAX} bytes of keys and values"
    return None


def _optional(form: Form[Any]) -> Form[Any]:
    def either(step: Callable[[Any], object], value: object) -> object:
        return None if value is None else step(value)

    return Form(partial(either, form.pack), partial(either, form.parse))


def _as(build: Callable[[Any], Any], unbuild: Callable[[Any], Any], form: Form[Any]) -> Form[Any]:
    """`form`, in another Python type."""
    return Form(lambda value: form.pack(unbuild(value)), lambda value: build(form.parse(value)))


_COUNTER = uint(limits.COUNTER_MAX)
_QUERY = uint((1 << 64) - 1)
_CHUNKS = uint(limits.CHUNKS_MAX)

_ADDRESSES = several(record(Address, {"host": HOST, "port": uint(65535, 1)}), limits.ADDRESSES_MAX)
_PEER = record(
    PeerInfo,
    {"node": NODE, "addresses": _ADDRESSES, "site": NAME, "name": NAME, "incarnation": _COUNTER},
    growing=True,
)
_LIMITS = record(
    Limits,
    {"window": uint(0xFFFF, 1), "message_bytes": uint(0xFFFFFFFF, 1)},
    growing=True,
)
_VERSIONS = several(uint(0xFFFF, 1), 2)
_FEATURES = _as(frozenset, lambda features: tuple(sorted(features)), several(NAME, limits.FEATURES_MAX))
_REASON = one_of(
    {
        CloseReason.GOODBYE: 1,
        CloseReason.SHED: 2,
        CloseReason.DUPLICATE: 3,
        CloseReason.IDLE: 4,
        CloseReason.INCOMPATIBLE: 5,
        CloseReason.BANNED: 6,
        CloseReason.SILENT: 7,
        CloseReason.BROKEN: 8,
    }
)
_RUMOUR = record(
    m.Rumour,
    {
        "node": NODE,
        "status": one_of({status: int(status) for status in m.MemberStatus}),
        "incarnation": _COUNTER,
        "accuser": NODE,
    },
)
_HEADS = several(record(m.Head, {"owner": NODE, "epoch": _COUNTER, "version": _COUNTER}), limits.HEADS_MAX)
_KEY = text(limits.KEY_BYTES_MAX, 1, re.compile("[!-~]+"))
_ENTRY = record(
    m.Entry, {"key": _KEY, "version": uint(limits.COUNTER_MAX, 1), "value": _optional(octets(limits.VALUE_BYTES_MAX))}
)
_CLAIM = record(m.Claim, {"blob": BLOB, "node": NODE, "held": _CHUNKS, "chunks": _CHUNKS}, check=_check_claim)
_SUMMARY = record(
    m.Summary,
    {"count": uint(limits.COUNTER_MAX), "marks": octets(limits.MARK_BYTES, limits.MARK_BYTES)},
    growing=True,
)
_ENTRIES = several(_ENTRY, limits.ENTRIES_MAX)
_INDEXES = several(uint(limits.CHUNKS_MAX - 1), limits.CANCELS_MAX)

KINDS: Final = (
    Kind(
        1,
        m.Hello,
        (
            Field(1, "versions", _VERSIONS),
            Field(2, "node", NODE),
            Field(3, "mesh", NAME),
            Field(4, "site", NAME),
            Field(5, "name", NAME),
            Field(6, "epoch", _COUNTER),
            Field(7, "incarnation", _COUNTER),
            Field(8, "addresses", _ADDRESSES, absent=()),
            Field(9, "host", octets(HOST_HASH_BYTES), absent=b""),
            Field(10, "features", _FEATURES, absent=frozenset()),
            Field(11, "limits", _LIMITS),
        ),
        limits.HELLO_BYTES_MAX,
        _check_hello,
    ),
    Kind(2, m.Goodbye, (Field(1, "reason", _REASON), Field(2, "incarnation", _COUNTER, absent=0))),
    Kind(
        3,
        m.Gossip,
        (
            Field(1, "peers", several(_PEER, limits.PEERS_MAX), absent=()),
            Field(2, "rumours", several(_RUMOUR, limits.RUMOURS_MAX), absent=()),
        ),
    ),
    Kind(4, m.StateDigest, (Field(1, "heads", _HEADS), Field(2, "complete", FLAG, absent=False))),
    Kind(5, m.StateSummary, (Field(1, "hash", octets(limits.HASH_BYTES_MAX, 1)),)),
    Kind(6, m.StatePull, (Field(1, "heads", _HEADS), Field(2, "graft", FLAG, absent=False))),
    Kind(7, m.StatePrune, ()),
    Kind(
        8,
        m.StatePush,
        (
            Field(1, "owner", NODE),
            Field(2, "epoch", _COUNTER),
            Field(3, "since", _COUNTER, absent=0),
            Field(4, "version", _COUNTER),
            Field(5, "entries", _ENTRIES),
            Field(6, "map_hash", DIGEST),
            Field(7, "signature", octets(limits.SIGNATURE_BYTES_MAX)),
            Field(8, "certificate", octets(limits.CERTIFICATE_BYTES_MAX), absent=b""),
        ),
        check=_check_push,
    ),
    Kind(
        9,
        m.Announce,
        (
            Field(1, "claims", several(_CLAIM, limits.CLAIMS_MAX)),
            Field(2, "summary", _SUMMARY, absent=None),
            Field(4, "again", FLAG, absent=False),
        ),
    ),
    Kind(
        10,
        m.Lookup,
        (
            Field(1, "query", _QUERY),
            Field(2, "blob", BLOB),
            Field(4, "others", several(BLOB, limits.LOOKUPS_MAX - 1), absent=()),
        ),
    ),
    Kind(
        11,
        m.Providers,
        (
            Field(1, "query", _QUERY),
            Field(2, "claims", several(_CLAIM, limits.PROVIDERS_MAX), absent=()),
            Field(3, "peers", several(_PEER, limits.PROVIDERS_MAX), absent=()),
            Field(4, "unfinished", FLAG, absent=False),
        ),
    ),
    Kind(
        12,
        m.Flood,
        (
            Field(1, "query", _QUERY),
            Field(2, "origin", NODE),
            Field(3, "ref", REF),
            Field(4, "ttl", uint(limits.FLOOD_TTL_MAX)),
        ),
    ),
    Kind(
        13,
        m.Have,
        (
            Field(1, "blob", BLOB),
            Field(2, "have", HAVE),
            Field(3, "full", FLAG, absent=False),
            Field(4, "wanting", FLAG, absent=False),
            Field(6, "coming", several(uint(limits.CHUNKS_MAX - 1), limits.COMING_MAX), absent=()),
        ),
        limits.HAVE_BYTES_MAX,
    ),
    Kind(14, m.Cancel, (Field(1, "blob", BLOB), Field(2, "indexes", _INDEXES))),
)
"""Every kind of message; numbers and keys are never reused."""

_BY_CLASS: Final = {kind.cls: kind for kind in KINDS}
_BY_NUMBER: Final = {kind.number: kind for kind in KINDS}


def encode(message: m.Message) -> bytes:
    """Deterministic CBOR of a message; raises LocalProtocolError when it breaks a bound that its reader enforces."""
    kind = _BY_CLASS[type(message)]
    found: dict[int, object] = {0: kind.number}
    extra = message.extra if isinstance(message, m.Hello) else None
    field = None
    try:
        for field in kind.fields:
            value = getattr(message, field.name)
            if value != field.absent:
                found[field.key] = field.form.pack(value)
    except Wrong as wrong:
        assert field is not None
        raise LocalProtocolError(f"{kind.cls.__name__}.{field.name}{wrong}") from wrong
    problem = kind.check(message)
    if extra:
        problem = problem or _add_extra(found, extra)
    data = strict_cbor.dumps(found) if extra else cbor2.dumps(found)
    if len(data) > kind.limit:
        problem = f"{len(data)} bytes where {kind.limit} may be"
    if problem:
        raise LocalProtocolError(f"{kind.cls.__name__}: {problem}")
    return data


def _add_extra(found: dict[int, object], extra: Mapping[int, object]) -> str | None:
    """Put keys of later versions into an outgoing hello; says what is wrong with them."""
    for key, value in extra.items():
        if key in found or not 0 < key <= strict_cbor.KEY_MAX:
            return f"extra key {key} is taken"
        found[key] = value
    return None


def decode(data: bytes) -> m.Message:
    """The message that these bytes are; raises MalformedMessage, and nothing else, saying what is wrong where."""
    kind = _kind_of(data)
    name = kind.cls.__name__
    if len(data) > kind.limit:
        raise MalformedMessage(f"{name}: {len(data)} bytes where {kind.limit} may be")
    found = strict_cbor.loads_map(data, name)
    del found[0]
    values: dict[str, object] = {}
    field = None
    try:
        for field in kind.fields:
            if field.key in found:
                values[field.name] = field.form.parse(found.pop(field.key))
            elif field.required:
                raise MalformedMessage(f"{name}.{field.name}: is missing")
            else:
                values[field.name] = field.absent
    except Wrong as wrong:
        assert field is not None
        raise MalformedMessage(f"{name}.{field.name}{wrong}") from wrong
    if found:
        _refuse_critical(found, name)
        if kind.cls is m.Hello:
            values["extra"] = {key: value for key, value in found.items() if _is_small(value)}
    message: m.Message = kind.cls(**values)
    if problem := kind.check(message):
        raise MalformedMessage(f"{name}: {problem}")
    return message


def _kind_of(data: bytes) -> Kind:
    """The kind that the first key names: before anything is decoded, since it decides how large the message may be."""
    start = 2 if data[:1] == b"\xb8" else 1
    if len(data) < start + 2 or data[start] != 0:
        raise MalformedMessage("not a message: its first key is not 0")
    kind = _BY_NUMBER.get(data[start + 1])
    if kind is None:
        raise MalformedMessage(f"kind {data[start + 1]} is not known", hint=_NEWER)
    return kind


def _refuse_critical(found: Mapping[int, object], name: str) -> None:
    """Raise MalformedMessage when these unknown keys are not all optional ones, or too many."""
    for key in found:
        if key % 2:
            raise MalformedMessage(f"{name}: critical key {key} is not known", hint=_NEWER)
    if len(found) > limits.EXTRA_KEYS_MAX:
        raise MalformedMessage(f"{name}: {len(found)} unknown keys where {limits.EXTRA_KEYS_MAX} may be")


def _is_small(value: object) -> bool:
    return len(strict_cbor.dumps(value)) <= limits.EXTRA_BYTES_MAX


def encode_signed_head(owner: NodeId, epoch: int, version: int, map_hash: Digest) -> bytes:
    """The exact bytes that the signature of a state head covers."""
    try:
        head = [HEAD_DOMAIN, NODE.pack(owner), _COUNTER.pack(epoch), _COUNTER.pack(version), DIGEST.pack(map_hash)]
    except Wrong as wrong:
        raise LocalProtocolError(f"state head{wrong}") from wrong
    return cbor2.dumps(head)


def map_hash(entries: Iterable[m.Entry]) -> Digest:
    """SHA-256 over all entries of one owner's map, live ones and tombstones, in the order of their keys."""
    rows = [(entry.key, entry.version, entry.value) for entry in sorted(entries, key=lambda entry: entry.key)]
    return Digest(sha256(cbor2.dumps((MAP_DOMAIN, rows))).digest())
