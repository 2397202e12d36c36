"""The directory machine: who has what, and where to look for it.

Theory of operation. The R nodes of the site with the highest rendezvous score for a blob are its homes; everybody who
knows the members knows them. Whoever holds a blob, wholly or in part, tells its homes, again when the homes change, and
rarely otherwise: records are soft state, the holder alone speaks for itself, and nothing is handed from home to home.
A searcher asks the homes; when they know nothing within a short budget it floods a bounded question over a few links,
and at last asks the homes of other sites. All that comes back are claims: they say whom to ask, never what is true.

Members and links are membership's: it tells of them, and gets links to homes that are not linked when asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecache.core.directory.announcer import FLUSH, REFRESH, REHOME, Announcer
from edgecache.core.directory.cost import SearchCost
from edgecache.core.directory.flood import AskerBudget, FloodRelay
from edgecache.core.directory.knowledge import Knowledge
from edgecache.core.directory.neighbourhood import Neighbourhood
from edgecache.core.directory.records import ProviderRecords, withdraws
from edgecache.core.directory.resolve import RESOLVE, Resolves
from edgecache.core.directory.search import GATHERED, SEARCH, Searches
from edgecache.core.vocabulary import (
    EntryChanged,
    Event,
    HoldingChanged,
    Identity,
    LinkDown,
    LinkUnavailable,
    LinkUp,
    MachineName,
    MapChanged,
    MemberChanged,
    MessageReceived,
    Misbehaved,
    Notice,
    Outbox,
    OwnEntriesWanted,
    ProvidersUnwanted,
    ProvidersWanted,
    ResolveWanted,
    Started,
    TimerFired,
    TimerKey,
)
from edgecache.model.errors import MalformedMessage
from edgecache.model.ids import BlobId, BlobRef, NodeId
from edgecache.wire.facts import CAPACITY_KEY, CAPACITY_MAX, decode_capacity, encode_capacity
from edgecache.wire.limits import PROVIDERS_MAX
from edgecache.wire.messages import Announce, Claim, Flood, Lookup, MemberStatus, Providers, Summary

if TYPE_CHECKING:
    from random import Random

    from edgecache.core.directory.config import DirectoryConfig
    from edgecache.model.instant import Instant

_ME = MachineName.DIRECTORY
_EXPIRE = TimerKey(_ME, "expire")
_EXPIRIES_PER_TTL = 10


class Directory:
    """Routes what concerns who holds what."""

    name = _ME
    hears = (
        Started, MemberChanged, EntryChanged, LinkUp, LinkDown, LinkUnavailable, HoldingChanged, ProvidersWanted,
        ProvidersUnwanted, ResolveWanted,
    )  # fmt: skip
    hears_messages = (Announce, Lookup, Providers, Flood)

    def __init__(self, me: Identity, config: DirectoryConfig, rng: Random) -> None:
        self._me, self._config = me, config
        self.cost = SearchCost()
        self._around = Neighbourhood(me, config, rng)
        self._records = ProviderRecords(config)
        self._announcer = Announcer(self._around, config, self.cost, rng)
        self._knowledge = Knowledge(self._around, self._announcer, self._records, rng)
        self._relay = FloodRelay(self._around, self._knowledge, config, self.cost)
        self._searches = Searches(self._around, self._knowledge, self._relay, config, self.cost, rng)
        self._resolves = Resolves(self._around, self._knowledge, self._relay, config, self.cost, rng)
        self._lookups = AskerBudget(config.lookup_rate, config.lookup_burst, config.askers_max)
        self._summaries = AskerBudget(config.summary_rate, config.summary_burst, config.askers_max)
        self._boots: dict[NodeId, int] = {}
        """Boot epoch of each linked member when we last met it."""
        self._handlers = {
            Started: self._started, MemberChanged: self._member, EntryChanged: self._entry, LinkUp: self._link_up,
            LinkDown: self._link_down, LinkUnavailable: self._link_unavailable, HoldingChanged: self._holding,
            ProvidersWanted: self._wanted, ProvidersUnwanted: self._unwanted, ResolveWanted: self._resolve,
            TimerFired: self._timer, MessageReceived: self._message,
        }  # fmt: skip
        self._messages = {
            Announce: self._announced, Lookup: self._looked_up, Providers: self._answered, Flood: self._flooded,
        }  # fmt: skip

    # ---- what others may look at

    def homes(self, blob: BlobId) -> tuple[NodeId, ...]:
        """The homes of a blob as this node sees them, best first; it may be among them."""
        return self._around.homes(blob)

    def providers(self, blob: BlobId, now: Instant) -> list[NodeId]:
        """Other nodes that have announced this blob here and are believed to live."""
        return [claim.node for claim in self._knowledge.of_others(BlobRef(blob=blob), now)]

    @property
    def records(self) -> int:
        """Provider records kept for others."""
        return len(self._records)

    # ---- routing

    def handle(self, event: Event | Notice | MapChanged, now: Instant, out: Outbox) -> None:
        """Take one event or notice."""
        self._handlers[type(event)](event, now, out)  # type: ignore[operator]

    def _message(self, event: MessageReceived, now: Instant, out: Outbox) -> None:
        self._messages[type(event.message)](event.peer, event.message, now, out)  # type: ignore[operator]

    def _timer(self, event: TimerFired, now: Instant, out: Outbox) -> None:
        key = event.key
        if key == FLUSH:
            self._announcer.flush(now, out)
        elif key == REHOME:
            self._announcer.rehome(now, out)
        elif key == REFRESH:
            self._announcer.refresh(now, out)
        elif key == GATHERED:
            self._searches.send_gathered(out)
        elif key == _EXPIRE:
            self._records.expire(now)
            self._expire_later(now, out)
        elif key.name == SEARCH:
            self._searches.timed_out(BlobId(str(key.subject)), now, out)
        elif key.name == RESOLVE:
            self._resolves.timed_out(str(key.subject), now, out)

    # ---- who is there

    def _started(self, event: Started, now: Instant, out: Outbox) -> None:
        capacity = min(max(1, self._me.capacity), CAPACITY_MAX)
        out.tell(OwnEntriesWanted({CAPACITY_KEY: encode_capacity(capacity)}))
        self._expire_later(now, out)

    def _expire_later(self, now: Instant, out: Outbox) -> None:
        out.timer(_EXPIRE, now + self._config.record_ttl / _EXPIRIES_PER_TTL)

    def _member(self, event: MemberChanged, now: Instant, out: Outbox) -> None:
        info = event.info
        node, ranking = info.node, self._around.ranking
        if node == self._me.node:
            return
        ranked, before = node in ranking, self._around.member(node)
        if event.status in (MemberStatus.ALIVE, MemberStatus.SUSPECT):
            self._around.alive(info)
            if node in ranking and not ranked:
                self._announcer.joined(node, now, out)
            elif ranked and before is not None and info.incarnation > before.incarnation:
                self._announcer.reborn(node, now, out)
        else:
            self._around.gone(node, event.status)
            if event.status is MemberStatus.LEFT:
                self._records.drop_node(node)
            else:
                self._records.shorten(node, now + self._config.dead_keep)
            self._searches.link_gone(node, now, out)
        if ranked and node not in ranking:
            self._announcer.left(node, now, out)

    def _entry(self, event: EntryChanged, now: Instant, out: Outbox) -> None:
        if event.key != CAPACITY_KEY or event.owner == self._me.node:
            return
        try:
            capacity = decode_capacity(event.value) if event.value is not None else 1
        except MalformedMessage:
            capacity = 1
        if self._around.weigh(event.owner, capacity):
            self._announcer.reweighed(event.owner, now, out)

    def _link_up(self, event: LinkUp, now: Instant, out: Outbox) -> None:
        peer, boot = event.peer, event.hello.epoch
        self._around.link_up(peer, event.hello)
        if self._boots.get(peer, boot) != boot:
            self._records.drop_node(peer)  # it will say again what it still has
            self._announcer.reborn(peer, now, out)
        self._note_boot(peer, boot)
        self._announcer.link_up(peer, now, out)
        self._searches.link_up(peer, now, out)

    def _note_boot(self, peer: NodeId, boot: int) -> None:
        self._boots.pop(peer, None)
        self._boots[peer] = boot
        if len(self._boots) > self._config.askers_max:
            del self._boots[next(iter(self._boots))]

    def _link_down(self, event: LinkDown, now: Instant, out: Outbox) -> None:
        self._around.link_down(event.peer)
        self._searches.link_gone(event.peer, now, out)

    def _link_unavailable(self, event: LinkUnavailable, now: Instant, out: Outbox) -> None:
        self._announcer.link_unavailable(event.peer, now, out)
        self._searches.link_gone(event.peer, now, out)

    # ---- what we hold, what we look for

    def _holding(self, event: HoldingChanged, now: Instant, out: Outbox) -> None:
        self._announcer.hold(event.info, event.held, now, out)

    def _wanted(self, event: ProvidersWanted, now: Instant, out: Outbox) -> None:
        self._searches.want(event.blob, now, out, any_whole=event.any_whole)

    def _unwanted(self, event: ProvidersUnwanted, now: Instant, out: Outbox) -> None:
        self._searches.unwant(event.blob, out)

    def _resolve(self, event: ResolveWanted, now: Instant, out: Outbox) -> None:
        self._resolves.want(event.ref, now, out)

    # ---- what peers say

    def _announced(self, peer: NodeId, message: Announce, now: Instant, out: Outbox) -> None:
        for claim in message.claims:
            if claim.node != peer or not 0 <= claim.held <= claim.chunks:
                out.tell(Misbehaved(peer, 1, "announced what it may not: another node's claim, or nonsense"))
                return
        for claim in message.claims:
            if self._records.put(claim, now) and not withdraws(claim):
                self._searches.heard(claim, out)
        if message.summary is not None:
            self._summarised(peer, message.summary, now, out)
        if message.again:
            self._announcer.say_again(peer, now, out)

    def _summarised(self, peer: NodeId, summary: Summary, now: Instant, out: Outbox) -> None:
        """A holder repeats everything in one message: renew it, or ask for it in words."""
        if not self._summaries.take(peer, now):
            self.cost.refused += 1
        elif self._records.summary(peer, now) == summary:
            self._records.renew(peer, now)
        else:
            out.send(peer, Announce((), again=True))

    def _looked_up(self, peer: NodeId, message: Lookup, now: Instant, out: Outbox) -> None:
        if not self._lookups.take(peer, now, 1.0 + len(message.others) * self._config.lookup_batch_cost):
            self.cost.refused += 1
            return
        if message.others:
            self._looked_up_together(peer, message, now, out)
            return
        others = self._knowledge.answer(BlobRef(blob=message.blob), now)
        claims = tuple(claim for claim in others if claim.node != peer)
        out.send(peer, Providers(message.query, claims, self._around.infos(claims)))
        self.cost.lookup_answers += 1

    def _looked_up_together(self, peer: NodeId, message: Lookup, now: Instant, out: Outbox) -> None:
        """As many answers as it takes; the last one is the one that is not unfinished."""
        most, claims = self._config.claims_per_lookup, list[Claim]()
        for blob in dict.fromkeys((message.blob, *message.others)):
            some = self._knowledge.answer_some(blob, peer, most, now)
            if len(claims) + len(some) > PROVIDERS_MAX:
                out.send(peer, Providers(message.query, tuple(claims), self._around.infos(claims), unfinished=True))
                claims = []
            claims += some
        out.send(peer, Providers(message.query, tuple(claims), self._around.infos(claims)))
        self.cost.lookup_answers += 1

    def _answered(self, peer: NodeId, message: Providers, now: Instant, out: Outbox) -> None:
        if not self._searches.answered(peer, message, now, out) and not self._resolves.answered(
            peer, message, now, out
        ):
            self._relay.answered(peer, message, out)

    def _flooded(self, peer: NodeId, message: Flood, now: Instant, out: Outbox) -> None:
        self._relay.flooded(peer, message, now, out)
