"""Notices: what the machines of one node tell each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from edgecache.core.vocabulary.events import Misbehaved, RoomRefused
from edgecache.model.content import BlobInfo
from edgecache.model.ids import BlobId, NodeId
from edgecache.model.peer import PeerInfo
from edgecache.wire.messages import Claim, Hello, MemberStatus


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The first usable link to a peer; `near` is its locality tier: 0 same host or LAN, 1 same site, 2 other site."""

    peer: NodeId
    hello: Hello
    tier: int
    rtt: float


@dataclass(frozen=True, slots=True)
class LinkDown:
    """No link to this peer is left."""

    peer: NodeId
    planned: bool


@dataclass(frozen=True, slots=True)
class RttMeasured:
    """A newer round trip time of a linked peer, in seconds, smoothed."""

    peer: NodeId
    rtt: float


@dataclass(frozen=True, slots=True)
class MemberChanged:
    """Membership's view of a member changed; `info` says where it is and in which site."""

    info: PeerInfo
    status: MemberStatus


@dataclass(frozen=True, slots=True)
class LinkWanted:
    """A machine needs a working link to this peer; answered by LinkUp (or at once if linked) or LinkUnavailable."""

    peer: NodeId
    hint: PeerInfo | None = None


@dataclass(frozen=True, slots=True)
class LinkUnavailable:
    """No link to this peer can be had now."""

    peer: NodeId


@dataclass(frozen=True, slots=True)
class LinkBusy:
    """A transfer with this peer is (or is no longer) going on: working links in use are not shed."""

    peer: NodeId
    busy: bool


@dataclass(frozen=True, slots=True)
class ChunkReceived:
    """A peer gave us a chunk that we had asked it for; verified and stored."""

    peer: NodeId
    size: int


@dataclass(frozen=True, slots=True)
class UploadPaced:
    """Units go to this peer at most at this rate from now on, in bytes a second."""

    peer: NodeId
    rate: float


@dataclass(frozen=True, slots=True)
class ProvidersWanted:
    """Find providers of a blob; answered by ProvidersFound, perhaps several times."""

    blob: BlobId
    any_whole: bool = False
    """One that has all of it is enough."""


@dataclass(frozen=True, slots=True)
class ProvidersUnwanted:
    """Stop looking."""

    blob: BlobId


@dataclass(frozen=True, slots=True)
class ProvidersFound:
    """Claims for a blob, ours excluded; `final` when this round of searching is over."""

    blob: BlobId
    claims: tuple[Claim, ...]
    final: bool


@dataclass(frozen=True, slots=True)
class HoldingChanged:
    """What we hold of a blob changed enough to be announced: `held` chunks of `info.chunks`; 0 withdraws."""

    info: BlobInfo
    held: int


@dataclass(frozen=True, slots=True)
class RoomWanted:
    """A fetch needs `need` more bytes in the store; answered by RoomGranted or RoomRefused."""

    blob: BlobId
    need: int


@dataclass(frozen=True, slots=True)
class RoomGranted:
    """The fetch may go on."""

    blob: BlobId


@dataclass(frozen=True, slots=True)
class OwnEntriesWanted:
    """A machine sets keys of our own replicated map; None removes."""

    entries: Mapping[str, bytes | None]


@dataclass(frozen=True, slots=True)
class EntryChanged:
    """A node fact (a key under `n/`) of somebody's map changed, ours included; None when it is gone."""

    owner: NodeId
    key: str
    value: bytes | None


Notice: TypeAlias = (
    LinkUp | LinkDown | RttMeasured | MemberChanged | LinkWanted | LinkUnavailable | LinkBusy | Misbehaved
    | ChunkReceived | UploadPaced | ProvidersWanted | ProvidersUnwanted | ProvidersFound | HoldingChanged | RoomWanted
    | RoomGranted | RoomRefused | OwnEntriesWanted | EntryChanged
)
