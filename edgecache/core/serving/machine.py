"""The serving machine.

Theory of operation. A unit asked of us waits in its asker's queue, is granted (read, verified and put on the link), and
leaves when it was sent:

    UnitAsked -> queued -> ServeUnit -> (in progress) -> UnitServed
                   |                         |
                   '-- Cancel: refused       '-- UnitWithdrawn, LinkDown: forgotten

Askers take turns by deficit round-robin, counted in bytes, so that small units of slow links and whole chunks of fast
ones get equal shares. Bounds: the window of each asker, bytes and units in progress over all and for each, and the
upload rate. Only bytes count: what was asked for makes no difference, and nobody is owed anything.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from edgecache.core.serving.config import ServingConfig
from edgecache.core.vocabulary import (
    Event,
    Identity,
    LinkBusy,
    LinkDown,
    MachineName,
    MapChanged,
    MessageReceived,
    Misbehaved,
    Notice,
    Outbox,
    RefuseUnit,
    RequestId,
    ServeUnit,
    TimerFired,
    TimerKey,
    UnitAsked,
    UnitServed,
    UnitWithdrawn,
)
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant
from edgecache.model.pacing import TokenBucket
from edgecache.wire.messages import Cancel

_GRANT = TimerKey(MachineName.SERVING, "grant")
"""Fires when the rate limit allows the next unit."""

_IDLE = TimerKey(MachineName.SERVING, "idle")
"""Fires while there are askers: those who asked for nothing lately are forgotten."""


@dataclass(slots=True, eq=False)
class _Asker:
    node: NodeId
    queue: deque[UnitAsked] = field(default_factory=deque)
    granted: int = 0
    bytes: int = 0
    """Of what is granted."""
    deficit: int = 0
    used: Instant = 0.0


class Serving:
    """Upload slots of one node."""

    name = MachineName.SERVING
    hears = (UnitAsked, UnitServed, UnitWithdrawn, LinkDown)
    hears_messages = (Cancel,)

    def __init__(self, me: Identity, config: ServingConfig) -> None:
        self._config = config
        self._askers: dict[NodeId, _Asker] = {}
        self._ring: deque[_Asker] = deque()
        """Askers with something queued, in the order of their turns."""
        self._queued: dict[RequestId, UnitAsked] = {}
        self._granted: dict[RequestId, UnitAsked] = {}
        self._bytes = 0
        self._tokens = TokenBucket(config.upload_rate, max(config.upload_rate * config.upload_burst, CHUNK_BYTES))
        self._waiting = False
        self._served: dict[NodeId, int] = {}

    # ---- what others may look at

    def served(self) -> dict[NodeId, int]:
        """Bytes of units sent to each peer since the start (a bounded number of peers)."""
        return dict(self._served)

    @property
    def queued(self) -> int:
        """Units that wait for their turn."""
        return len(self._queued)

    @property
    def in_progress(self) -> int:
        """Units that are being read or sent."""
        return len(self._granted)

    @property
    def bytes_in_progress(self) -> int:
        """Bytes of those."""
        return self._bytes

    # ---- events

    def handle(self, event: Event | Notice | MapChanged, now: Instant, out: Outbox) -> None:
        """Take one event, then grant what may be granted now."""
        match event:
            case UnitAsked():
                self._asked(event, now, out)
            case UnitServed():
                if (unit := self._granted.get(event.request)) is not None:
                    self._count(unit.peer, unit.size)
                    self._drop(event.request, now)
            case UnitWithdrawn():
                self._drop(event.request, now)
            case LinkDown():
                self._link_down(event.peer, now)
            case MessageReceived(peer, Cancel() as message):
                self._cancelled(peer, message, now, out)
            case TimerFired(key):
                if key.name == _GRANT.name:
                    self._waiting = False
                else:
                    self._forget_idle(now, out)
            case _:
                pass
        self._grant(now, out)

    def _asked(self, unit: UnitAsked, now: Instant, out: Outbox) -> None:
        if not 0 < unit.size <= CHUNK_BYTES:
            out.effect(RefuseUnit(unit.request))
            out.tell(Misbehaved(unit.peer, 1, f"asked for a unit of {unit.size} bytes"))
            return
        asker = self._askers.get(unit.peer)
        if asker is None:
            if not self._askers:
                out.timer(_IDLE, now + self._config.idle_after)
            asker = self._askers[unit.peer] = _Asker(unit.peer)
            out.tell(LinkBusy(unit.peer, True))
        asker.used = now
        if len(asker.queue) >= self._config.window:
            out.effect(RefuseUnit(unit.request, self._config.refused_pause))
            return
        if not asker.queue:
            self._ring.append(asker)
        asker.queue.append(unit)
        self._queued[unit.request] = unit

    def _cancelled(self, peer: NodeId, message: Cancel, now: Instant, out: Outbox) -> None:
        """The asker waits for these no more: what is queued is refused, what is in progress goes its way."""
        asker = self._askers.get(peer)
        if asker is None:
            return
        unwanted = [u for u in asker.queue if u.blob == message.blob and u.index in message.indexes]
        for unit in unwanted:
            self._drop(unit.request, now)
            out.effect(RefuseUnit(unit.request))

    def _link_down(self, peer: NodeId, now: Instant) -> None:
        asker = self._askers.pop(peer, None)
        if asker is None:
            return
        for request in [unit.request for unit in (*self._granted.values(), *asker.queue) if unit.peer == peer]:
            self._drop(request, now, asker)

    def _drop(self, request: RequestId, now: Instant, asker: _Asker | None = None) -> None:
        """Forget a unit, whether it waits or is in progress."""
        if (unit := self._granted.pop(request, None)) is not None:
            self._bytes -= unit.size
            asker = asker or self._askers.get(unit.peer)
            if asker is not None:
                asker.granted -= 1
                asker.bytes -= unit.size
                asker.used = now
        elif (unit := self._queued.pop(request, None)) is not None:
            asker = asker or self._askers.get(unit.peer)
            if asker is not None:
                asker.queue.remove(unit)
                if not asker.queue:
                    self._leave_ring(asker)

    def _leave_ring(self, asker: _Asker) -> None:
        asker.deficit = 0
        self._ring.remove(asker)

    # ---- granting

    def _grant(self, now: Instant, out: Outbox) -> None:
        config = self._config
        while self._ring and len(self._granted) < config.slots:
            if wait := self._tokens.wait(now):
                if not self._waiting:
                    self._waiting = True
                    out.timer(_GRANT, now + wait)
                return
            asker = self._next_asker()
            if asker is None:
                return
            unit = asker.queue[0]
            if self._bytes and self._bytes + unit.size > config.bytes_max:
                return
            asker.queue.popleft()
            asker.deficit -= unit.size
            asker.granted += 1
            asker.bytes += unit.size
            if not asker.queue:
                self._leave_ring(asker)
            del self._queued[unit.request]
            self._granted[unit.request] = unit
            self._bytes += unit.size
            self._tokens = self._tokens.take(unit.size, now)
            out.effect(ServeUnit(unit.request))

    def _next_asker(self) -> _Asker | None:
        """Whose turn it is; None when everybody who waits has enough in progress."""
        config = self._config
        most = config.asker_bytes if self._bytes < config.bytes_max // 2 else CHUNK_BYTES
        full = 0
        while full < len(self._ring):
            asker = self._ring[0]
            size = asker.queue[0].size
            if asker.bytes + size > most or asker.granted >= config.asker_units:
                full += 1
            elif asker.deficit >= size:
                return asker
            else:
                asker.deficit += config.quantum
                full = 0
            self._ring.rotate(-1)
        return None

    # ---- upkeep

    def _count(self, peer: NodeId, size: int) -> None:
        if peer not in self._served and len(self._served) >= self._config.peers_max:
            del self._served[next(iter(self._served))]
        self._served[peer] = self._served.get(peer, 0) + size

    def _forget_idle(self, now: Instant, out: Outbox) -> None:
        for asker in list(self._askers.values()):
            if not asker.queue and not asker.granted and now - asker.used >= self._config.idle_after:
                del self._askers[asker.node]
                out.tell(LinkBusy(asker.node, False))
        if self._askers:
            out.timer(_IDLE, now + self._config.idle_after)
