"""Directory machines on a virtual clock: messages take 5 ms, membership knows everything and grants links at once."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from edgecache.core.directory import Directory, DirectoryConfig
from edgecache.core.vocabulary import (
    ClearTimer,
    Effect,
    EntryChanged,
    Event,
    HoldingChanged,
    Identity,
    LinkDown,
    LinkUnavailable,
    LinkUp,
    LinkWanted,
    MemberChanged,
    MessageReceived,
    Misbehaved,
    Notice,
    Outbox,
    OwnEntriesWanted,
    ProvidersFound,
    ProvidersWanted,
    Resolved,
    ResolveWanted,
    Send,
    SetTimer,
    Started,
    TimerFired,
    TimerKey,
)
from edgecache.model.content import CHUNK_BYTES, BlobInfo
from edgecache.model.ids import BlobId, BlobRef, NodeId, blob_id_from_root, node_id_from_bytes, sha256
from edgecache.model.peer import Address, PeerInfo
from edgecache.wire.messages import BATCHES, Claim, Hello, MemberStatus, Message

LATENCY = 0.005

M = TypeVar("M")
N = TypeVar("N")


def node_id(number: int) -> NodeId:
    return node_id_from_bytes(number.to_bytes(16, "big"))


def blob_info(number: int, chunks: int = 4) -> BlobInfo:
    return BlobInfo(blob_id_from_root(b"root %d" % number), chunks * CHUNK_BYTES, sha256(b"whole %d" % number))


def identity(number: int, site: str = "home", capacity: int = 1, epoch: int = 1) -> Identity:
    return Identity(node_id(number), "mesh", site, f"pi{number}", epoch, (address(number),), capacity=capacity)


def address(number: int) -> Address:
    return Address(f"192.0.2.{number % 250 + 1}", 5684)


def peer_info(number: int, site: str = "home", incarnation: int = 0) -> PeerInfo:
    return PeerInfo(node_id(number), (address(number),), site, f"pi{number}", incarnation)


def hello(number: int, site: str = "home", epoch: int = 1, *, batching: bool = False) -> Hello:
    features = frozenset({BATCHES}) if batching else frozenset[str]()
    return Hello(node_id(number), "mesh", site, f"pi{number}", epoch, 0, (address(number),), features=features)


@dataclass
class Lone:
    """One machine and nobody else: what is said to it, and what it then wants."""

    machine: Directory
    now: float = 100.0
    timers: dict[TimerKey, float] = field(default_factory=dict)

    def hear(self, event: Event | Notice) -> Outbox:
        out = Outbox()
        self.machine.handle(event, self.now, out)
        for effect in out.effects:
            if isinstance(effect, SetTimer):
                self.timers[effect.key] = effect.at
            elif isinstance(effect, ClearTimer):
                self.timers.pop(effect.key, None)
        return out

    def receive(self, number: int, message: Message) -> Outbox:
        return self.hear(MessageReceived(node_id(number), message))

    def meet(self, *numbers: int, site: str = "home", linked: bool = True, batching: bool = False) -> None:
        for number in numbers:
            self.hear(MemberChanged(peer_info(number, site), MemberStatus.ALIVE))
            if linked:
                self.hear(LinkUp(node_id(number), hello(number, site, batching=batching), 1, 0.001))

    def fire(self, name: str) -> Outbox:
        """The next timer of that name."""
        key = min((key for key in self.timers if key.name == name), key=self.timers.__getitem__)
        self.now = max(self.now, self.timers.pop(key))
        return self.hear(TimerFired(key))

    def waits(self, name: str) -> float | None:
        return min((at - self.now for key, at in self.timers.items() if key.name == name), default=None)


def sent(out: Outbox, kind: type[M]) -> list[tuple[NodeId, M]]:
    return [(e.peer, e.message) for e in out.effects if isinstance(e, Send) and isinstance(e.message, kind)]


def told(out: Outbox, kind: type[N]) -> list[N]:
    return [notice for notice in out.notices if isinstance(notice, kind)]


@dataclass
class _Node:
    identity: Identity
    machine: Directory
    found: list[tuple[float, ProvidersFound]] = field(default_factory=list)
    resolved: list[Resolved] = field(default_factory=list)
    misbehaved: list[Misbehaved] = field(default_factory=list)
    wishes: int = 0


class Mesh:
    """Several machines."""

    def __init__(
        self, seed: int = 1, config: DirectoryConfig | None = None, *, features: frozenset[str] = frozenset()
    ) -> None:
        self.now = 1000.0
        self.features = features
        self.config = config or DirectoryConfig()
        self.rng = random.Random(seed)
        self.nodes: dict[NodeId, _Node] = {}
        self.gone: dict[NodeId, Identity] = {}
        self.links: dict[tuple[NodeId, NodeId], None] = {}
        self.messages: list[tuple[NodeId, NodeId, Message]] = []
        self._timers: dict[tuple[NodeId, TimerKey], tuple[float, int]] = {}
        self._queue: list[tuple[float, int, NodeId, Event | Notice]] = []
        self._sequence = 0

    # ---- what happens to it

    def join(self, number: int, site: str = "home", capacity: int = 1, epoch: int = 1) -> NodeId:
        me = identity(number, site, capacity, epoch)
        machine = Directory(me, self.config, random.Random(f"{number} {epoch} {self.rng.random()}"))
        others = list(self.nodes.values())
        self.nodes[me.node] = _Node(me, machine)
        self._say(me.node, Started())
        for other in others:
            self._say(me.node, MemberChanged(self._info(other.identity), MemberStatus.ALIVE))
            self._say(other.identity.node, MemberChanged(self._info(me), MemberStatus.ALIVE))
        return me.node

    def crash(self, node: NodeId) -> None:
        """Gone at once, and everybody notices."""
        self.vanish(node)
        for other in self.nodes.values():
            self._say(other.identity.node, MemberChanged(self._info(self.gone[node]), MemberStatus.DEAD))

    def vanish(self, node: NodeId) -> None:
        """Gone, links and all, and membership has not noticed."""
        self.gone[node] = self.nodes.pop(node).identity
        for link in [link for link in self.links if node in link]:
            del self.links[link]
            self._say(link[1] if link[0] == node else link[0], LinkDown(node, planned=False))

    def link(self, one: NodeId, two: NodeId) -> None:
        if not self.linked(one, two):
            self.links[one, two] = None
            self._up(one, two)
            self._up(two, one)

    def linked(self, one: NodeId, two: NodeId) -> bool:
        return (one, two) in self.links or (two, one) in self.links

    def hold(self, node: NodeId, info: BlobInfo, held: int | None = None) -> None:
        self._say(node, HoldingChanged(info, info.chunks if held is None else held))

    def want(self, node: NodeId, blob: BlobId) -> None:
        self._say(node, ProvidersWanted(blob))

    def resolve(self, node: NodeId, ref: BlobRef) -> None:
        self._say(node, ResolveWanted(ref))

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self._queue and self._queue[0][0] <= until:
            at, sequence, node, event = heapq.heappop(self._queue)
            self.now = max(self.now, at)
            if isinstance(event, TimerFired):
                if self._timers.get((node, event.key)) != (at, sequence):
                    continue
                del self._timers[node, event.key]
            if node in self.nodes:
                self._happen(node, event)
        self.now = until

    # ---- what comes of it

    def finds(self, node: NodeId, blob: BlobId) -> set[NodeId]:
        """Search now, to the end of the round."""
        before = len(self.nodes[node].found)
        self.want(node, blob)
        self.run(3.0)
        rounds = [notice for _, notice in self.nodes[node].found[before:] if notice.blob == blob]
        assert [notice.final for notice in rounds].count(True) == 1
        return {claim.node for notice in rounds for claim in notice.claims}

    def recorded(self, blob: BlobId) -> dict[NodeId, list[NodeId]]:
        """Who keeps records of it, and of whom."""
        kept = {node: one.machine.providers(blob, self.now) for node, one in self.nodes.items()}
        return {node: holders for node, holders in kept.items() if holders}

    def count(self, kind: type[Message]) -> int:
        return sum(isinstance(message, kind) for _, _, message in self.messages)

    # ---- workings

    def _info(self, me: Identity) -> PeerInfo:
        return PeerInfo(me.node, me.addresses, me.site, me.name, me.epoch)

    def _up(self, at: NodeId, peer: NodeId) -> None:
        other = self.nodes[peer].identity
        greeting = Hello(
            peer, "mesh", other.site, other.name, other.epoch, other.epoch, other.addresses, features=self.features
        )
        self._say(at, LinkUp(peer, greeting, 1, LATENCY))

    def _say(self, node: NodeId, event: Event | Notice) -> None:
        out = Outbox()
        self.nodes[node].machine.handle(event, self.now, out)
        self._carry_out(node, out.effects)
        for notice in out.notices:
            self._noticed(node, notice)

    def _carry_out(self, node: NodeId, effects: Iterable[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, SetTimer):
                at = max(effect.at, self.now)
                self._timers[node, effect.key] = (at, self._push(at, node, TimerFired(effect.key)))
            elif isinstance(effect, ClearTimer):
                self._timers.pop((node, effect.key), None)
            elif isinstance(effect, Send):
                if self.linked(node, effect.peer):
                    self.messages.append((node, effect.peer, effect.message))
                    self._push(self.now + LATENCY, effect.peer, MessageReceived(node, effect.message))
            elif isinstance(effect, Resolved):
                self.nodes[node].resolved.append(effect)

    def _noticed(self, node: NodeId, notice: object) -> None:
        me = self.nodes[node]
        if isinstance(notice, LinkWanted):
            me.wishes += 1
            self._push(self.now + LATENCY, node, notice)
        elif isinstance(notice, ProvidersFound):
            me.found.append((self.now, notice))
        elif isinstance(notice, Misbehaved):
            me.misbehaved.append(notice)
        elif isinstance(notice, OwnEntriesWanted):
            for key, value in notice.entries.items():
                for other in self.nodes:
                    self._push(self.now + 0.5, other, EntryChanged(node, key, value))

    def _happen(self, node: NodeId, event: Event | Notice) -> None:
        if not isinstance(event, LinkWanted):
            self._say(node, event)
        elif event.peer not in self.nodes:
            self._say(node, LinkUnavailable(event.peer))
        elif self.linked(node, event.peer):
            self._up(node, event.peer)
        else:
            self.link(node, event.peer)

    def _push(self, at: float, node: NodeId, event: Event | Notice) -> int:
        self._sequence += 1
        heapq.heappush(self._queue, (at, self._sequence, node, event))
        return self._sequence


def claim(blob: BlobInfo, number: int, held: int = 4) -> Claim:
    return Claim(blob.blob, node_id(number), held, blob.chunks)
