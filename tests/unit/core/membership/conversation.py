"""One membership machine, node 100 unless told otherwise, whose events, timers and clock the test moves."""

from __future__ import annotations

from random import Random
from typing import TypeVar

from edgecache.core import vocabulary as v
from edgecache.core.membership import Membership, MembershipConfig
from edgecache.model.ids import NodeId, node_id_from_bytes
from edgecache.model.peer import Address, CloseReason, PeerInfo
from edgecache.wire import codec
from edgecache.wire.messages import Gossip, Hello, MemberStatus, Message, Rumour

E = TypeVar("E")

CONFIG = MembershipConfig()
BOOT = 1 << 16
"""The incarnation with which the members of these tests begin."""


def node(number: int) -> NodeId:
    return node_id_from_bytes(number.to_bytes(16, "big"))


def address(number: int) -> Address:
    return Address(f"10.0.{number >> 8}.{number & 255}", 5684)


def hello(number: int, *, incarnation: int = BOOT, host: bytes = b"", site: str = "home") -> Hello:
    return Hello(node(number), "mesh", site, f"n{number}", 1, incarnation, (address(number),), host)


def info(number: int, *, incarnation: int = BOOT, addresses: tuple[Address, ...] | None = None) -> PeerInfo:
    where = (address(number),) if addresses is None else addresses
    return PeerInfo(node(number), where, "home", f"n{number}", incarnation)


def suspicion(number: int, incarnation: int = BOOT, accuser: int = 99) -> Rumour:
    return Rumour(node(number), MemberStatus.SUSPECT, incarnation, node(accuser))


def death(number: int, incarnation: int = BOOT) -> Rumour:
    return Rumour(node(number), MemberStatus.DEAD, incarnation, node(99))


class Conversation:
    """The machine, what it set, and what it told the other machines after the last event."""

    def __init__(
        self, config: MembershipConfig = CONFIG, *, own: tuple[Address, ...] = (address(100),), me: int = 100
    ) -> None:
        self.me = v.Identity(node(me), "mesh", "home", "me", 1, own)
        self.machine = Membership(self.me, config, Random(1))
        self.now = 0.0
        self.notices: list[object] = []
        self.timers: dict[v.TimerKey, float] = {}

    def hear(self, event: v.Event | v.Notice) -> list[v.Effect]:
        out = v.Outbox()
        self.machine.handle(event, self.now, out)
        self.notices = list(out.notices)
        for effect in out.effects:
            if isinstance(effect, v.SetTimer):
                self.timers[effect.key] = effect.at
            elif isinstance(effect, v.ClearTimer):
                self.timers.pop(effect.key, None)
            elif isinstance(effect, v.Send):
                codec.encode(effect.message)
        return out.effects

    def link(self, number: int, link: int | None = None, *, dialled: bool = True, **facts: object) -> list[v.Effect]:
        said = hello(number, **facts)  # type: ignore[arg-type]
        where = address(number) if dialled else None
        return self.hear(v.LinkOpened(v.LinkId(link or number), node(number), said, dialled, where))

    def cut(self, number: int, link: int | None = None, reason: CloseReason = CloseReason.BROKEN) -> list[v.Effect]:
        return self.hear(v.LinkClosed(v.LinkId(link or number), node(number), reason))

    def fire(self, name: str) -> list[v.Effect]:
        key = next(key for key in self.timers if key.name == name)
        self.now = max(self.now, self.timers.pop(key))
        return self.hear(v.TimerFired(key))

    def pass_time(self, until: float, *names: str) -> list[v.Effect]:
        """Fire the timers of these names (all, when none is given) that are due until then, in their order."""
        effects: list[v.Effect] = []
        while due := [(at, key) for key, at in self.timers.items() if at <= until and (not names or key.name in names)]:
            at, key = min(due, key=lambda one: one[0])
            del self.timers[key]
            self.now = max(self.now, at)
            effects += self.hear(v.TimerFired(key))
        self.now = max(self.now, until)
        return effects

    def gossip(self, source: int, *rumours: Rumour, peers: tuple[PeerInfo, ...] = ()) -> list[v.Effect]:
        return self.say(source, Gossip(peers, rumours))

    def say(self, source: int, message: Message) -> list[v.Effect]:
        return self.hear(v.MessageReceived(node(source), message))

    def status(self, number: int) -> MemberStatus:
        row = self.machine.members.get(node(number))
        assert row is not None
        return row.status


def of(kind: type[E], effects: list[v.Effect]) -> list[E]:
    return [effect for effect in effects if isinstance(effect, kind)]
