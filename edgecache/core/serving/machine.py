"""The serving machine.

Theory of operation. A unit asked of us waits in its asker's queue, is granted (read, verified and put on the link), and
leaves when it was sent:

    UnitAsked -> queued -> ServeUnit -> (in progress) -> UnitServed
                   |                         |
                   '-- Cancel: refused       '-- UnitWithdrawn, LinkDown: forgotten

Classes go before each other, askers of one class take turns (turns.py), counted in bytes, so that small units of slow
links and whole chunks of fast ones get equal shares, times a weight for what each gave us (ledger.py). Bounds: the
window of each asker, bytes and units in progress over all and for each, and the upload rate, counted as on the link.
In quiet hours only updates are served; everybody else is told when they end.

The rate is charged when a unit is granted. It is given back when the unit could not be read; not when its link is lost,
as the bytes may have been sent: too little is sent then, never too much.
"""

from __future__ import annotations

from edgecache.core.serving.ahead import Ahead
from edgecache.core.serving.config import ServingConfig
from edgecache.core.serving.ledger import Ledger
from edgecache.core.serving.turns import Asker, Turns
from edgecache.core.vocabulary import (
    ChunkReceived,
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
    QuietChanged,
    RefuseUnit,
    RequestId,
    ServeUnit,
    TimerFired,
    TimerKey,
    UnitAsked,
    UnitServed,
    UnitWithdrawn,
    UploadPaced,
)
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant
from edgecache.model.pacing import TokenBucket, wire_bytes
from edgecache.model.priority import Priority
from edgecache.wire.messages import Cancel

_GRANT = TimerKey(MachineName.SERVING, "grant")
"""Fires when the rate limit allows the next unit."""

_IDLE = TimerKey(MachineName.SERVING, "idle")
"""Fires while there are askers: those who asked for nothing lately are forgotten."""

_NEVER: Instant = float("inf")


class Serving:
    """Upload slots of one node."""

    name = MachineName.SERVING
    hears = (UnitAsked, UnitServed, UnitWithdrawn, LinkDown, ChunkReceived, QuietChanged, UploadPaced)
    hears_messages = (Cancel,)

    def __init__(self, me: Identity, config: ServingConfig) -> None:
        self._config = config
        self._askers: dict[NodeId, Asker] = {}
        self._ledger = Ledger(config)
        self._now: Instant = 0.0
        self._turns = Turns(config, lambda node: self._ledger.weight(node, self._now))
        self._queued: dict[RequestId, UnitAsked] = {}
        self._granted: dict[RequestId, UnitAsked] = {}
        self._bytes = 0
        self._ahead = Ahead(config)
        self._tokens = TokenBucket(config.upload_rate, config.upload_rate * config.upload_burst)
        self._paces: dict[NodeId, TokenBucket] = {}
        """Of links that give way to somebody else's traffic."""
        self._wakes_at = _NEVER
        self._quiet_until: Instant | None = None
        self._served: dict[NodeId, int] = {}

    # ---- what others may look at

    def served(self) -> dict[NodeId, int]:
        """Bytes of units sent to each peer since the start (a bounded number of peers)."""
        return dict(self._served)

    def weight(self, node: NodeId, now: Instant) -> float:
        """The peer's share of what we upload, relative to a newcomer's."""
        return self._ledger.weight(node, now)

    @property
    def quiet_until(self) -> Instant | None:
        """When quiet hours end; None when there are none now."""
        return self._quiet_until

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
        """Take one event, then grant what may be granted now: nothing more when only a weight has changed."""
        self._now = now
        match event:
            case UnitAsked():
                self._asked(event, now, out)
            case UnitServed():
                if (unit := self._granted.get(event.request)) is not None:
                    self._count(unit.peer, unit.size, now)
                    self._ahead.sent(unit.size, now)
                    self._drop(event.request, now)
            case UnitWithdrawn():
                if not event.sent and (unit := self._granted.get(event.request)) is not None:
                    self._tokens = self._tokens.take(-wire_bytes(unit.size), now)
                self._drop(event.request, now)
            case ChunkReceived():
                self._ledger.gave(event.peer, event.size, now)
                return
            case UploadPaced():
                self._pace(event.peer, event.rate, now)
            case QuietChanged():
                self._quiet_until = event.until
                self._hush(now, out)
            case LinkDown():
                self._link_down(event.peer, now)
            case MessageReceived(peer, Cancel() as message):
                self._cancelled(peer, message, now, out)
            case TimerFired(key):
                if key.name == _GRANT.name:
                    self._wakes_at = _NEVER
                else:
                    self._forget_idle(now, out)
            case _:
                pass
        self._grant(now, out)

    def _asked(self, unit: UnitAsked, now: Instant, out: Outbox) -> None:
        if not 0 < unit.size <= unit.chunk:
            out.effect(RefuseUnit(unit.request))
            out.tell(Misbehaved(unit.peer, 1, f"asked for a unit of {unit.size} bytes"))
            return
        if pause := self._quiet_pause(unit, now):
            out.effect(RefuseUnit(unit.request, pause))
            return
        asker = self._askers.get(unit.peer)
        if asker is None:
            if not self._askers:
                out.timer(_IDLE, now + self._config.idle_after)
            asker = self._askers[unit.peer] = Asker(unit.peer)
            out.tell(LinkBusy(unit.peer, True))
        asker.used = now
        if asker.waiting >= self._config.window:
            *_, last = asker.units()
            refused = last if last.priority > unit.priority else unit
            out.effect(RefuseUnit(refused.request, self._config.refused_pause))
            if refused is unit:
                return
            self._drop(refused.request, now)
        self._turns.add(asker, unit)
        self._queued[unit.request] = unit

    def _quiet_pause(self, unit: UnitAsked, now: Instant) -> float:
        """Seconds until this unit may be asked for again; 0 when it may be now."""
        if self._quiet_until is None or now >= self._quiet_until or unit.priority is Priority.OTA:
            return 0.0
        return min(max(self._quiet_until - now, self._config.refused_pause), self._config.quiet_pause_max)

    def _hush(self, now: Instant, out: Outbox) -> None:
        """What waits and must not be served any more is refused; what is in progress goes its way."""
        for unit in list(self._queued.values()):
            if pause := self._quiet_pause(unit, now):
                self._drop(unit.request, now)
                out.effect(RefuseUnit(unit.request, pause))

    def _cancelled(self, peer: NodeId, message: Cancel, now: Instant, out: Outbox) -> None:
        """The asker waits for these no more: what is queued is refused, what is in progress goes its way."""
        asker = self._askers.get(peer)
        if asker is None:
            return
        unwanted = [u for u in asker.units() if u.blob == message.blob and u.index in message.indexes]
        for unit in unwanted:
            self._drop(unit.request, now)
            out.effect(RefuseUnit(unit.request))

    def _pace(self, peer: NodeId, rate: float, now: Instant) -> None:
        burst = rate * self._config.upload_burst
        before = self._paces.get(peer)
        self._paces[peer] = TokenBucket(rate, burst, burst, now) if before is None else before.at_rate(rate, burst, now)

    def _link_down(self, peer: NodeId, now: Instant) -> None:
        self._paces.pop(peer, None)
        asker = self._askers.pop(peer, None)
        if asker is None:
            return
        for request in [unit.request for unit in (*self._granted.values(), *asker.units()) if unit.peer == peer]:
            self._drop(request, now, asker)

    def _drop(self, request: RequestId, now: Instant, asker: Asker | None = None) -> None:
        """Forget a unit, whether it waits or is in progress."""
        self._ahead.ended(request)
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
                self._turns.remove(asker, unit)

    # ---- granting

    def _grant(self, now: Instant, out: Outbox) -> None:
        config = self._config
        while self._queued and len(self._granted) < config.slots:
            if wait := self._tokens.wait(now):
                self._wake(now + wait, out)
                return
            if (room := self._ahead.room(now)) < 1:
                self._wake(now + self._ahead.wait(now), out)
                return
            unit = self._turns.next(self._fits)
            if unit is None:
                self._wake_paced(now, out)
                return
            if self._bytes and self._bytes + unit.size > config.bytes_max:
                return
            if unit.size > room:
                self._wake(now + self._ahead.wait(now), out)
                return
            asker = self._askers[unit.peer]
            self._turns.granted(asker, unit)
            asker.granted += 1
            asker.bytes += unit.size
            del self._queued[unit.request]
            self._granted[unit.request] = unit
            self._bytes += unit.size
            self._ahead.granted(unit.request, unit.size, now)
            self._tokens = self._tokens.take(wire_bytes(unit.size), now)
            if (pace := self._paces.get(unit.peer)) is not None:
                self._paces[unit.peer] = pace.take(wire_bytes(unit.size), now)
            out.effect(ServeUnit(unit.request))

    def _fits(self, asker: Asker, size: int) -> bool:
        """Whether this asker may have so much more in progress."""
        config = self._config
        most = config.asker_bytes if self._bytes < config.bytes_max // 2 else CHUNK_BYTES
        if size > CHUNK_BYTES:  # two at once would be twice the share of who asks for smaller ones
            most = 2 * size if asker.waiting == len(self._queued) and most > CHUNK_BYTES else size
        if asker.bytes + size > most or asker.granted >= config.asker_units:
            return False
        pace = self._paces.get(asker.node)
        return pace is None or not pace.wait(self._now)

    def _wake(self, at: Instant, out: Outbox) -> None:
        """Come back then, or before."""
        if at < self._wakes_at:
            self._wakes_at = at
            out.timer(_GRANT, at)

    def _wake_paced(self, now: Instant, out: Outbox) -> None:
        """Come back when the first link that yields may send more."""
        if not self._paces:
            return
        waits = [
            wait for node, asker in self._askers.items()
            if asker.waiting and (pace := self._paces.get(node)) is not None and (wait := pace.wait(now))
        ]
        if waits:
            self._wake(now + min(waits), out)

    # ---- upkeep

    def _count(self, peer: NodeId, size: int, now: Instant) -> None:
        self._ledger.took(peer, size, now)
        if peer not in self._served and len(self._served) >= self._config.peers_max:
            del self._served[next(iter(self._served))]
        self._served[peer] = self._served.get(peer, 0) + size

    def _forget_idle(self, now: Instant, out: Outbox) -> None:
        for asker in list(self._askers.values()):
            if not asker.waiting and not asker.granted and now - asker.used >= self._config.idle_after:
                del self._askers[asker.node]
                out.tell(LinkBusy(asker.node, False))
        if self._askers:
            out.timer(_IDLE, now + self._config.idle_after)
