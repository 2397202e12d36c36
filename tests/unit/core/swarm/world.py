"""A little world of swarm and serving machines: virtual time, serial uplinks, a directory that knows every claim."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from edgecache.core.node import Router
from edgecache.core.serving import Serving, ServingConfig
from edgecache.core.swarm import Swarm, SwarmConfig
from edgecache.core.vocabulary import (
    BlobCompleted,
    BlobHeld,
    CancelFetch,
    ChunkFailed,
    ChunkProgress,
    ChunkStored,
    ClearTimer,
    CompleteBlob,
    Effect,
    Event,
    FetchChunk,
    FetchFailure,
    FetchFinished,
    FetchManifest,
    FetchProgressed,
    FetchWanted,
    HoldingChanged,
    Identity,
    LinkDown,
    LinkUnavailable,
    LinkUp,
    LinkWanted,
    MachineName,
    ManifestFailed,
    ManifestStored,
    MapChanged,
    MessageReceived,
    Misbehaved,
    Notice,
    Outbox,
    ProvidersFound,
    ProvidersWanted,
    RefuseUnit,
    RequestId,
    RoomGranted,
    RoomWanted,
    Send,
    ServeUnit,
    SetTimer,
    TimerFired,
    TimerKey,
    UnitAsked,
    UnitServed,
    UnitWithdrawn,
)
from edgecache.model.content import BlobInfo
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId, NodeId, blob_id_from_root, node_id_from_bytes, sha256
from edgecache.model.instant import Instant
from edgecache.wire.messages import Claim, Have, Hello


def blob_of(size: int, name: bytes = b"root") -> BlobInfo:
    """A blob of this size."""
    return BlobInfo(blob_id_from_root(name), size, sha256(name))


def node_id(number: int) -> NodeId:
    """The id of node `number`."""
    return node_id_from_bytes(sha256(bytes([number]))[:16])


def identity(number: int) -> Identity:
    """Node `number`."""
    return Identity(node_id(number), "mesh", "site", f"node{number}", 1, ())


def hello(number: int) -> Hello:
    """What node `number` says first."""
    return Hello(node_id(number), "mesh", "site", f"node{number}", 1, 0, ())


class Surroundings:
    """The machines around the swarm: a directory that knows every claim, links on request, a store with room."""

    name = MachineName.DIRECTORY
    hears = (ProvidersWanted, HoldingChanged, LinkWanted, RoomWanted, Misbehaved)
    hears_messages: tuple[type, ...] = ()

    def __init__(self, world: World, number: int) -> None:
        self._world, self._number = world, number
        self.misbehaved: list[Misbehaved] = []

    def handle(self, event: Event | Notice | MapChanged, now: Instant, out: Outbox) -> None:
        """Answer at once."""
        world, me = self._world, node_id(self._number)
        match event:
            case ProvidersWanted(blob):
                claims = [claim for node, claim in world.claims.get(blob, {}).items() if node != me]
                out.tell(ProvidersFound(blob, tuple(claims), final=True))
            case HoldingChanged(info, held):
                world.claims.setdefault(info.blob, {})[me] = Claim(info.blob, me, held, info.chunks)
            case LinkWanted(peer):
                if world.nodes[world.number[peer]].down:
                    out.tell(LinkUnavailable(peer))
                else:
                    world.after(0.001, lambda: world.link(self._number, world.number[peer]))
            case RoomWanted(blob):
                out.tell(RoomGranted(blob))
            case Misbehaved():
                self.misbehaved.append(event)
            case _:
                pass


@dataclass
class Pull:
    """A FetchChunk that the driver carries out, unit by unit."""

    effect: FetchChunk
    started: Instant
    size: int
    received: int = 0


@dataclass
class Node:
    """One node and its driver."""

    number: int
    router: Router
    swarm: Swarm
    serving: Serving
    around: Surroundings
    uplink: float
    """Bytes a second; one unit after the other."""
    free_at: Instant = 0.0
    down: bool = False
    corrupts: bool = False
    store: dict[BlobId, HaveSet] = field(default_factory=dict)
    timers: dict[TimerKey, Instant] = field(default_factory=dict)
    pulls: dict[RequestId, Pull] = field(default_factory=dict)
    asked: dict[RequestId, tuple[int, RequestId, UnitAsked]] = field(default_factory=dict)
    """Units asked of us: the asking node, its own request, the unit."""
    links: dict[int, None] = field(default_factory=dict)
    progress: list[FetchProgressed] = field(default_factory=list)
    finished: list[FetchFinished] = field(default_factory=list)
    uploaded: int = 0
    chunks: int = 0
    events: int = 0


class World:
    """Nodes, and what happens when."""

    def __init__(
        self, uplinks: list[float], *, seed: int = 1, latency: float = 0.001,
        swarm: SwarmConfig | None = None, serving: ServingConfig | None = None, tiers: list[int] | None = None,
    ) -> None:
        self.now: Instant = 100.0
        self.latency = latency
        self.sites = tiers or [0] * len(uplinks)
        self.claims: dict[BlobId, dict[NodeId, Claim]] = {}
        self.infos: dict[BlobId, BlobInfo] = {}
        self.number = {node_id(number): number for number in range(len(uplinks))}
        self._heap: list[tuple[Instant, int, Callable[[], None]]] = []
        self._count = 0
        self.nodes: list[Node] = []
        for number, uplink in enumerate(uplinks):
            me = identity(number)
            swarm_machine = Swarm(me, swarm or SwarmConfig(), Random(seed * 1000 + number))
            serving_machine = Serving(me, serving or ServingConfig())
            around = Surroundings(self, number)
            router = Router([swarm_machine, serving_machine, around])
            self.nodes.append(Node(number, router, swarm_machine, serving_machine, around, uplink))

    # ---- what tests do

    def link(self, a: int, b: int) -> None:
        """Both ends have a link to the other."""
        if self.nodes[a].down or self.nodes[b].down:
            return
        for one, other in ((a, b), (b, a)):
            if other not in self.nodes[one].links:
                self.nodes[one].links[other] = None
                tier = 0 if self.sites[one] == self.sites[other] else 2
                self.give(one, LinkUp(node_id(other), hello(other), tier, 2 * self.latency))

    def link_all(self) -> None:
        """A full mesh."""
        for a in range(len(self.nodes)):
            for b in range(a):
                self.link(a, b)

    def hold(self, number: int, info: BlobInfo, have: HaveSet | None = None) -> None:
        """A node has a blob, or only these chunks of it."""
        have = HaveSet.full(info.chunks) if have is None else have
        complete = len(have) == info.chunks
        self.infos[info.blob] = info
        self.nodes[number].store[info.blob] = have
        self.give(number, BlobHeld(info, have, (1 << info.pages) - 1, pinned=False, complete=complete))

    def want(self, number: int, info: BlobInfo) -> None:
        """A node is to fetch it."""
        self.give(number, FetchWanted(info.blob))

    def cut(self, number: int) -> None:
        """A node vanishes: its links are down, what it had asked or was asked for is lost."""
        node = self.nodes[number]
        node.down = True
        for other in list(node.links):
            del node.links[other]
            del self.nodes[other].links[number]
            self.give(other, LinkDown(node_id(number), planned=False), force=True)
            self.give(number, LinkDown(node_id(other), planned=False), force=True)
            for request, (asker, _, _) in list(self.nodes[other].asked.items()):
                if asker == number:
                    del self.nodes[other].asked[request]
                    self.give(other, UnitWithdrawn(request))
        node.asked.clear()

    def restore(self, number: int) -> None:
        """A node is back, and linked to all."""
        self.nodes[number].down = False
        for other in range(len(self.nodes)):
            if other != number:
                self.link(number, other)

    def run(self, seconds: float, until: Callable[[], bool] = lambda: False) -> float:
        """Let time pass; returns how much did."""
        began = self.now
        while self._heap and self._heap[0][0] <= began + seconds and not until():
            self.now, _, action = heapq.heappop(self._heap)
            action()
        return self.now - began

    def done(self, *numbers: int) -> bool:
        """Whether these nodes have finished a fetch, well."""
        return all(self.nodes[n].finished and not self.nodes[n].finished[-1].failure for n in numbers)

    # ---- the driver

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Do it later."""
        self._count += 1
        heapq.heappush(self._heap, (self.now + seconds, self._count, action))

    def give(self, number: int, event: Event | Notice, *, force: bool = False) -> None:
        """An event (or a notice of a machine that is not here) for a node."""
        node = self.nodes[number]
        if node.down and not force:
            return
        node.events += 1
        for effect in node.router.handle(event, self.now):  # type: ignore[arg-type]
            self._carry_out(node, effect)

    def _carry_out(self, node: Node, effect: Effect) -> None:
        match effect:
            case Send(peer, message):
                self._deliver(node, self.number[peer], MessageReceived(node_id(node.number), message))
            case SetTimer(key, at):
                node.timers[key] = at
                self.after(at - self.now, lambda: self._ring(node, key, at))
            case ClearTimer(key):
                node.timers.pop(key, None)
            case FetchManifest():
                self.after(2 * self.latency, lambda: self._manifest(node, effect))
            case FetchChunk():
                size = self.infos[effect.blob].chunk_bytes(effect.index)
                node.pulls[effect.request] = Pull(effect, self.now, size)
                self._pull(node, effect.request)
            case CancelFetch(request):
                node.pulls.pop(request, None)
            case CompleteBlob(blob):
                self.after(0.0, lambda: self.give(node.number, BlobCompleted(blob)))
            case ServeUnit(request):
                self._serve(node, request)
            case RefuseUnit(request, retry_after):
                asker, pull, _ = node.asked.pop(request)
                reason = FetchFailure.REFUSED if retry_after else FetchFailure.NOT_FOUND
                self.after(self.latency, lambda: self._failed(self.nodes[asker], pull, reason, retry_after))
            case FetchProgressed():
                node.progress.append(effect)
            case FetchFinished():
                node.finished.append(effect)
            case _:
                pass

    def _deliver(self, node: Node, other: int, event: Event) -> None:
        def arrive() -> None:
            if other in node.links:
                self.give(other, event)
        self.after(self.latency, arrive)

    def _ring(self, node: Node, key: TimerKey, at: Instant) -> None:
        if node.timers.get(key) == at:
            del node.timers[key]
            self.give(node.number, TimerFired(key))

    def _manifest(self, node: Node, effect: FetchManifest) -> None:
        server = self.nodes[self.number[effect.peer]]
        if server.number not in node.links:
            event: Event = ManifestFailed(effect.request, effect.peer, effect.blob, FetchFailure.LINK_LOST)
        elif effect.blob not in server.store:
            event = ManifestFailed(effect.request, effect.peer, effect.blob, FetchFailure.NOT_FOUND)
        else:
            have = node.store.setdefault(effect.blob, HaveSet())
            event = ManifestStored(effect.request, effect.peer, self.infos[effect.blob], effect.page, have)
        self.give(node.number, event)

    def _pull(self, node: Node, request: RequestId) -> None:
        """Ask for the next unit."""
        pull = node.pulls[request]
        effect, server = pull.effect, self.nodes[self.number[pull.effect.peer]]
        if server.number not in node.links:
            self.after(self.latency, lambda: self._failed(node, request, FetchFailure.LINK_LOST, 0.0))
            return
        self._count += 1
        unit = UnitAsked(
            RequestId(self._count), node_id(node.number), effect.blob, effect.index,
            min(effect.unit, pull.size - pull.received), pull.size,
        )
        before = pull.received
        self.after(self.latency, lambda: self._ask(server, node.number, request, unit))

        def expire() -> None:
            if node.pulls.get(request) is pull and pull.received == before:
                self._failed(node, request, FetchFailure.TIMEOUT, 0.0)
        self.after(effect.timeout, expire)

    def _ask(self, server: Node, asker: int, request: RequestId, unit: UnitAsked) -> None:
        if asker in server.links:
            server.asked[unit.request] = (asker, request, unit)
            self.give(server.number, unit)

    def _serve(self, server: Node, request: RequestId) -> None:
        asker, pull, unit = server.asked[request]
        if unit.index not in server.store.get(unit.blob, HaveSet()):
            del server.asked[request]
            self.after(0.0, lambda: self.give(server.number, UnitWithdrawn(request)))
            self.after(self.latency, lambda: self._failed(self.nodes[asker], pull, FetchFailure.NOT_FOUND, 0.0))
            return
        server.free_at = max(server.free_at, self.now) + unit.size / server.uplink
        self.after(server.free_at - self.now, lambda: self._sent(server, request))

    def _sent(self, server: Node, request: RequestId) -> None:
        if request not in server.asked:
            return
        asker, pull, unit = server.asked.pop(request)
        server.uploaded += unit.size
        self.give(server.number, UnitServed(request))
        self.after(self.latency, lambda: self._arrived(server, self.nodes[asker], pull, unit.size))

    def _arrived(self, server: Node, node: Node, request: RequestId, size: int) -> None:
        pull = node.pulls.get(request)
        if pull is None or node.down:
            return
        pull.received += size
        if pull.received < pull.size:
            self.give(node.number, ChunkProgress(request, pull.received))
            if request in node.pulls:
                self._pull(node, request)
            return
        del node.pulls[request]
        effect = pull.effect
        if server.corrupts:
            self.give(node.number, ChunkFailed(request, effect.blob, effect.index, FetchFailure.CORRUPT))
            return
        node.store[effect.blob] = node.store[effect.blob].with_index(effect.index)
        node.chunks += 1
        self.give(node.number, ChunkStored(request, effect.blob, effect.index, pull.size, self.now - pull.started))

    def _failed(self, node: Node, request: RequestId, reason: FetchFailure, retry_after: float) -> None:
        pull = node.pulls.pop(request, None)
        if pull is not None:
            effect = pull.effect
            self.give(node.number, ChunkFailed(request, effect.blob, effect.index, reason, retry_after))


def have_message(info: BlobInfo, *indexes: int, full: bool = True, wanting: bool = False) -> Have:
    """A Have message."""
    return Have(info.blob, HaveSet.of(indexes), full=full, wanting=wanting)
