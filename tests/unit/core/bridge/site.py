"""Bridge machines of one site on a virtual clock: replicated facts arrive after 0.3 s, suspicion as it is told."""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random

from edgecache.core import vocabulary as v
from edgecache.core.bridge import Bridge, BridgeConfig
from edgecache.core.bridge.election import seniority
from edgecache.model.ids import NodeId, node_id_from_bytes
from edgecache.model.peer import PeerInfo
from edgecache.wire.facts import MQTT_KEY
from edgecache.wire.messages import MemberStatus

SPREAD = 0.3
HOME = "home"


def node_id(number: int) -> NodeId:
    return node_id_from_bytes(number.to_bytes(16, "big"))


def identity(node: NodeId, site: str = HOME) -> v.Identity:
    return v.Identity(node, "mesh", site, "pi", 1, ())


def by_rank(count: int) -> list[NodeId]:
    """Nodes of the site, the senior first."""
    return sorted(map(node_id, range(count)), key=lambda node: seniority(HOME, node), reverse=True)


@dataclass
class _Member:
    machine: Bridge
    timers: dict[v.TimerKey, float] = field(default_factory=dict)
    fact: bytes | None = None
    active: int | None = None
    """Term of the last StartBridge, unless StopBridge followed."""


class Site:
    """What happens to the nodes, and who bridges when."""

    def __init__(self, count: int, seed: int = 1, config: BridgeConfig | None = None) -> None:
        self.now = 100.0
        self.config = config or BridgeConfig()
        self.nodes = by_rank(count)
        self.members: dict[NodeId, _Member] = {}
        self.apart: set[frozenset[NodeId]] = set()
        self.history: list[tuple[float, NodeId, int | None]] = []
        self._queue: list[tuple[float, int, NodeId, v.Event | v.Notice]] = []
        self._sequence = 0
        self._rng = Random(seed)
        for node in self.nodes:
            self._boot(node)

    def _boot(self, node: NodeId) -> None:
        self.members[node] = _Member(Bridge(identity(node), self.config, Random(self._rng.random())))
        for other in list(self.members):
            if other != node:
                self.told(other, node, MemberStatus.ALIVE)
                self.told(node, other, MemberStatus.ALIVE)
                self._later(node, v.EntryChanged(other, MQTT_KEY, self.members[other].fact))

    # ---- what happens

    def broker(self, nodes: Iterable[NodeId], *, reachable: bool = True, term: int = 0) -> None:
        for node in nodes:
            self.hear(node, v.BrokerChanged(reachable, term))

    def told(self, node: NodeId, about: NodeId, status: MemberStatus) -> None:
        if node in self.members:
            self.hear(node, v.MemberChanged(PeerInfo(about, (), HOME), status))

    def everybody_told(self, about: NodeId, status: MemberStatus) -> None:
        for node in self.members:
            if node != about:
                self.told(node, about, status)

    def kill(self, node: NodeId) -> None:
        del self.members[node]
        self.everybody_told(node, MemberStatus.SUSPECT)

    def restart(self, node: NodeId) -> None:
        """A new boot, whose map is empty at first."""
        self._boot(node)
        for other in self.members:
            if other != node:
                self._later(other, v.EntryChanged(node, MQTT_KEY, None))

    def split(self, left: Iterable[NodeId], right: Iterable[NodeId]) -> None:
        """Facts no longer cross, and both sides suspect, then bury the other."""
        sides = list(left), list(right)
        for one in sides[0]:
            for other in sides[1]:
                self.apart.add(frozenset((one, other)))
                for status in (MemberStatus.SUSPECT, MemberStatus.DEAD):
                    self.told(one, other, status)
                    self.told(other, one, status)

    def heal(self) -> None:
        """Everybody lives, and hears the facts that it missed."""
        pairs = sorted(tuple(sorted(pair)) for pair in self.apart)
        self.apart.clear()
        for one, other in pairs:
            for node, about in ((one, other), (other, one)):
                self.told(node, about, MemberStatus.ALIVE)
                self._later(node, v.EntryChanged(about, MQTT_KEY, self.members[about].fact))

    def hear(self, node: NodeId, event: v.Event | v.Notice) -> None:
        member = self.members[node]
        out = v.Outbox()
        member.machine.handle(event, self.now, out)
        for effect in out.effects:
            if isinstance(effect, v.SetTimer):
                member.timers[effect.key] = effect.at
            elif isinstance(effect, v.ClearTimer):
                member.timers.pop(effect.key, None)
            elif isinstance(effect, v.StartBridge | v.StopBridge):
                member.active = effect.term if isinstance(effect, v.StartBridge) else None
                self.history.append((self.now, node, member.active))
        for notice in out.notices:
            assert isinstance(notice, v.OwnEntriesWanted)
            member.fact = notice.entries[MQTT_KEY]
            for other in self.members:
                if other != node and frozenset((node, other)) not in self.apart:
                    self._later(other, v.EntryChanged(node, MQTT_KEY, member.fact))

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while True:
            timers = [(at, node, key) for node, one in self.members.items() for key, at in one.timers.items()]
            timer = min(timers, key=lambda item: item[0], default=None)
            message = self._queue[0] if self._queue else None
            at = min([item[0] for item in (timer, message) if item is not None], default=until + 1)
            if at > until:
                break
            self.now = max(self.now, at)
            if message is not None and message[0] == at:
                heapq.heappop(self._queue)
                if message[2] in self.members:
                    self.hear(message[2], message[3])
            elif timer is not None:
                del self.members[timer[1]].timers[timer[2]]
                self.hear(timer[1], v.TimerFired(timer[2]))
        self.now = until

    # ---- what comes of it

    @property
    def bridges(self) -> dict[NodeId, int]:
        return {node: one.active for node, one in self.members.items() if one.active is not None}

    def started(self) -> list[NodeId]:
        """Who became the bridge, in order."""
        return [node for _, node, term in self.history if term is not None]

    def _later(self, node: NodeId, event: v.Event | v.Notice) -> None:
        self._sequence += 1
        heapq.heappush(self._queue, (self.now + SPREAD, self._sequence, node, event))
