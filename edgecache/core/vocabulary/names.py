"""Who and what: links, requests, machines, timers, and this node."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import NewType

from edgecache.model.ids import NodeId
from edgecache.model.peer import Address

LinkId = NewType("LinkId", int)
"""One live connection, numbered by the driver; two may briefly exist to one peer."""

RequestId = NewType("RequestId", int)
"""A transfer, numbered by whoever starts it: the core for fetches, the driver for units asked of us."""


class MachineName(Enum):
    """The machines of a node; a timer belongs to one."""

    MEMBERSHIP = "membership"
    STATE = "state"
    DIRECTORY = "directory"
    SWARM = "swarm"
    SERVING = "serving"
    RETENTION = "retention"
    BRIDGE = "bridge"
    YIELDING = "yielding"


@dataclass(frozen=True, slots=True)
class TimerKey:
    """Names one timer; setting it again replaces it."""

    machine: MachineName
    name: str
    subject: str | int = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this node is, fixed for one boot."""

    node: NodeId
    mesh: str
    site: str
    name: str
    epoch: int
    addresses: tuple[Address, ...]
    host: bytes = b""
    capacity: int = 1
    """Weight in rendezvous hashing: roughly GiB of cache, at least 1."""
    features: frozenset[str] = frozenset()
    """What our hello says besides: names that a peer ignores when it does not know them."""

ONE_KEY_TWICE = (
    "on one of them remove node.key and node.crt from its data_dir, run `edgecache init --key-only`, "
    "and let it join anew"
)
"""What helps when two devices have one key."""
