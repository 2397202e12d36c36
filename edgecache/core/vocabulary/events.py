"""Events: what the core hears from its driver."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from edgecache.core.vocabulary.names import LinkId, RequestId, TimerKey
from edgecache.model.content import BlobInfo
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId, BlobRef, Digest, NodeId
from edgecache.model.instant import Instant
from edgecache.model.peer import Address, CloseReason, PeerInfo, SeenVia
from edgecache.model.priority import Priority
from edgecache.wire.messages import Hello, Message


@dataclass(frozen=True, slots=True)
class Started:
    """The first event of a boot: peers remembered from before, seeds from the configuration."""

    remembered: tuple[PeerInfo, ...] = ()
    seeds: tuple[Address, ...] = ()


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer is due."""

    key: TimerKey


@dataclass(frozen=True, slots=True)
class PeerSighted:
    """Somebody claims to be at these addresses; `node` None when only the address is known (a seed)."""

    node: NodeId | None
    addresses: tuple[Address, ...]
    via: SeenVia
    site: str = ""


@dataclass(frozen=True, slots=True)
class OwnAddressesChanged:
    """This device has other addresses now (late Wi-Fi, a cable)."""

    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class LinkOpened:
    """A connection is authenticated and both hellos are exchanged."""

    link: LinkId
    peer: NodeId
    hello: Hello
    dialled: bool
    address: Address | None
    """The remote address of a link that we dialled; where a peer that dialled us came from cannot be dialled."""


@dataclass(frozen=True, slots=True)
class LinkClosed:
    """A connection is gone."""

    link: LinkId
    peer: NodeId
    reason: CloseReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class DialFailed:
    """None of the addresses of a Dial led to an authenticated link to the expected peer."""

    node: NodeId | None
    addresses: tuple[Address, ...]
    detail: str


@dataclass(frozen=True, slots=True)
class LinkProbed:
    """Answer to a Probe: how long the link has been silent, and the round trip when a ping was needed."""

    link: LinkId
    idle: float
    rtt: float | None


@dataclass(frozen=True, slots=True)
class ProbeFailed:
    """A Probe's ping was not answered, and nothing else was received, within its time-out."""

    link: LinkId


@dataclass(frozen=True, slots=True)
class Misbehaved:
    """A peer broke a rule, seen by the driver or a machine; `weight` 1 is a nuisance, 10 bans at once."""

    peer: NodeId
    weight: int
    why: str


@dataclass(frozen=True, slots=True)
class MessageReceived:
    """A control message; signatures in it are verified."""

    peer: NodeId
    message: Message


@dataclass(frozen=True, slots=True)
class OwnEntriesChanged:
    """New values for keys of our own replicated map (None removes): readings, node record, claims of roles."""

    entries: Mapping[str, bytes | None]


@dataclass(frozen=True, slots=True)
class HeadSigned:
    """Answer to SignHead."""

    epoch: int
    version: int
    map_hash: Digest
    signature: bytes
    certificate: bytes


@dataclass(frozen=True, slots=True)
class FetchWanted:
    """A user wants this blob here."""

    blob: BlobId
    pin: bool = False
    one_of_many: bool = False
    """Whoever has all of it will do: the directory is asked first, in batches, and neighbours only when it knows
    nobody."""
    priority: Priority = Priority.NORMAL
    """Of a fetch under way, only a more urgent one changes anything."""


@dataclass(frozen=True, slots=True)
class FetchUnwanted:
    """Nobody waits for this blob any more; what is here of it stays."""

    blob: BlobId


@dataclass(frozen=True, slots=True)
class ResolveWanted:
    """A user names a blob that we do not know by its full id: ask around, answer with Resolved."""

    ref: BlobRef


@dataclass(frozen=True, slots=True)
class ShutdownWanted:
    """Say goodbye; the driver stops when the effects are carried out."""


@dataclass(frozen=True, slots=True)
class BlobHeld:
    """The store holds a blob, wholly or in part: at start for each, later when one was put."""

    info: BlobInfo
    have: HaveSet
    pages: int
    """Manifest pages that are here and verified."""
    pinned: bool
    complete: bool
    """All chunks are here, durably."""
    wanted: bool = False
    """A fetch of it was under way when the agent last stopped: go on."""
    priority: Priority = Priority.NORMAL
    """Of that fetch."""


@dataclass(frozen=True, slots=True)
class BlobPinned:
    """A user pinned or unpinned a blob."""

    blob: BlobId
    pinned: bool


@dataclass(frozen=True, slots=True)
class BlobGone:
    """The store has dropped a blob: a user removed it, or an EvictBlob was carried out."""

    blob: BlobId


@dataclass(frozen=True, slots=True)
class BlobRead:
    """A local reader or a peer has used this blob: counts for recency (once per transfer, not per chunk)."""

    blob: BlobId


class FetchFailure(Enum):
    """Why a chunk or manifest request came to nothing."""

    TIMEOUT = "timeout"
    REFUSED = "refused"
    NOT_FOUND = "not-found"
    CORRUPT = "corrupt"
    LINK_LOST = "link-lost"
    STORE_FULL = "store-full"


@dataclass(frozen=True, slots=True)
class ManifestStored:
    """A FetchManifest succeeded: the root (page None) or one page is verified and stored."""

    request: RequestId
    peer: NodeId
    info: BlobInfo
    page: int | None
    have: HaveSet
    """Chunks of it that are here: not empty when recovery found some."""


@dataclass(frozen=True, slots=True)
class WholeReceived:
    """A FetchManifest brought all of a small blob, verified: it is being stored."""

    request: RequestId
    blob: BlobId
    size: int


@dataclass(frozen=True, slots=True)
class ManifestFailed:
    """A FetchManifest failed."""

    request: RequestId
    peer: NodeId
    blob: BlobId
    reason: FetchFailure


@dataclass(frozen=True, slots=True)
class ChunkProgress:
    """A unit of a chunk that is fetched in units arrived; not sent for chunks fetched in one message."""

    request: RequestId
    received: int


@dataclass(frozen=True, slots=True)
class ChunkStored:
    """A FetchChunk succeeded: the chunk is verified and stored."""

    request: RequestId
    blob: BlobId
    index: int
    size: int
    elapsed: float
    """Seconds from the request to its last byte."""


@dataclass(frozen=True, slots=True)
class ChunkFailed:
    """A FetchChunk failed; `retry_after` is the Max-Age of a refusal."""

    request: RequestId
    blob: BlobId
    index: int
    reason: FetchFailure
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class BlobCompleted:
    """All of a blob is here, durably."""

    blob: BlobId


@dataclass(frozen=True, slots=True)
class UnitAsked:
    """A peer asks for bytes of a chunk; answered by exactly one ServeUnit or RefuseUnit unless withdrawn."""

    request: RequestId
    peer: NodeId
    blob: BlobId
    index: int
    size: int
    chunk: int
    """Length of that chunk."""
    priority: Priority = Priority.NORMAL
    """As the peer claims."""


@dataclass(frozen=True, slots=True)
class UnitWithdrawn:
    """The asker of a unit is gone, or the unit could not be read: forget it, whether it was granted or not."""

    request: RequestId
    sent: bool = False
    """Some of it may have been sent."""


@dataclass(frozen=True, slots=True)
class UnitServed:
    """A granted unit has left our send queue."""

    request: RequestId


@dataclass(frozen=True, slots=True)
class QuietChanged:
    """Quiet hours have begun and last until then, or (None) there are none now."""

    until: Instant | None


@dataclass(frozen=True, slots=True)
class StrainChanged:
    """This device's processor has become short, or no longer is: while it is, each look at anything waits for it, and
    what need not be soon is done seldom and in large pieces."""

    strained: bool


@dataclass(frozen=True, slots=True)
class LinkMeasure:
    """One link as it is now: round trips in seconds, bytes since it was opened."""

    peer: NodeId
    rtt: float
    """TCP's, smoothed, of what we send; 0 while unknown."""
    least_rtt: float
    ping: float | None
    """Round trip of a CoAP ping that was answered since the last measure."""
    acked: int
    received: int


@dataclass(frozen=True, slots=True)
class LinksMeasured:
    """Links that carry transfers, a few times a second; only where somebody else's traffic is to go first."""

    links: tuple[LinkMeasure, ...]


@dataclass(frozen=True, slots=True)
class PutWanted:
    """A user is about to put `need` bytes; answered by PutAdmitted, which may take evictions."""

    request: RequestId
    need: int


@dataclass(frozen=True, slots=True)
class PutEnded:
    """An admitted put is done, after its BlobHeld, or given up, admitted or not: what is left of its room is free."""

    request: RequestId


@dataclass(frozen=True, slots=True)
class RoomRefused:
    """There is no room for a wanted blob, and not even evicting everything that may go would make it; said by the store
    through the driver, or by the machine that plans evictions."""

    blob: BlobId
    why: str


@dataclass(frozen=True, slots=True)
class StoreSpace:
    """Room on the disk: after start, and when it changed by more than a few chunks."""

    free_over_reserve: int
    """Bytes that may still be written before the disk reserve is touched."""


@dataclass(frozen=True, slots=True)
class BrokerChanged:
    """The MQTT adapter's view of its broker: `reachable`, and the highest bridge term it has seen there."""

    reachable: bool
    term: int = 0


@dataclass(frozen=True, slots=True)
class BridgeFenced:
    """The broker gave our session to another client with our client id, or a higher term was retained."""

    term: int


Event: TypeAlias = (
    Started | TimerFired | PeerSighted | OwnAddressesChanged | LinkOpened | LinkClosed | DialFailed | LinkProbed
    | ProbeFailed | Misbehaved | MessageReceived | OwnEntriesChanged | HeadSigned | FetchWanted | FetchUnwanted
    | ResolveWanted | ShutdownWanted | BlobHeld | BlobPinned | BlobGone | BlobRead | ManifestStored | WholeReceived
    | ManifestFailed | ChunkProgress | ChunkStored | ChunkFailed | BlobCompleted | UnitAsked | UnitWithdrawn
    | UnitServed | QuietChanged | StrainChanged | LinksMeasured | PutWanted | PutEnded | StoreSpace | RoomRefused
    | BrokerChanged | BridgeFenced
)
