"""What the core hears (`Event`), what it wants done (`Effect`), and what its machines tell each other (`Notice`).

    Node.handle(event, now) -> list[Effect]

Both drivers, the daemon's and the simulator's, translate the world into events and carry out effects. The order
between effects of one call is never relied on: what must come first is an event that comes back. A peer is addressed by
its node id; a driver sends on whichever link it has to that peer, and drops what it cannot send (a LinkClosed follows).
Chunk bytes never appear here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NewType, Protocol, TypeAlias

from edgecache.model.content import BlobInfo
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId, BlobRef, Digest, NodeId
from edgecache.model.instant import Instant
from edgecache.model.peer import Address, CloseReason, PeerInfo, SeenVia
from edgecache.wire.messages import Claim, Hello, MemberStatus, Message

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


@dataclass(frozen=True, slots=True)
class TimerKey:
    """Names one timer; setting it again replaces it."""

    machine: MachineName
    name: str
    subject: str | int = ""


# ---- Events: from the driver ------------------------------------------------------------------------------------


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
    """All chunks are here and the digest of the whole was verified."""
    wanted: bool = False
    """A fetch of it was under way when the agent last stopped: go on."""


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
class BlobVerified:
    """The digest of the whole was checked after the last chunk."""

    blob: BlobId
    ok: bool


@dataclass(frozen=True, slots=True)
class UnitAsked:
    """A peer asks for bytes of a chunk; answered by exactly one ServeUnit or RefuseUnit unless withdrawn."""

    request: RequestId
    peer: NodeId
    blob: BlobId
    index: int
    size: int


@dataclass(frozen=True, slots=True)
class UnitWithdrawn:
    """The asker of a unit is gone, or the unit could not be read: forget it, whether it was granted or not."""

    request: RequestId


@dataclass(frozen=True, slots=True)
class UnitServed:
    """A granted unit has left our send queue."""

    request: RequestId


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
    | ResolveWanted | ShutdownWanted | BlobHeld | BlobPinned | BlobGone | BlobRead | ManifestStored
    | ManifestFailed | ChunkProgress | ChunkStored | ChunkFailed | BlobVerified | UnitAsked | UnitWithdrawn
    | UnitServed | PutWanted | PutEnded | StoreSpace | BrokerChanged | BridgeFenced
)


# ---- Effects: for the driver ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dial:
    """Open a link: race the addresses; answered by LinkOpened (whoever answers) or DialFailed."""

    node: NodeId | None
    addresses: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class CloseLink:
    """Send Goodbye(reason) if the reason is planned, then close."""

    link: LinkId
    reason: CloseReason


@dataclass(frozen=True, slots=True)
class Probe:
    """Ping unless something was received within the last `idle` seconds; answered by LinkProbed or ProbeFailed."""

    link: LinkId
    idle: float
    timeout: float


@dataclass(frozen=True, slots=True)
class Send:
    """A control message to a linked peer."""

    peer: NodeId
    message: Message


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Fire `key` at `at`; replaces a timer of the same key."""

    key: TimerKey
    at: Instant


@dataclass(frozen=True, slots=True)
class ClearTimer:
    """Forget a timer."""

    key: TimerKey


@dataclass(frozen=True, slots=True)
class SignHead:
    """Sign (our id, epoch, version, map_hash); answered by HeadSigned."""

    epoch: int
    version: int
    map_hash: Digest


@dataclass(frozen=True, slots=True)
class RememberPeers:
    """Keep these on disk for the next start, instead of what was there."""

    peers: tuple[PeerInfo, ...]


@dataclass(frozen=True, slots=True)
class FetchManifest:
    """Get the root (page None) or one page; answered by ManifestStored or ManifestFailed within `timeout` seconds."""

    request: RequestId
    peer: NodeId
    blob: BlobId
    page: int | None
    timeout: float


@dataclass(frozen=True, slots=True)
class FetchChunk:
    """Get one chunk in units of `unit` bytes, `timeout` seconds for each; answered by ChunkStored or ChunkFailed."""

    request: RequestId
    peer: NodeId
    blob: BlobId
    index: int
    unit: int
    timeout: float


@dataclass(frozen=True, slots=True)
class CancelFetch:
    """Stop a FetchChunk or FetchManifest and drop what comes of it; no event follows."""

    request: RequestId


@dataclass(frozen=True, slots=True)
class VerifyBlob:
    """All chunks are here: check the digest of the whole; answered by BlobVerified."""

    blob: BlobId


@dataclass(frozen=True, slots=True)
class ServeUnit:
    """Read the unit, verified, and put it on the link."""

    request: RequestId


@dataclass(frozen=True, slots=True)
class RefuseUnit:
    """4.04 (not here) when `retry_after` is 0, else 5.03 with that Max-Age."""

    request: RequestId
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class EvictBlob:
    """Drop a blob from the store; answered by BlobGone."""

    blob: BlobId


@dataclass(frozen=True, slots=True)
class StartBridge:
    """Take the site's MQTT client id with this term, and publish."""

    term: int


@dataclass(frozen=True, slots=True)
class StopBridge:
    """Stop publishing; let somebody else."""


# ---- Reports: effects that tell the application, nothing else to be done ---------------------------------------------


@dataclass(frozen=True, slots=True)
class FetchProgressed:
    """Where a wanted blob stands; after each stored chunk and each change of phase."""

    blob: BlobId
    info: BlobInfo | None
    have: int
    """Chunks here."""
    sources: int
    """Peers that chunks are asked of at this moment."""
    missing_nowhere: tuple[int, ...] = ()
    """Chunks that no reachable peer has (the first few): the fetch waits for somebody to return."""


@dataclass(frozen=True, slots=True)
class FetchFinished:
    """A wanted blob is here, complete and verified; or it cannot be: `failure` says why in one sentence."""

    blob: BlobId
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Answer to ResolveWanted: claims collected until the time-out; perhaps none."""

    ref: BlobRef
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class PutAdmitted:
    """Answer to PutWanted: the room is kept until PutEnded; or there is none, and `refusal` says why in a sentence."""

    request: RequestId
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class MapChanged:
    """Keys of somebody's replicated map changed (or the whole map went: keys empty and `gone`)."""

    owner: NodeId
    keys: tuple[str, ...]
    gone: bool = False


@dataclass(frozen=True, slots=True)
class MemberReported:
    """A member's status changed; for the bridge adapter and for people."""

    node: NodeId
    status: MemberStatus


@dataclass(frozen=True, slots=True)
class Warned:
    """Something a person should see; drivers rate-limit by `cause`."""

    cause: str
    text: str


Report: TypeAlias = FetchProgressed | FetchFinished | Resolved | PutAdmitted | MapChanged | MemberReported | Warned

Effect: TypeAlias = (
    Dial | CloseLink | Probe | Send | SetTimer | ClearTimer | SignHead | RememberPeers | FetchManifest | FetchChunk
    | CancelFetch | VerifyBlob | ServeUnit | RefuseUnit | EvictBlob | StartBridge | StopBridge | Report
)


# ---- Notices: between the machines of one node -----------------------------------------------------------------------


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
class ProvidersWanted:
    """Find providers of a blob; answered by ProvidersFound, perhaps several times."""

    blob: BlobId


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
class RoomRefused:
    """Not even evicting everything that may go would make room."""

    blob: BlobId
    why: str


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
    | ProvidersWanted | ProvidersUnwanted | ProvidersFound | HoldingChanged | RoomWanted | RoomGranted | RoomRefused
    | OwnEntriesWanted | EntryChanged
)


@dataclass(slots=True)
class Outbox:
    """Where machines put what they want done and what they tell each other."""

    effects: list[Effect] = field(default_factory=list)
    notices: deque[Notice | MapChanged] = field(default_factory=deque)

    def effect(self, effect: Effect) -> None:
        """For the driver."""
        self.effects.append(effect)

    def send(self, peer: NodeId, message: Message) -> None:
        """A control message to a linked peer."""
        self.effects.append(Send(peer, message))

    def timer(self, key: TimerKey, at: Instant) -> None:
        """Set or replace a timer."""
        self.effects.append(SetTimer(key, at))

    def clear(self, key: TimerKey) -> None:
        """Forget a timer."""
        self.effects.append(ClearTimer(key))

    def tell(self, notice: Notice | MapChanged) -> None:
        """For the other machines of this node, after the present one is done."""
        self.notices.append(notice)


class Machine(Protocol):
    """A decision maker of one node. Events, notices and messages are routed by type, timers by the machine's name."""

    @property
    def name(self) -> MachineName:
        """Which of the machines it is."""
        ...

    @property
    def hears(self) -> tuple[type, ...]:
        """Types of events and notices that are routed to it."""
        ...

    @property
    def hears_messages(self) -> tuple[type, ...]:
        """Types of messages that are routed to it."""
        ...

    def handle(self, event: Event | Notice | MapChanged, now: Instant, out: Outbox) -> None:
        """Take one event or notice; MessageReceived and TimerFired arrive as they are."""
        ...


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
