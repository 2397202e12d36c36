"""A handful of state machines that sign instantly; the test delivers, loses or forges their messages."""

from __future__ import annotations

from collections import deque
from random import Random

from edgecache.core import vocabulary as v
from edgecache.core.state import State, StateConfig
from edgecache.model.ids import NodeId, node_id_from_bytes, node_id_to_bytes
from edgecache.model.peer import PeerInfo
from edgecache.wire import codec
from edgecache.wire.messages import Hello, MemberStatus, Message

CONFIG = StateConfig()


def node(number: int) -> NodeId:
    return node_id_from_bytes(number.to_bytes(16, "big"))


def number_of(who: NodeId) -> int:
    return int.from_bytes(node_id_to_bytes(who), "big")


class Mesh:
    """State machines that sign instantly; messages wait in `wire` until `deliver`."""

    def __init__(
        self, count: int, *, epochs: dict[int, int] | None = None, config: StateConfig = CONFIG
    ) -> None:
        self.now = 0.0
        self.config = config
        self.machines: dict[NodeId, State] = {}
        self.timers: dict[NodeId, dict[v.TimerKey, float]] = {}
        self.wire: deque[tuple[NodeId, NodeId, Message]] = deque()
        self.notices: list[object] = []
        self.reports: list[object] = []
        for number in range(count):
            self.boot(number, (epochs or {}).get(number, 1))

    def boot(self, number: int, epoch: int) -> None:
        me = v.Identity(node(number), "mesh", "home", f"n{number}", epoch, ())
        self.machines[node(number)] = State(me, self.config, Random(number))
        self.timers[node(number)] = {}

    def hear(self, number: int, event: v.Event | v.Notice) -> None:
        who, out = node(number), v.Outbox()
        self.machines[who].handle(event, self.now, out)
        self.notices += out.notices
        for effect in out.effects:
            if isinstance(effect, v.Send):
                codec.encode(effect.message)
                self.wire.append((who, effect.peer, effect.message))
            elif isinstance(effect, v.SetTimer):
                self.timers[who][effect.key] = effect.at
            elif isinstance(effect, v.SignHead):
                signed = v.HeadSigned(effect.epoch, effect.version, effect.map_hash, b"s" * 64, b"certificate")
                self.hear(number, signed)
            elif isinstance(effect, v.MapChanged | v.Warned):
                self.reports.append(effect)

    def link(self, a: int, b: int) -> None:
        for one, other in ((a, b), (b, a)):
            self.hear(one, v.LinkUp(node(other), Hello(node(other), "mesh", "home", "", 1, 1, ()), 1, 0.001))

    def unlink(self, a: int, b: int) -> None:
        for one, other in ((a, b), (b, a)):
            self.hear(one, v.LinkDown(node(other), planned=False))

    def believe(self, at: int, about: int, status: MemberStatus) -> None:
        self.hear(at, v.MemberChanged(PeerInfo(node(about), (), "home"), status))

    def say(self, source: int, target: int, message: Message) -> list[Message]:
        """One message, and what it makes the target say at once."""
        before = len(self.wire)
        self.hear(target, v.MessageReceived(node(source), message))
        return [message for _, _, message in list(self.wire)[before:]]

    def set(self, number: int, **entries: bytes | None) -> None:
        self.hear(number, v.OwnEntriesChanged({key.replace("_", "/"): value for key, value in entries.items()}))

    def fire(self, number: int, name: str) -> None:
        timers = self.timers[node(number)]
        for key in [key for key in timers if key.name == name]:
            self.now = max(self.now, timers.pop(key))
            self.hear(number, v.TimerFired(key))

    def flush(self, number: int) -> None:
        self.fire(number, "flush")

    def deliver(self, *, lose: type | None = None) -> list[Message]:
        carried: list[Message] = []
        while self.wire:
            source, target, message = self.wire.popleft()
            carried.append(message)
            assert len(carried) < 10_000, "the machines never stop talking"
            if lose is None or not isinstance(message, lose):
                self.hear(number_of(target), v.MessageReceived(source, message))
        return carried

    def value(self, at: int, owner: int, key: str) -> bytes | None:
        return self.machines[node(at)].value(node(owner), key)


def full_mesh(count: int, config: StateConfig = CONFIG) -> Mesh:
    mesh = Mesh(count, config=config)
    for a in range(count):
        for b in range(a):
            mesh.link(a, b)
    mesh.deliver()
    return mesh
