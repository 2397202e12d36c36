"""What the swarm machine knows, shared by its parts: blobs held or fetched, requests under way, linked peers."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from edgecache.core.swarm.config import SwarmConfig
from edgecache.core.swarm.picker import Picker, share_out
from edgecache.core.swarm.scoring import SHARED_UNIT, Goodput, Neighbour, Peer
from edgecache.core.vocabulary import Identity, RequestId
from edgecache.model.content import CHUNK_BYTES, LARGE_CHUNK_BYTES, BlobInfo
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId, NodeId
from edgecache.model.instant import Instant
from edgecache.model.priority import Priority

if TYPE_CHECKING:
    from random import Random


NEVER: Instant = float("inf")


class Phase(Enum):
    """Where a fetch stands.

    SEEKING -root-> ROOM -granted-> FETCHING -last chunk-> COMPLETING -> (finished)
                      ^                | store full
                      '-- later --- PAUSED
    """

    SEEKING = "seeking"
    ROOM = "waiting for room"
    FETCHING = "fetching"
    PAUSED = "store full"
    COMPLETING = "completing"


@dataclass(slots=True, eq=False)
class ChunkRequest:
    """One FetchChunk under way."""

    request: RequestId
    blob: BlobId
    neighbour: Neighbour
    index: int
    size: int
    started: Instant
    expected: float
    """Seconds that it should take in all."""
    received: int = 0
    priority: Priority = Priority.NORMAL
    unit: int = CHUNK_BYTES
    """Bytes asked for at once."""
    late_at: Instant = NEVER
    """About one request in twenty to this peer takes longer."""
    crosses: bool = False
    """Its bytes cross a site border."""
    promised: Neighbour | None = None
    """It is withdrawn, to be asked of this one."""
    withdrawn_at: Instant = 0.0

    def remaining(self, now: Instant) -> float:
        """Seconds that it should still take; once overdue, as long again as it has taken."""
        elapsed = now - self.started
        return self.expected - elapsed if elapsed < self.expected else elapsed


@dataclass(slots=True, eq=False)
class ManifestRequest:
    """One FetchManifest under way: the root (page None) or a page."""

    request: RequestId
    blob: BlobId
    peer: NodeId
    page: int | None
    started: Instant
    timeout: float
    most: int = 0
    """All of the blob may come instead, if it has at most so many bytes; the rate limit has paid for them."""
    storing: bool = False
    """It has come, and is being stored."""


@dataclass(slots=True, eq=False)
class Fetch:
    """A wanted blob that is not complete."""

    rate: Goodput
    phase: Phase = Phase.SEEKING
    priority: Priority = Priority.NORMAL
    picker: Picker | None = None
    """Exists from the manifest root on."""
    flights: dict[int, list[ChunkRequest]] = field(default_factory=dict)
    """Requests under way by chunk: one, in the end-game perhaps two."""
    manifests: dict[int | None, ManifestRequest] = field(default_factory=dict)
    """Requests under way by page, None is the root."""
    received: dict[NodeId, int] = field(default_factory=dict)
    """Bytes of stored chunks by source."""
    candidates: dict[NodeId, bool] = field(default_factory=dict)
    """Claimed providers that we are not linked to, and whether they claim all of it."""
    linking: dict[NodeId, Instant] = field(default_factory=dict)
    """Those a link was asked for, and since when."""
    one_of_many: bool = False
    """Only the directory was asked for providers so far."""
    barred: dict[NodeId, None] = field(default_factory=dict)
    """Peers that sent corrupt bytes of this blob."""
    left: int = 0
    """Chunks that were left to fellows when last looked at."""
    left_at: dict[int, Instant] = field(default_factory=dict)
    """Since when each of them is left to whoever claims it, until we ask for it."""
    patience: float = 0.0
    """... and for how long that is borne."""
    refresh: float = 0.0
    """Pause before the next lookup."""
    moved: dict[int, NodeId] = field(default_factory=dict)
    """Chunks that were taken back, and from whom: each once, or it would go round among holders that are all slow."""
    hedges: int = 0
    """Second requests made for chunks that were late."""
    hedge_at: Instant = NEVER
    """When one may be due next."""
    wasted: int = 0
    """Bytes that came, or were on their way, for nothing: the slower of two requests, or one that failed; at most."""
    crossed: int = 0
    """Bytes of chunks that came from other sites."""
    began: Instant = 0.0
    progressed: Instant = 0.0
    """When it last came nearer to its end."""
    stalled: str = ""
    """The kind of standstill that was logged."""
    why: str = ""
    """The store's sentence about its being full."""
    resume_at: Instant = 0.0
    """When a fetch that waits for room is tried again."""
    searched: bool = False
    """A search for providers has come to its end: what nobody has is news by now."""
    full: int = 0
    """Times in a row that the store had no room."""
    told: tuple[object, ...] = ()
    """What was last reported."""


@dataclass(slots=True, eq=False)
class Blob:
    """A blob that is held, wholly or in part, or fetched."""

    blob: BlobId
    info: BlobInfo | None = None
    have: int = 0
    pages: int = 0
    """Bits of the manifest pages that are here."""
    complete: bool = False
    neighbours: dict[NodeId, Neighbour] = field(default_factory=dict)
    fetch: Fetch | None = None
    announced: int = 0
    """Chunks held as last announced."""
    fresh: int = 0
    """New chunks that subscribers have not heard of."""
    claiming: bool = False
    """What we have under way from others than fellows, or they from us, has changed since subscribers were told."""
    crossing: bool = False
    """... and some of it crosses a site border."""
    asked: dict[int, None] = field(default_factory=dict)
    """Chunks of a complete holding that were asked of us since then: when one message is full of them, it goes."""
    flushing: bool = False
    """A timer will tell them."""

    @property
    def idle(self) -> bool:
        """Whether its fetch waits for something else than peers that have it: nobody has what is missing, the store is
        full, or is taking all of it."""
        fetch = self.fetch
        if fetch is None or fetch.flights:
            return False
        if fetch.manifests:
            return all(request.storing for request in fetch.manifests.values())
        return fetch.phase is Phase.PAUSED or (fetch.searched and fetch.phase in (Phase.SEEKING, Phase.FETCHING))

    @property
    def listeners(self) -> int:
        """Neighbours that want to hear what we get."""
        return sum([neighbour.wanting for neighbour in self.neighbours.values()])

    @property
    def wants(self) -> bool:
        """Whether we want chunks of it from others."""
        return self.fetch is not None and self.fetch.phase is not Phase.COMPLETING

    def missing_bytes(self) -> int:
        """Bytes of the chunks that are not here; 0 while the size is unknown."""
        if self.info is None or not self.info.chunks:
            return 0
        return self.info.bytes_of(HaveSet(((1 << self.info.chunks) - 1) & ~self.have))

    def clip(self, bits: int, config: SwarmConfig) -> int:
        """A claimed have-set within what can be true or, before the size is known, what we are ready to keep."""
        count = config.unknown_chunks_max if self.info is None else self.info.chunks
        return bits if bits.bit_length() <= count else bits & ((1 << count) - 1)

    def learn(self, neighbour: Neighbour, bits: int) -> None:
        """A neighbour holds exactly `bits`."""
        picker = self.fetch.picker if self.fetch else None
        if picker is not None:
            picker.rarity.remove(neighbour.have & ~bits)
            picker.rarity.add(bits & ~neighbour.have)
            neighbour.whole = bits == picker.all
        neighbour.have = bits

    def reshare(self, me: NodeId) -> None:
        """Whose share is what, after somebody began or ceased to want the blob. Other sites share among themselves."""
        picker = self.fetch.picker if self.fetch else None
        if picker is None:
            return
        ranks = sorted([me, *(n.peer.node for n in self.neighbours.values() if n.fellow)])
        picker.rank = ranks.index(me)
        picker.shares = share_out(picker.info.chunks, ranks)

    def coming(self, among: int, patience: float, now: Instant) -> tuple[int, Instant]:
        """Those of `among` that fellows have under way, for `patience` seconds at most; and since when the first.

        What was claimed before counts from then on, whoever claimed it; but whoever takes over what did not come is
        given his time too, once, or all would ask for it together. Claims that are made anew, or in turns, hold nothing
        up for longer than that.
        """
        assert self.fetch is not None
        left: list[int] = []
        oldest, left_at = NEVER, self.fetch.left_at
        for neighbour in self.neighbours.values():
            if among & neighbour.coming.bits and neighbour.peer.tier < 2:
                for index, at in neighbour.coming.among(among):
                    if at + patience > now:
                        again = left_at.setdefault(index, at) + patience
                        since = at if at < again else again
                        if since + patience > now:
                            left.append(index)
                            oldest = min(oldest, since)
        return HaveSet.of(left).bits, oldest

    def soon_back(self, patience: float, now: Instant) -> int:
        """What neighbours of this site have that rest, but are back within `patience` seconds since they first failed:
        not worth a crossing."""
        assert self.fetch is not None
        bits = 0
        for neighbour in self.neighbours.values():
            peer = neighbour.peer
            until = peer.resting_until(self.fetch.priority)
            if neighbour.have and not peer.elsewhere and now < until <= peer.failing_since + patience:
                bits |= neighbour.have
        return bits

    def asked_of(self) -> int:
        """Peers that something of it is asked of at this moment."""
        return sum([n.requests > 0 for n in self.neighbours.values()])


def pages_here(info: BlobInfo, have: int, count: int) -> int:
    """Bits of the manifest pages that are surely here, when `count` of them are: all, or those whose chunks are."""
    if count >= info.pages:
        return (1 << info.pages) - 1
    bits = 0
    for page in range(info.pages):
        chunks = info.page_range(page)
        if have >> chunks.start & ((1 << len(chunks)) - 1):
            bits |= 1 << page
    return bits


@dataclass(slots=True, eq=False)
class SwarmState:
    """Everything that the parts of the machine share."""

    me: Identity
    config: SwarmConfig
    rng: Random
    peers: dict[NodeId, Peer] = field(default_factory=dict)
    blobs: dict[BlobId, Blob] = field(default_factory=dict)
    fetching: dict[BlobId, Blob] = field(default_factory=dict)
    """Those of them that are being fetched."""
    chunks: dict[RequestId, ChunkRequest] = field(default_factory=dict)
    manifests: dict[RequestId, ManifestRequest] = field(default_factory=dict)
    storing: float = 0.0
    """Seconds from the last byte of a chunk to its being stored, smoothed."""
    quiet: bool = False
    """These are quiet hours."""
    strained: bool = False
    """This device's processor is short."""
    inflight: int = 0
    """Bytes of the chunks asked for and not here."""
    received: dict[NodeId, int] = field(default_factory=dict)
    """Bytes of stored chunks by source, since the start."""
    crossed: int = 0
    """Sums over ended fetches of what these count."""
    hedges: int = 0
    wasted: int = 0
    roomier: bool = False
    """Somebody who waits for a turn to be fetched may perhaps have it."""
    touched: dict[BlobId, None] = field(default_factory=dict)
    """Blobs whose progress may have to be reported after this event."""
    wake: Instant = NEVER
    """When something may be asked for that could not at this moment."""
    _last: int = 0

    @property
    def handling(self) -> float:
        """Seconds that pass here for each chunk beside its coming: it is noticed, and stored."""
        return self.storing + (self.config.strained_slack if self.strained else 0.0)

    @property
    def news_delay(self) -> float:
        """Seconds for which news are collected before others hear, here and as far as we know elsewhere."""
        return max(self.config.delta_delay, self.config.strained_delta_delay if self.strained else 0.0)

    @property
    def shared_unit(self) -> int:
        """What units are not made larger than because others share what a peer gives."""
        return CHUNK_BYTES if self.strained else SHARED_UNIT

    @property
    def has_memory(self) -> bool:
        """Whether one more chunk may be in flight. Of any size: with a smaller threshold for small chunks these would
        take all that is freed, whatever their class."""
        return not self.inflight or self.inflight + LARGE_CHUNK_BYTES <= self.config.inflight_bytes_max

    def wake_at(self, at: Instant) -> None:
        """Something may be asked for then; the earliest such moment counts."""
        self.wake = min(self.wake, at)

    def next_request(self) -> RequestId:
        """A number not used before."""
        self._last += 1
        return RequestId(self._last)

    def touch(self, blob: BlobId) -> None:
        """The progress of its fetch, if there is one, may have to be reported."""
        if blob in self.fetching:
            self.touched[blob] = None

    def credit(self, blob: Blob, node: NodeId, size: int) -> None:
        """A chunk of it came from this peer."""
        ledgers = [self.received] if blob.fetch is None else [self.received, blob.fetch.received]
        for ledger in ledgers:
            if node not in ledger and len(ledger) >= self.config.ledger_max:
                del ledger[next(iter(ledger))]
            ledger[node] = ledger.get(node, 0) + size

    def admit(self, blob: Blob, peer: Peer) -> Neighbour | None:
        """The peer's place in the swarm of a blob; None when there is no room for it."""
        neighbour = blob.neighbours.get(peer.node)
        if neighbour is not None:
            return neighbour
        if len(peer.blobs) >= self.config.blobs_per_peer:
            return None
        if len(blob.neighbours) >= self.config.neighbours_max:
            useless = [n for n in blob.neighbours.values() if n.heard and not (n.have or n.wanting or n.requests)]
            if not useless:
                return None
            self.dismiss(blob, useless[0])
        neighbour = Neighbour(peer)
        blob.neighbours[peer.node] = neighbour
        peer.blobs[blob.blob] = None
        return neighbour

    def dismiss(self, blob: Blob, neighbour: Neighbour) -> None:
        """Out of the swarm of a blob; its requests must have been taken back before."""
        assert not neighbour.requests
        blob.learn(neighbour, 0)
        blob.neighbours.pop(neighbour.peer.node, None)
        neighbour.peer.blobs.pop(blob.blob, None)
        if neighbour.wanting:
            blob.reshare(self.me.node)
