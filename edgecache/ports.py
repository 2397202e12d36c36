"""What the outside must satisfy: the store, the links, the signer and the clock, as the driver uses them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from edgecache.core.vocabulary import LinkId
from edgecache.model.content import BlobInfo
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId, Digest, NodeId
from edgecache.model.instant import Instant, WallTime
from edgecache.model.peer import Address, CloseReason
from edgecache.model.priority import Priority
from edgecache.wire.messages import Hello, Message, StatePush


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob as the store holds it."""

    info: BlobInfo
    have: HaveSet
    pages: HaveSet
    """Manifest pages that are here."""
    pinned: bool
    complete: bool
    wanted: bool
    name: str = ""
    """What `put` was given, for people; no part of the blob."""
    added: float = 0.0
    """Wall time of the first byte, for people."""


@dataclass(frozen=True, slots=True)
class StoreUsage:
    """Bytes of the store: what it holds, its cap, what the disk still allows above the reserve, what was written."""

    used: int
    cap: int
    free_over_reserve: int
    written: int
    fsyncs: int


@dataclass(frozen=True, slots=True)
class SmallBlob:
    """The whole content of a blob of at most one chunk, and what `commit` is told of a draft."""

    data: bytes
    name: str = ""
    pin: bool = False


class Draft(Protocol):
    """A blob being put: nothing of it exists for others before `commit`."""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append; raises StoreFull."""
        ...

    def commit(self, *, name: str, pin: bool) -> StoredBlob:
        """Durable when this returns."""
        ...

    def abort(self) -> None:
        """Leave no trace; harmless after commit."""
        ...


class SmallBlobStore(Protocol):
    """Blobs of at most one chunk, stored together."""

    def keep(self, blobs: Sequence[SmallBlob]) -> list[StoredBlob]:
        """In their order: all of them or none, durable together when this returns; raises StoreFull."""
        ...


class ChunkStore(Protocol):
    """Verified chunks on disk. Synchronous and thread-safe; the daemon calls it from worker threads.

    Each method raises NotFound for a blob, page or chunk that is not here, and StoreFull before a write would cross
    the byte cap or the disk reserve.
    """

    small: SmallBlobStore

    def blobs(self) -> list[StoredBlob]: ...
    def blob(self, blob: BlobId) -> StoredBlob: ...

    def find(self, *, prefix: str = "", sha256: Digest | None = None) -> list[BlobId]:
        """Ids that begin with `prefix` or whose whole has this digest."""
        ...

    def begin(self, blob: BlobId, root: bytes, *, pin: bool) -> StoredBlob:
        """Start to hold a blob: reserves room; StoreCorrupt when `root` is not the manifest root of that id."""
        ...

    def put_page(self, blob: BlobId, page: int, data: bytes) -> None:
        """Store a manifest page; StoreCorrupt when it is not the one that the root names."""
        ...

    def put_chunk(self, blob: BlobId, index: int, data: bytes | bytearray | memoryview) -> None:
        """Verify and store; StoreCorrupt when the digest differs. Readable at once, durable after the next flush."""
        ...

    def flush(self) -> None:
        """Make every stored chunk durable."""
        ...

    def complete(self, blob: BlobId) -> None:
        """After the last chunk: the blob is complete, durably, when this returns."""
        ...

    def whole_is_right(self, blob: BlobId) -> bool:
        """Whether the SHA-256 of the whole is what the manifest says: nothing else checks that. May take minutes."""
        ...

    def root(self, blob: BlobId) -> bytes: ...
    def page(self, blob: BlobId, page: int) -> bytes: ...
    def chunk_digest(self, blob: BlobId, index: int) -> Digest: ...

    def read(self, blob: BlobId, index: int, offset: int = 0, size: int | None = None) -> bytes:
        """Bytes of a verified chunk; StoreCorrupt (and the chunk forgotten) when the disk gives back something else."""
        ...

    def read_now(
        self, blob: BlobId, index: int, digest: Digest | None, offset: int = 0, size: int | None = None
    ) -> bytes | None:
        """The same, of the chunk with that digest, for who must not wait for a disk; None when that takes `read`."""
        ...

    def draft(self) -> Draft: ...
    def set_pinned(self, blob: BlobId, pinned: bool) -> None: ...
    def set_wanted(self, blob: BlobId, wanted: bool) -> None: ...
    def remove(self, blob: BlobId) -> int:
        """Drop a blob, whatever its state; returns the bytes freed."""
        ...

    def usage(self) -> StoreUsage: ...
    def close(self) -> None: ...


class NodeMemory(Protocol):
    """What a node remembers between starts besides blobs; the store on disk keeps it."""

    def meta_get(self, key: str) -> bytes | None: ...
    def meta_set(self, key: str, value: bytes, *, durable: bool = True) -> None:
        """Without `durable` it survives a kill at once, a power cut only after the next durable change."""
        ...

    def next_epoch(self) -> int:
        """The boot epoch of this start: above those of all earlier starts, durably."""
        ...


class Part(NamedTuple):
    """Bytes of a chunk, and whether it goes on behind them."""

    data: bytes
    more: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a unit is not served: `retry_after` 0 is 4.04, else 5.03 with that Max-Age."""

    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Whole:
    """All of a blob, where its manifest root was asked for."""

    data: bytes


class LinkHandler(Protocol):
    """What the transport calls, on the event loop; implemented by the driver."""

    def hello(self) -> Hello: ...
    def may_link(self, peer: NodeId) -> bool:
        """False for banned peers, before a hello is spent on them."""
        ...

    def link_opened(self, link: LinkId, hello: Hello, *, dialled: bool, address: Address | None) -> None: ...
    def link_closed(self, link: LinkId, peer: NodeId, reason: CloseReason, detail: str) -> None: ...
    def received(self, peer: NodeId, message: Message) -> None: ...

    async def serve_unit(
        self, peer: NodeId, blob: BlobId, index: int, digest: Digest, offset: int, size: int,
        priority: Priority = Priority.NORMAL,
    ) -> Part | Refusal:
        """`size` bytes of a chunk from `offset` on, fewer at its end. Waits for its turn. Cancelled when the link
        closes; `unit_sent` follows when bytes were returned."""
        ...

    def unit_sent(self, peer: NodeId, blob: BlobId, index: int, offset: int) -> None: ...
    async def serve_manifest(
        self, peer: NodeId, blob: BlobId, page: int | None, most: int = 0, priority: Priority = Priority.NORMAL
    ) -> bytes | Whole:
        """The root (page None) or a page; or, instead of the root, all of a blob of one chunk, when it has at most
        `most` bytes and its turn comes: then `unit_sent` follows."""
        ...


@dataclass(frozen=True, slots=True)
class LinkStats:
    """What a link has carried."""

    peer: NodeId
    address: str
    dialled: bool
    age: float
    rtt: float | None
    sent: int
    received: int
    queued: int


@dataclass(frozen=True, slots=True)
class LinkGauge:
    """A link as the kernel sees it: round trips in seconds, 0 when unknown; bytes since it was opened."""

    link: LinkId
    peer: NodeId
    rtt: float
    least_rtt: float
    acked: int
    received: int


class Links(Protocol):
    """Authenticated links to other nodes. Every coroutine ends in time: with a result or a TransportError."""

    async def dial(self, node: NodeId | None, addresses: Iterable[Address]) -> None:
        """Race the addresses; link_opened has been called when this returns; raises TransportError or Denied."""
        ...

    def close(self, link: LinkId, reason: CloseReason) -> None: ...
    def send(self, peer: NodeId, message: Message) -> bool:
        """False when there is no link."""
        ...

    async def ping(self, link: LinkId, idle: float, timeout: float) -> tuple[float, float | None]:
        """(seconds silent, round trip or None if something came within `idle`); TimedOut otherwise."""
        ...

    async def fetch_manifest(self, peer: NodeId, blob: BlobId, page: int | None, timeout: float) -> bytes: ...
    async def fetch_small(
        self, peer: NodeId, blob: BlobId, most: int, timeout: float, priority: Priority
    ) -> tuple[bytes, bool]:
        """The manifest root and False; or the whole blob, of at most `most` bytes, and True, if the peer does that.
        Neither is checked."""
        ...

    async def fetch_unit(
        self, peer: NodeId, blob: BlobId, index: int, digest: Digest, offset: int, size: int, timeout: float,
        priority: Priority = Priority.NORMAL,
    ) -> bytes | memoryview:
        """Bytes [offset, offset+size) of a chunk. NotFound for 4.04; Refused (with `retry_after`) for 5.03/4.29."""
        ...

    def stats(self) -> list[LinkStats]: ...
    def measure(self) -> list[LinkGauge]:
        """What the kernel knows of each open link."""
        ...

    def pace(self, peer: NodeId, rate: float) -> None:
        """Send at most so many bytes a second to this peer, evenly; 0 is unlimited."""
        ...

    async def stop(self) -> None: ...


class Signer(Protocol):
    """Our key, and the mesh's."""

    node: NodeId
    certificate: bytes

    def sign_head(self, epoch: int, version: int, map_hash: Digest) -> bytes: ...
    def knows(self, owner: NodeId) -> bool:
        """Whether a push of this owner can be verified without its certificate."""
        ...

    def verify_push(self, push: StatePush) -> bool:
        """The certificate (carried, or seen before) is of this mesh and names the owner, and the signature holds."""
        ...

    def outdated(self, push: StatePush) -> bool:
        """Whether a push that was not good would have been at another time: its certificate is not valid by our clock,
        or not yet. Clocks differ, so whoever relays it is not to blame."""
        ...


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> Instant: ...
    def wall(self) -> WallTime: ...
    def wall_trusted(self) -> bool:
        """The kernel says that its clock is synchronised."""
        ...
