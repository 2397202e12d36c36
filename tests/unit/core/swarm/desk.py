"""One swarm machine and what it said, for tests that are conversations."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import TypeVar

from edgecache.core.swarm import Swarm, SwarmConfig
from edgecache.core.vocabulary import (
    BlobHeld,
    ChunkFailed,
    ChunkStored,
    CompleteBlob,
    Effect,
    Event,
    FetchChunk,
    FetchFailure,
    FetchManifest,
    FetchProgressed,
    FetchWanted,
    LinkDown,
    LinkUp,
    ManifestStored,
    MapChanged,
    MessageReceived,
    Notice,
    Outbox,
    ProvidersFound,
    RoomGranted,
    RoomRefused,
    RoomWanted,
    Send,
    SetTimer,
    TimerFired,
    TimerKey,
)
from edgecache.model.content import BlobInfo
from edgecache.model.have import HaveSet
from edgecache.model.ids import NodeId
from edgecache.model.peer import Limits
from edgecache.wire.messages import Claim, Have, Hello, Message
from tests.unit.core.swarm.world import hello, identity, node_id

Said = Effect | Notice | MapChanged
T = TypeVar("T")


class Desk:
    """Gives events to the machine of node 0, at a time that only tests move, and keeps what it answers."""

    def __init__(self, config: SwarmConfig | None = None, *, seed: int = 1) -> None:
        self.swarm = Swarm(identity(0), config or SwarmConfig(), Random(seed))
        self.now = 1000.0
        self.timers: dict[TimerKey, float] = {}
        self.open: dict[int, FetchChunk] = {}
        """Chunk requests not answered yet."""
        self.said: list[Said] = []
        """Everything, since it was last cleared."""

    def give(self, event: Event | Notice) -> list[Said]:
        """What the machine says to one event."""
        out = Outbox()
        self.swarm.handle(event, self.now, out)
        said: list[Said] = [*out.effects, *out.notices]
        for effect in out.effects:
            if isinstance(effect, SetTimer):
                self.timers[effect.key] = effect.at
            elif isinstance(effect, FetchChunk):
                self.open[effect.request] = effect
        self.said += said
        return said

    def heard(self, kind: type[T]) -> list[T]:
        """What was said of one kind since the last `clear`."""
        return of(kind, self.said)

    def clear(self) -> None:
        """Forget what was said."""
        self.said.clear()

    def link(self, *numbers: int, tier: int = 0, rtt: float = 0.001, window: int = 16) -> None:
        """Links to these nodes come up."""
        for number in numbers:
            first = hello(number)
            said = Hello(first.node, first.mesh, first.site, first.name, 1, 0, (), limits=Limits(window=window))
            self.give(LinkUp(node_id(number), said, tier, rtt))

    def unlink(self, number: int) -> list[Said]:
        """The link to a node is gone."""
        for request in [r for r, effect in self.open.items() if effect.peer == node_id(number)]:
            del self.open[request]
        return self.give(LinkDown(node_id(number), planned=False))

    def message(self, number: int, message: Message) -> list[Said]:
        """A message from a node."""
        return self.give(MessageReceived(node_id(number), message))

    def have(
        self, number: int, info: BlobInfo, indexes: Iterable[int] | None = None, *, full: bool = True,
        wanting: bool = False,
    ) -> list[Said]:
        """A node tells what it holds: all, or these chunks."""
        have = HaveSet.full(info.chunks) if indexes is None else HaveSet.of(indexes)
        return self.message(number, Have(info.blob, have, full=full, wanting=wanting))

    def claims(self, info: BlobInfo, *numbers: int, final: bool = True) -> list[Said]:
        """The directory found claims of these nodes to all of it."""
        found = tuple(Claim(info.blob, node_id(number), info.chunks, info.chunks) for number in numbers)
        return self.give(ProvidersFound(info.blob, found, final))

    def hold(self, info: BlobInfo, indexes: Iterable[int] | None = None, *, wanted: bool = False) -> list[Said]:
        """The store holds all of it, or these chunks and all manifest pages."""
        have = HaveSet.full(info.chunks) if indexes is None else HaveSet.of(indexes)
        complete = indexes is None
        return self.give(BlobHeld(info, have, info.pages, pinned=False, complete=complete, wanted=wanted))

    def begin(self, info: BlobInfo) -> None:
        """A fetch up to the point where chunks are asked for; some neighbour must have told that it has some."""
        self.give(FetchWanted(info.blob))
        for number in range(1, 9):
            if node_id(number) in self.swarm._state.peers:
                self.have(number, info)
        self.manifest(info)

    def manifest(self, info: BlobInfo) -> None:
        """Answer everything about the manifest, and grant room."""
        answered = 0
        while asked := self.heard(FetchManifest)[answered:]:
            answered += len(asked)
            for effect in asked:
                self.give(ManifestStored(effect.request, effect.peer, info, effect.page, HaveSet()))
                if self.heard(RoomWanted):
                    self.give(RoomGranted(info.blob))

    def store(self, effect: FetchChunk, info: BlobInfo, *, seconds: float = 0.01) -> list[Said]:
        """A chunk arrives, after some time."""
        self.now += seconds
        self.open.pop(effect.request, None)
        size = info.chunk_bytes(effect.index)
        return self.give(ChunkStored(effect.request, effect.blob, effect.index, size, seconds))

    def fail(self, effect: FetchChunk, reason: FetchFailure, retry_after: float = 0.0) -> list[Said]:
        """A chunk does not arrive."""
        self.open.pop(effect.request, None)
        return self.give(ChunkFailed(effect.request, effect.blob, effect.index, reason, retry_after))

    def fail_room(self, info: BlobInfo, why: str) -> list[Said]:
        """The store has no room."""
        return self.give(RoomRefused(info.blob, why))

    def store_all(self, info: BlobInfo, *, seconds: float = 0.01) -> list[FetchChunk]:
        """Answer every chunk request until there is none; returns them."""
        done = []
        while self.open:
            effect = self.open[min(self.open)]
            done.append(effect)
            self.store(effect, info, seconds=seconds)
        return done

    def finish(self, info: BlobInfo) -> bool:
        """Answer every chunk request, and wait where the machine waits, until all is here; False if it never is."""
        for _ in range(20):
            self.store_all(info)
            if self.heard(CompleteBlob):
                return True
            if any(key.name == "pump" for key in self.timers):
                self.ring("pump")
        return False

    def ring(self, name: str) -> list[Said]:
        """Time passes until the timer of this name, which fires."""
        key = min((key for key in self.timers if key.name == name), key=lambda key: self.timers[key])
        self.now = max(self.now, self.timers.pop(key))
        return self.give(TimerFired(key))

    def asked_of(self, number: int) -> list[int]:
        """Chunks under way from a node."""
        return sorted(effect.index for effect in self.open.values() if effect.peer == node_id(number))

    def last_progress(self) -> FetchProgressed:
        """The latest report."""
        return self.heard(FetchProgressed)[-1]


def of(kind: type[T], said: Iterable[Said]) -> list[T]:
    """Those of one kind."""
    return [one for one in said if isinstance(one, kind)]


def haves(said: Iterable[Said], number: int | None = None) -> list[Have]:
    """Have messages, to everybody or to one node."""
    sends = of(Send, said)
    return [s.message for s in sends if isinstance(s.message, Have) and number in (None, _number(s.peer))]


def _number(peer: NodeId) -> int:
    return next(number for number in range(256) if node_id(number) == peer)
