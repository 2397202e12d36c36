"""The bridge machine: elects the one node of the site that publishes to the broker.

Theory of operation. A node that reaches the broker says so in its own replicated map, and the bridge also says its term
there; everybody sees the same candidates and needs no votes. The bridge stays as long as it lives: election is sticky.
When there is none, the senior candidate claims with a higher term than anybody has seen, the next a little later if
nothing happened. Two bridges are possible, after a partition or by chance; the lower term steps back. So this is a
lease that makes duplicates rare; that they are impossible is the broker's doing, which has one session per client id.

    STANDBY --no holder, my turn--> BRIDGING --outranked, fenced, broker lost to me alone--> STANDBY

A broker that restarts is lost to all: nobody is a candidate then, and the bridge stays the bridge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecache.core.bridge.election import Candidate, holder, place
from edgecache.core.vocabulary import (
    BridgeFenced,
    BrokerChanged,
    EntryChanged,
    Event,
    Identity,
    MachineName,
    MapChanged,
    MemberChanged,
    Notice,
    Outbox,
    OwnEntriesWanted,
    ShutdownWanted,
    StartBridge,
    StopBridge,
    TimerFired,
    TimerKey,
)
from edgecache.model.errors import MalformedMessage
from edgecache.model.ids import NodeId
from edgecache.wire.facts import MQTT_KEY, TERM_MAX, BridgeFact, decode_bridge, encode_bridge
from edgecache.wire.messages import MemberStatus

if TYPE_CHECKING:
    from random import Random

    from edgecache.core.bridge.config import BridgeConfig
    from edgecache.model.instant import Instant

_ME = MachineName.BRIDGE
_DECIDE = TimerKey(_ME, "decide")


@dataclass(slots=True)
class _Bridging:
    """We publish."""

    term: int
    since: Instant
    lost: Instant | None = None
    """Since when the broker is lost to us although others reach it."""


@dataclass(slots=True)
class _Vacancy:
    """There is no bridge, and we might be, from `since` on."""

    since: Instant
    jitter: float


class Bridge:
    """Decides when this node starts and stops to be the bridge."""

    name = _ME
    hears = (BrokerChanged, BridgeFenced, MemberChanged, EntryChanged, ShutdownWanted)
    hears_messages = ()

    def __init__(self, me: Identity, config: BridgeConfig, rng: Random) -> None:
        self._me, self._config, self._rng = me, config, rng
        self._members: dict[NodeId, Instant | None] = {}
        """Living members of our site; since when they are suspected."""
        self._facts: dict[NodeId, BridgeFact] = {}
        self._told: bytes | None = None
        self._reachable = False
        self._settled: Instant | None = None
        """From when on we may claim; None before we ever reached the broker."""
        self._top_term = 0
        self._role: _Bridging | _Vacancy | None = None
        self._fences = 0
        self._no_claim_before: Instant = float("-inf")
        self._fact_due: Instant = float("-inf")
        """By then we should have heard of the claim that we saw at the broker."""
        self._leaving = False
        self._handlers = {
            BrokerChanged: self._broker, BridgeFenced: self._fenced, MemberChanged: self._member,
            EntryChanged: self._entry, ShutdownWanted: self._shutdown, TimerFired: self._timer,
        }  # fmt: skip

    # ---- what others may look at

    @property
    def term(self) -> int | None:
        """The term with which we bridge; None when we do not."""
        return self._role.term if isinstance(self._role, _Bridging) else None

    def holder(self, now: Instant) -> NodeId | None:
        """The bridge of the site as we see it."""
        found = holder(self._me.site, [*self._rivals(now), *self._myself()])
        return found.node if found else None

    # ---- routing

    def handle(self, event: Event | Notice | MapChanged, now: Instant, out: Outbox) -> None:
        """Take one event or notice."""
        if not self._leaving:
            self._handlers[type(event)](event, now, out)  # type: ignore[operator]

    def _timer(self, event: TimerFired, now: Instant, out: Outbox) -> None:
        self._decide(now, out)

    def _broker(self, event: BrokerChanged, now: Instant, out: Outbox) -> None:
        self._reachable = event.reachable
        if event.reachable and self._settled is None:
            self._settled = now + self._config.settle
        if event.term > self._top_term:
            self._top_term = min(event.term, TERM_MAX)
            if isinstance(self._role, _Bridging):
                self._fence(now, out)
            else:
                self._role = None  # somebody has just claimed: its fact is on the way
                self._fact_due = now + self._config.claim_step
        self._decide(now, out)

    def _fenced(self, event: BridgeFenced, now: Instant, out: Outbox) -> None:
        self._top_term = max(self._top_term, min(event.term, TERM_MAX))
        if isinstance(self._role, _Bridging):
            self._fence(now, out)
            self._decide(now, out)

    def _member(self, event: MemberChanged, now: Instant, out: Outbox) -> None:
        node = event.info.node
        if node == self._me.node:
            return
        if event.info.site != self._me.site or event.status in (MemberStatus.DEAD, MemberStatus.LEFT):
            self._members.pop(node, None)
        elif event.status is MemberStatus.SUSPECT:
            since = self._members.get(node)
            self._members[node] = now if since is None else since
        else:
            self._members[node] = None
        self._decide(now, out)

    def _entry(self, event: EntryChanged, now: Instant, out: Outbox) -> None:
        if event.key != MQTT_KEY or event.owner == self._me.node:
            return
        self._facts.pop(event.owner, None)
        if (fact := self._read(event.value)) is not None:
            self._facts[event.owner] = fact
            self._top_term = max(self._top_term, fact.term)
            if len(self._facts) > self._config.owners_max:
                self._forget_one()
        self._decide(now, out)

    def _shutdown(self, event: ShutdownWanted, now: Instant, out: Outbox) -> None:
        self._leaving = True
        self._reachable = False
        if isinstance(self._role, _Bridging):
            self._stop(out)
        self._publish(out)
        out.clear(_DECIDE)

    # ---- the election

    def _decide(self, now: Instant, out: Outbox) -> None:
        """Do what the present view asks for; come back when time alone will change it."""
        rivals = self._rivals(now)
        due = [since + self._config.suspect_grace for since in self._members.values() if since is not None]
        if isinstance(self._role, _Bridging):
            due += self._as_bridge(self._role, rivals, now, out)
        if not isinstance(self._role, _Bridging):
            due += self._as_standby(rivals, now, out)
        self._publish(out)
        if due := [at for at in due if at > now]:
            out.timer(_DECIDE, min(due))

    def _as_bridge(self, role: _Bridging, rivals: list[Candidate], now: Instant, out: Outbox) -> list[Instant]:
        first = holder(self._me.site, [*rivals, *self._myself()])
        if first is not None and first.node != self._me.node:
            self._stop(out)
            return []
        if self._reachable or not rivals:
            role.lost = None
            return []
        role.lost = now if role.lost is None else role.lost
        until = role.lost + self._config.broker_grace
        if now < until:
            return [until]
        self._stop(out)
        return []

    def _as_standby(self, rivals: list[Candidate], now: Instant, out: Outbox) -> list[Instant]:
        if holder(self._me.site, rivals) is not None:
            self._role, self._fences = None, 0
            return []
        if not self._reachable or self._settled is None:
            self._role = None
            return []
        if not isinstance(self._role, _Vacancy):
            since = max(now, self._settled, self._no_claim_before)
            self._role = _Vacancy(since, self._config.claim_jitter * self._rng.random())
        before_me = place(self._me.site, self._me.node, rivals)
        turn = max(self._role.since + self._role.jitter + self._config.claim_step * before_me, self._fact_due)
        if now < turn:
            return [turn]
        self._top_term = min(self._top_term + 1, TERM_MAX)
        self._role = _Bridging(self._top_term, now)
        out.effect(StartBridge(self._top_term))
        return []

    def _fence(self, now: Instant, out: Outbox) -> None:
        """The broker preferred another: believe it, and be slow to contradict."""
        assert isinstance(self._role, _Bridging)
        if now - self._role.since >= self._config.stable_after:
            self._fences = 0
        pause = min(self._config.fence_backoff * 2**self._fences, self._config.fence_backoff_max)
        self._fences = min(self._fences + 1, 16)
        self._no_claim_before = now + pause * (1.0 + self._rng.random() / 2)
        self._stop(out)

    def _stop(self, out: Outbox) -> None:
        self._role = None
        out.effect(StopBridge())

    # ---- candidates

    def _rivals(self, now: Instant) -> list[Candidate]:
        """Others of our site that live, as far as we know, and say that they may bridge."""
        grace = self._config.suspect_grace
        return [
            Candidate(node, fact.term if fact.active else None)
            for node, fact in self._facts.items()
            if node in self._members and ((since := self._members[node]) is None or now < since + grace)
        ]

    def _myself(self) -> list[Candidate]:
        return [] if self.term is None else [Candidate(self._me.node, self.term)]

    def _publish(self, out: Outbox) -> None:
        term = self.term
        value = encode_bridge(BridgeFact(term or 0, term is not None)) if self._reachable or term is not None else None
        if value != self._told:
            self._told = value
            out.tell(OwnEntriesWanted({MQTT_KEY: value}))

    @staticmethod
    def _read(value: bytes | None) -> BridgeFact | None:
        try:
            return None if value is None else decode_bridge(value)
        except MalformedMessage:
            return None

    def _forget_one(self) -> None:
        """Nodes that are not there go first."""
        gone = next((node for node in self._facts if node not in self._members), None)
        del self._facts[gone if gone is not None else next(iter(self._facts))]
