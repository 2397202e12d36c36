"""The machines' side: how one is routed to, and where it puts what it wants."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Protocol

from edgecache.core.vocabulary.effects import ClearTimer, Effect, MapChanged, Send, SetTimer
from edgecache.core.vocabulary.events import Event
from edgecache.core.vocabulary.names import MachineName, TimerKey
from edgecache.core.vocabulary.notices import Notice
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant
from edgecache.wire.messages import Message


@dataclass(slots=True)
class Outbox:
    """Where machines put what they want done and what they tell each other."""

    effects: list[Effect] = field(default_factory=list)
    notices: deque[Notice | MapChanged] = field(default_factory=deque)

    def effect(self, effect: Effect) -> None:
        """For the driver."""
        self.effects.append(effect)

    def send(self, peer: NodeId, message: Message) -> None:
        """A control message to a linked peer."""
        self.effects.append(Send(peer, message))

    def timer(self, key: TimerKey, at: Instant) -> None:
        """Set or replace a timer."""
        self.effects.append(SetTimer(key, at))

    def clear(self, key: TimerKey) -> None:
        """Forget a timer."""
        self.effects.append(ClearTimer(key))

    def tell(self, notice: Notice | MapChanged) -> None:
        """For the other machines of this node, after the present one is done."""
        self.notices.append(notice)


class Machine(Protocol):
    """A decision maker of one node. Events, notices and messages are routed by type, timers by the machine's name."""

    @property
    def name(self) -> MachineName:
        """Which of the machines it is."""
        ...

    @property
    def hears(self) -> tuple[type, ...]:
        """Types of events and notices that are routed to it."""
        ...

    @property
    def hears_messages(self) -> tuple[type, ...]:
        """Types of messages that are routed to it."""
        ...

    def handle(self, event: Event | Notice | MapChanged, now: Instant, out: Outbox) -> None:
        """Take one event or notice; MessageReceived and TimerFired arrive as they are."""
        ...
