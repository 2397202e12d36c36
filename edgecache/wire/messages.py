"""The control messages between two nodes: one frozen dataclass each, all one-way; `Message` is the closed union.

A question and its answer are two messages with the same query number; the asker keeps the deadline. Bulk (manifests
and chunks) is fetched by CoAP GET and never appears here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId, BlobRef, Digest, NodeId
from edgecache.model.peer import Address, CloseReason, Limits, PeerInfo
from edgecache.wire.limits import WIRE_VERSION

SERVES_LAST = "serves-last"
"""Feature of a node on battery or on a metered link: chunks are asked of it only when nobody else has them."""


BATCHES = "batches"
"""A feature of a hello: its sender understands lookups of several blobs, and summaries of claims."""

LARGE_CHUNKS = "large-chunks"
"""... and chunks of 512 KiB (chunking rule 3); others would take the manifest of such a blob for a damaged one."""


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of both ends of a link. Sent once, before anything else, and answered with the other's."""

    node: NodeId
    mesh: str
    site: str
    name: str
    epoch: int
    """Boot counter of the sender, kept on its disk: a second live boot of one key is a cloned card."""
    incarnation: int
    addresses: tuple[Address, ...]
    """Where the sender listens; empty when it cannot be dialled."""
    host: bytes = b""
    """8 bytes of a hash of the machine id, so that several agents on one device are told from several devices."""
    versions: tuple[int, int] = (WIRE_VERSION, WIRE_VERSION)
    features: frozenset[str] = frozenset()
    limits: Limits = Limits()
    extra: Mapping[int, object] = field(default_factory=dict)
    """Unknown optional (even) keys, kept and ignored; an unknown critical (odd) key refuses the link."""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """Last message before a planned close."""

    reason: CloseReason
    incarnation: int = 0


class MemberStatus(IntEnum):
    """What is believed of a member; the order is the precedence at equal incarnation (SWIM section 4.2)."""

    ALIVE = 0
    SUSPECT = 1
    DEAD = 2
    LEFT = 3


@dataclass(frozen=True, slots=True)
class Rumour:
    """A belief about a member, spread by gossip; only the member itself raises its incarnation."""

    node: NodeId
    status: MemberStatus
    incarnation: int
    accuser: NodeId
    """Who suspects; independent accusers make a suspicion confirm faster (Lifeguard section IV.B)."""


@dataclass(frozen=True, slots=True)
class Gossip:
    """Peers that the sender knows and beliefs that changed; after a link opens, on change, and now and then."""

    peers: tuple[PeerInfo, ...] = ()
    rumours: tuple[Rumour, ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """How far an owner's map is known: (epoch, version) orders heads of one owner."""

    owner: NodeId
    epoch: int
    version: int

    @property
    def position(self) -> tuple[int, int]:
        """What is compared: a later boot beats any version of an earlier one."""
        return (self.epoch, self.version)


@dataclass(frozen=True, slots=True)
class StateDigest:
    """Heads that the sender has. `complete`: all of them, so what is absent is wanted (anti-entropy); otherwise a
    lazy announcement of news (Plumtree IHAVE)."""

    heads: tuple[Head, ...]
    complete: bool = False


@dataclass(frozen=True, slots=True)
class StateSummary:
    """A hash over all heads: equal means in sync, different asks for a digest."""

    hash: bytes


@dataclass(frozen=True, slots=True)
class StatePull:
    """Heads at which the sender stands and wants to hear more. `graft`: and push to me from now on (Plumtree)."""

    heads: tuple[Head, ...]
    graft: bool = False


@dataclass(frozen=True, slots=True)
class StatePrune:
    """Stop pushing to me, announce lazily (Plumtree PRUNE)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of an owner's map at the version that set it; `value` None is a tombstone."""

    key: str
    version: int
    value: bytes | None


@dataclass(frozen=True, slots=True)
class StatePush:
    """The entries of `owner` changed in (since, version], as the owner signed them; relays pass them on unchanged.

    `since` 0 is the whole map and carries the owner's certificate. The signature covers (owner, epoch, version,
    map_hash), and was verified by the driver before the core sees the message.
    """

    owner: NodeId
    epoch: int
    since: int
    version: int
    entries: tuple[Entry, ...]
    map_hash: Digest
    signature: bytes
    certificate: bytes = b""

    @property
    def head(self) -> Head:
        """The head reached by applying this."""
        return Head(self.owner, self.epoch, self.version)


@dataclass(frozen=True, slots=True)
class Claim:
    """`node` says it holds `held` of `chunks` chunks of `blob`; held 0 withdraws. A claim, never proof."""

    blob: BlobId
    node: NodeId
    held: int
    chunks: int

    @property
    def whole(self) -> bool:
        """Whether all of it is claimed."""
        return self.held >= self.chunks


@dataclass(frozen=True, slots=True)
class Summary:
    """Everything that one node claims to another: how many claims, and the exclusive or of their marks (8 bytes)."""

    count: int
    marks: bytes


@dataclass(frozen=True, slots=True)
class Announce:
    """To a home: what the sender holds (its own claims), or a hand-over of others' claims between homes.

    `summary` says what the receiver should have of the sender after these claims: if it has exactly that, all of it is
    repeated by this, otherwise the receiver answers with `again`, to be told everything. Both only to nodes with the
    feature BATCHES.
    """

    claims: tuple[Claim, ...]
    summary: Summary | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Lookup:
    """To a home: who has this blob, and (only to nodes with the feature BATCHES) these others?"""

    query: int
    blob: BlobId
    others: tuple[BlobId, ...] = ()


@dataclass(frozen=True, slots=True)
class Providers:
    """Answer to a lookup, a flood or a resolve: claims, perhaps none, and where the claimed nodes may be dialled.

    `unfinished`: another answer to the same lookup follows.
    """

    query: int
    claims: tuple[Claim, ...]
    peers: tuple[PeerInfo, ...] = ()
    unfinished: bool = False


@dataclass(frozen=True, slots=True)
class Flood:
    """Bounded flood over links: who has what `ref` names? Answers travel back the way the question came."""

    query: int
    origin: NodeId
    ref: BlobRef
    ttl: int


@dataclass(frozen=True, slots=True)
class Have:
    """Chunks of a blob that the sender holds: all of them (`full`) or the ones new since the last message.

    `wanting` asks the receiver to do the same from now on; False ends that.
    """

    blob: BlobId
    have: HaveSet
    full: bool
    wanting: bool
    coming: tuple[int, ...] = ()
    """Chunks that the sender has under way from somebody who holds all, or from another site: those of its site who
    fetch the same blob should leave them to it."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """The sender no longer wants these chunks; what has not been sent yet should not be (end-game)."""

    blob: BlobId
    indexes: tuple[int, ...]


Message: TypeAlias = (
    Hello | Goodbye | Gossip | StateDigest | StateSummary | StatePull | StatePrune | StatePush
    | Announce | Lookup | Providers | Flood | Have | Cancel
)
