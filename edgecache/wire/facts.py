"""Node facts: values under `n/` in a node's replicated map that the machines of other nodes decide on.

Each is one small CBOR map with ascending unsigned keys; unknown keys are ignored, so that later versions may add some.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgecache.model.errors import LocalProtocolError, MalformedMessage
from edgecache.wire.strict_cbor import dumps, loads_map

MQTT_KEY = "n/mqtt"
"""BridgeFact of a node that may bridge to the MQTT broker; absent when it cannot."""

CAPACITY_KEY = "n/capacity"
"""How much a node can hold, as its weight in rendezvous hashing."""

TERM_MAX = 2**53 - 1
"""Largest bridge term: exact wherever numbers are doubles, as in JSON at the broker; not reached by counting."""

CAPACITY_MAX = 2**20
"""GiB; more is a mistake or a lie."""

_FACT_BYTES_MAX = 256
_TERM, _ACTIVE = 1, 2
_GIB = 1


@dataclass(frozen=True, slots=True)
class BridgeFact:
    """What a node that reaches the broker, or bridges, says."""

    term: int
    """With which it bridges; 0 for a standby."""
    active: bool


def encode_bridge(fact: BridgeFact) -> bytes:
    """The value for MQTT_KEY."""
    if not 0 <= fact.term <= TERM_MAX:
        raise LocalProtocolError(f"bridge term {fact.term} is out of range")
    return dumps({_TERM: fact.term, _ACTIVE: fact.active})


def decode_bridge(data: bytes) -> BridgeFact:
    """The fact in a value of MQTT_KEY; raises MalformedMessage."""
    fields = _fields(data, MQTT_KEY)
    term, active = _number(fields.get(_TERM), TERM_MAX, MQTT_KEY), fields.get(_ACTIVE)
    if type(active) is not bool:
        raise MalformedMessage(f"{MQTT_KEY}: active is not a boolean")
    return BridgeFact(term, active)


def encode_capacity(gib: int) -> bytes:
    """The value for CAPACITY_KEY."""
    if not 1 <= gib <= CAPACITY_MAX:
        raise LocalProtocolError(f"capacity {gib} is out of range")
    return dumps({_GIB: gib})


def decode_capacity(data: bytes) -> int:
    """The capacity in a value of CAPACITY_KEY, at least 1; raises MalformedMessage."""
    return max(1, _number(_fields(data, CAPACITY_KEY).get(_GIB), CAPACITY_MAX, CAPACITY_KEY))


def _fields(data: bytes, key: str) -> dict[int, object]:
    if len(data) > _FACT_BYTES_MAX:
        raise MalformedMessage(f"{key}: {len(data)} bytes")
    return loads_map(data, key)


def _number(value: object, maximum: int, key: str) -> int:
    if type(value) is not int or not 0 <= value <= maximum:
        raise MalformedMessage(f"{key}: not a number from 0 to {maximum}")
    return value
