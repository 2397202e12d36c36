"""Effects: what the core wants done, and reports, which only tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from edgecache.core.vocabulary.names import LinkId, RequestId, TimerKey
from edgecache.model.content import BlobInfo
from edgecache.model.ids import BlobId, BlobRef, Digest, NodeId
from edgecache.model.instant import Instant
from edgecache.model.peer import Address, CloseReason, PeerInfo
from edgecache.model.priority import Priority
from edgecache.wire.messages import Claim, MemberStatus, Message


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
    """Get the root (page None) or one page; answered by ManifestStored or ManifestFailed within `timeout` seconds, or,
    when the peer sent all of a blob of at most `most` bytes instead of the root, by WholeReceived and then BlobHeld or
    ManifestFailed."""

    request: RequestId
    peer: NodeId
    blob: BlobId
    page: int | None
    timeout: float
    most: int = 0
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True, slots=True)
class FetchChunk:
    """Get one chunk in units of `unit` bytes, `timeout` seconds for each; answered by ChunkStored or ChunkFailed."""

    request: RequestId
    peer: NodeId
    blob: BlobId
    index: int
    unit: int
    timeout: float
    priority: Priority = Priority.NORMAL


@dataclass(frozen=True, slots=True)
class CancelFetch:
    """Stop a FetchChunk or FetchManifest and drop what comes of it; no event follows."""

    request: RequestId


@dataclass(frozen=True, slots=True)
class CompleteBlob:
    """All chunks are here, each verified: make that durable; answered by BlobCompleted."""

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
class PaceLink:
    """What is granted to this peer leaves at about `upload`, so spread it; ask it for chunks at most at `download`.
    Bytes a second."""

    peer: NodeId
    upload: float
    download: float
    unit: int
    """Bytes of a chunk that are asked of it at once, at most."""


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
    store_full: bool = False
    """The last chunk that came did not fit on the disk: the fetch waits for room."""


@dataclass(frozen=True, slots=True)
class FetchFinished:
    """A wanted blob is here, complete and verified; or it cannot be: `failure` says why in one sentence."""

    blob: BlobId
    failure: str = ""
    full: bool = False
    """It cannot be because the store has no room."""


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
    | CancelFetch | CompleteBlob | ServeUnit | RefuseUnit | PaceLink | EvictBlob | StartBridge | StopBridge | Report
)
