"""Composes the machines of one node and routes: events to those that hear them, notices from one to the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecache.core.bridge import Bridge, BridgeConfig
from edgecache.core.directory import Directory, DirectoryConfig
from edgecache.core.membership import Membership, MembershipConfig
from edgecache.core.retention import Retention, RetentionConfig
from edgecache.core.serving import Serving, ServingConfig
from edgecache.core.state import State, StateConfig
from edgecache.core.swarm import Swarm, SwarmConfig
from edgecache.core.vocabulary import (
    Effect,
    Event,
    Identity,
    Machine,
    MachineName,
    MapChanged,
    MessageReceived,
    Notice,
    Outbox,
    TimerFired,
)
from edgecache.core.yielding import Yielding, YieldingConfig
from edgecache.model.errors import InvariantBroken

if TYPE_CHECKING:
    from random import Random

    from edgecache.model.instant import Instant

_NOTICES_MAX = 10_000
"""Notices handled for one event: far above any real fan-out, so that a loop between machines is a loud bug."""


class Router:
    """Delivers events and notices to machines in a fixed order."""

    def __init__(self, machines: Sequence[Machine]) -> None:
        self._by_name: dict[MachineName, Machine] = {machine.name: machine for machine in machines}
        self._by_event: dict[type, tuple[Machine, ...]] = {}
        self._by_message: dict[type, tuple[Machine, ...]] = {}
        for machine in machines:
            for kind in machine.hears:
                self._by_event[kind] = (*self._by_event.get(kind, ()), machine)
            for kind in machine.hears_messages:
                self._by_message[kind] = (*self._by_message.get(kind, ()), machine)

    def handle(self, event: Event, now: Instant) -> list[Effect]:
        """Everything that follows from one event, until no machine has anything left to say."""
        out = Outbox()
        self._deliver(event, now, out)
        for _ in range(_NOTICES_MAX):
            if not out.notices:
                return out.effects
            self._deliver(out.notices.popleft(), now, out)
        raise InvariantBroken("machines keep telling each other things")

    def _deliver(self, event: Event | Notice | MapChanged, now: Instant, out: Outbox) -> None:
        if isinstance(event, TimerFired):
            self._by_name[event.key.machine].handle(event, now, out)
            return
        if isinstance(event, MessageReceived):
            machines = self._by_message.get(type(event.message), ())
        else:
            machines = self._by_event.get(type(event), ())
        for machine in machines:
            machine.handle(event, now, out)


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """The settings of every machine of a node."""

    membership: MembershipConfig = MembershipConfig()
    state: StateConfig = StateConfig()
    directory: DirectoryConfig = DirectoryConfig()
    swarm: SwarmConfig = SwarmConfig()
    serving: ServingConfig = ServingConfig()
    retention: RetentionConfig = RetentionConfig()
    bridge: BridgeConfig = BridgeConfig()
    yielding: YieldingConfig = YieldingConfig()
    cap: int = 10 * 1024**3
    """Bytes that the store may hold."""


class Node(Router):
    """All machines of one node. Both drivers own one of these and call nothing but `handle` and the views."""

    def __init__(self, me: Identity, config: NodeConfig, rng: Random) -> None:
        self.me = me
        self.membership = Membership(me, config.membership, rng)
        self.state = State(me, config.state, rng)
        self.directory = Directory(me, config.directory, rng)
        self.retention = Retention(me, config.retention, config.cap)
        self.swarm = Swarm(me, config.swarm, rng)
        self.serving = Serving(me, config.serving)
        self.bridge = Bridge(me, config.bridge, rng)
        self.yielding = Yielding(me, config.yielding)
        super().__init__((
            self.membership, self.state, self.directory, self.retention, self.swarm, self.serving, self.bridge,
            self.yielding,
        ))  # fmt: skip
