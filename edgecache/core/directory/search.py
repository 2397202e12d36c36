"""Rounds of searching for providers of a blob: homes first, the flood when they do not help, other sites last.

    asked -> HOMES --answers with claims--> done
               | nothing within the budget, or asked again so soon
               v
             FLOOD --claims within its time--> done
               | nothing at all
               v
              FAR  -----------------------> done

Claims are told as they come; the end of a round is told even when there were none.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from edgecache.core.directory.knowledge import fits
from edgecache.core.directory.records import withdraws
from edgecache.core.vocabulary import LinkWanted, MachineName, Misbehaved, ProvidersFound, TimerKey
from edgecache.model.ids import BlobId, BlobRef, NodeId
from edgecache.wire.limits import LOOKUPS_MAX
from edgecache.wire.messages import Claim, Flood, Lookup, Providers

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

    from edgecache.core.directory.config import DirectoryConfig
    from edgecache.core.directory.cost import SearchCost
    from edgecache.core.directory.flood import FloodRelay
    from edgecache.core.directory.knowledge import Knowledge
    from edgecache.core.directory.neighbourhood import Neighbourhood
    from edgecache.core.vocabulary import Outbox
    from edgecache.model.instant import Instant

SEARCH = "search"

GATHERED = TimerKey(MachineName.DIRECTORY, "gathered")
"""Fires when lookups that were collected go out."""

_LATELY_MAX = 1024
"""Wanted blobs whose last round is remembered."""


class Stage(Enum):
    """How far a round has come."""

    HOMES = "homes"
    FLOOD = "flood"
    FAR = "far"


@dataclass(slots=True)
class _Search:
    """One round."""

    blob: BlobId
    query: int
    """Of the lookups."""
    stage: Stage = Stage.HOMES
    asked: dict[NodeId, None] = field(default_factory=dict)
    """Homes that have not answered yet."""
    awaiting: dict[NodeId, None] = field(default_factory=dict)
    """Homes that a link was asked for."""
    flood: int | None = None
    """Query number of the flood."""
    flooded: tuple[NodeId, ...] = ()
    found: dict[NodeId, Claim] = field(default_factory=dict)
    source: Stage | None = None
    """Where the first claims came from."""
    hinted: dict[NodeId, None] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    """Lookups of several blobs that it is part of."""


@dataclass(slots=True)
class _Batch:
    """A lookup of several blobs."""

    peer: NodeId
    searches: dict[BlobId, _Search]


@dataclass(slots=True)
class _Lately:
    """The last rounds for a blob that is still wanted."""

    ended: Instant
    floods: int
    no_flood_before: Instant


class Searches:
    """Our own questions for providers."""

    def __init__(
        self,
        around: Neighbourhood,
        knowledge: Knowledge,
        relay: FloodRelay,
        config: DirectoryConfig,
        cost: SearchCost,
        rng: Random,
    ) -> None:
        self._around, self._knowledge, self._relay = around, knowledge, relay
        self._config, self._cost, self._rng = config, cost, rng
        self._searches: dict[BlobId, _Search] = {}
        self._by_query: dict[int, _Search] = {}
        self._batches: dict[int, _Batch] = {}
        self._gathered: dict[NodeId, dict[BlobId, None]] = {}
        """By home: blobs to ask it for, together, in a moment."""
        self._lately: dict[BlobId, _Lately] = {}

    # ---- wanted and unwanted

    def want(self, blob: BlobId, now: Instant, out: Outbox, *, any_whole: bool = False) -> None:
        """Start a round unless one is under way, or `any_whole` holder will do and we, as a home, know one."""
        if blob in self._searches:
            return
        if any_whole and (whole := [one for one in self._knowledge.of_others(BlobRef(blob=blob), now) if one.whole]):
            out.tell(ProvidersFound(blob, tuple(whole[: self._config.found_max]), final=True))
            return
        search = _Search(blob, self._rng.getrandbits(64))
        self._searches[blob] = self._by_query[search.query] = search
        lately = self._lately.get(blob)
        self._report(search, self._knowledge.of_others(BlobRef(blob=blob), now), Stage.HOMES, out)
        homes = [home for home in self._around.homes(blob) if home != self._around.me.node]
        self._ask(search, homes, now, out)
        again = lately is not None and now - lately.ended < self._config.again_within
        if again:
            self._start_flood(search, now, out)
        else:
            self._wait(search, self._config.lookup_budget, now, out)

    def unwant(self, blob: BlobId, out: Outbox) -> None:
        """Stop looking."""
        self._lately.pop(blob, None)
        if (search := self._searches.get(blob)) is not None:
            self._drop(search)
            out.clear(TimerKey(MachineName.DIRECTORY, SEARCH, blob))

    def heard(self, claim: Claim, out: Outbox) -> None:
        """Somebody announced to us, as its home, a blob that we are looking for, or were a moment ago."""
        if (search := self._searches.get(claim.blob)) is not None:
            self._report(search, (claim,), Stage.HOMES, out)
        elif claim.blob in self._lately and self._around.usable(claim.node):
            out.tell(ProvidersFound(claim.blob, (claim,), final=False))

    # ---- what comes back

    def answered(self, peer: NodeId, answer: Providers, now: Instant, out: Outbox) -> bool:
        """Take an answer; False when it belongs to no question of ours to that peer."""
        if (batch := self._batches.get(answer.query)) is not None and batch.peer == peer:
            self._answered_together(batch, answer, now, out)
            return True
        search = self._by_query.get(answer.query)
        if search is None:
            return False
        if answer.query == search.query and peer in search.asked:
            del search.asked[peer]
        elif answer.query != search.flood or peer not in search.flooded:
            return False
        claims = [claim for claim in answer.claims if fits(claim, BlobRef(blob=search.blob))]
        if len(claims) < len(answer.claims):
            out.tell(Misbehaved(peer, 1, "answered with claims for another blob"))
        self._hint(search, answer, claims, out)
        by_home = Stage.FAR if search.stage is Stage.FAR else Stage.HOMES
        self._report(search, claims, by_home if answer.query == search.query else Stage.FLOOD, out)
        self._next_if_idle(search, now, out)
        return True

    def _answered_together(self, batch: _Batch, answer: Providers, now: Instant, out: Outbox) -> None:
        by_blob: dict[BlobId, list[Claim]] = {}
        for claim in answer.claims:
            by_blob.setdefault(claim.blob, []).append(claim)
        searches = dict(batch.searches)
        for blob, claims in by_blob.items():
            if (search := searches.get(blob)) is not None:
                self._hint(search, answer, claims, out)
                self._report(search, claims, Stage.FAR if search.stage is Stage.FAR else Stage.HOMES, out)
        if answer.unfinished:
            return
        for search in searches.values():
            search.batches.remove(answer.query)
            search.asked.pop(batch.peer, None)
        del self._batches[answer.query]
        for search in searches.values():
            if self._searches.get(search.blob) is search:
                self._next_if_idle(search, now, out)

    def link_up(self, peer: NodeId, now: Instant, out: Outbox) -> None:
        """A home can be asked now."""
        for search in list(self._searches.values()):
            if peer in search.awaiting:
                self._ask(search, [peer], now, out)

    def link_gone(self, peer: NodeId, now: Instant, out: Outbox) -> None:
        """A home cannot be asked, or will not answer."""
        for search in list(self._searches.values()):
            if peer in search.awaiting or peer in search.asked:
                search.awaiting.pop(peer, None)
                search.asked.pop(peer, None)
                self._next_if_idle(search, now, out)

    def timed_out(self, blob: BlobId, now: Instant, out: Outbox) -> None:
        """The stage has had its time."""
        if (search := self._searches.get(blob)) is not None:
            self._next(search, now, out)

    # ---- stages

    def _ask(self, search: _Search, homes: Iterable[NodeId], now: Instant, out: Outbox) -> None:
        for home in homes:
            if self._around.linked(home):
                search.awaiting.pop(home, None)
                search.asked[home] = None
                if len(self._searches) > self._config.gather_above and self._around.batching(home):
                    if not self._gathered:
                        out.timer(GATHERED, now + self._config.gather_delay)
                    self._gathered.setdefault(home, {})[search.blob] = None
                else:
                    out.send(home, Lookup(search.query, search.blob))
                    self._cost.lookups += 1
            else:
                search.awaiting[home] = None
                out.tell(LinkWanted(home, self._around.member(home)))

    def send_gathered(self, out: Outbox) -> None:
        """Ask each home for all that was collected for it."""
        gathered, self._gathered = self._gathered, {}
        for home, blobs in gathered.items():
            found = [search for blob in blobs if (search := self._searches.get(blob)) and home in search.asked]
            for first in range(0, len(found), LOOKUPS_MAX):
                some = found[first : first + LOOKUPS_MAX]
                query = self._rng.getrandbits(64)
                self._batches[query] = _Batch(home, {search.blob: search for search in some})
                for search in some:
                    search.batches.append(query)
                out.send(home, Lookup(query, some[0].blob, tuple(search.blob for search in some[1:])))
                self._cost.lookups += 1

    def _next_if_idle(self, search: _Search, now: Instant, out: Outbox) -> None:
        """Homes have all answered: there is nothing to wait for."""
        if search.stage is not Stage.FLOOD and not search.asked and not search.awaiting:
            self._next(search, now, out)

    def _next(self, search: _Search, now: Instant, out: Outbox) -> None:
        if search.stage is Stage.HOMES and not search.found:
            self._start_flood(search, now, out)
        elif search.stage is Stage.FLOOD and not search.found:
            self._go_far(search, now, out)
        else:
            self._finish(search, now, out)

    def _start_flood(self, search: _Search, now: Instant, out: Outbox) -> None:
        search.stage = Stage.FLOOD
        lately = self._lately.get(search.blob)
        allowed = lately is None or now >= lately.no_flood_before
        fanout, ttl = self._config.flood_fanout, self._config.flood_ttl
        if lately is not None and lately.floods:
            fanout, ttl = self._config.wide_fanout, self._config.wide_ttl
        search.flooded = tuple(self._around.pick(fanout)) if allowed else ()
        if not search.flooded:
            self._wait(search, self._config.lookup_budget, now, out)
            return
        search.flood = self._rng.getrandbits(64)
        self._by_query[search.flood] = search
        ref = BlobRef(blob=search.blob)
        self._relay.ours(search.flood, ref, now)
        for peer in search.flooded:
            out.send(peer, Flood(search.flood, self._around.me.node, ref, ttl))
        self._cost.floods += 1
        self._cost.flood_messages += len(search.flooded)
        self._wait(search, self._config.flood_wait, now, out)

    def _go_far(self, search: _Search, now: Instant, out: Outbox) -> None:
        search.stage = Stage.FAR
        if homes := self._around.far_homes(search.blob):
            self._ask(search, homes, now, out)
            self._wait(search, self._config.far_wait, now, out)
        else:
            self._finish(search, now, out)

    def _finish(self, search: _Search, now: Instant, out: Outbox) -> None:
        self._drop(search)
        out.clear(TimerKey(MachineName.DIRECTORY, SEARCH, search.blob))
        lately = self._lately.pop(search.blob, None) or _Lately(now, 0, now)
        lately.ended = now
        if search.flood is not None:
            pause = min(self._config.flood_pause * 2**lately.floods, self._config.flood_pause_max)
            lately.no_flood_before = now + pause
            lately.floods = min(lately.floods + 1, 16)
        self._lately[search.blob] = lately
        if len(self._lately) > _LATELY_MAX:
            del self._lately[next(iter(self._lately))]
        self._count(search)
        out.tell(ProvidersFound(search.blob, (), final=True))

    def _count(self, search: _Search) -> None:
        self._cost.rounds += 1
        self._cost.by_homes += search.source is Stage.HOMES
        self._cost.by_flood += search.source is Stage.FLOOD
        self._cost.by_far += search.source is Stage.FAR

    def _drop(self, search: _Search) -> None:
        del self._searches[search.blob]
        del self._by_query[search.query]
        for query in search.batches:
            del self._batches[query].searches[search.blob]
            if not self._batches[query].searches:
                del self._batches[query]
        search.batches.clear()
        if search.flood is not None:
            del self._by_query[search.flood]

    def _wait(self, search: _Search, time: float, now: Instant, out: Outbox) -> None:
        """Give the stage its time, unless there is nobody to wait for."""
        if search.asked or search.awaiting or search.flood is not None:
            out.timer(TimerKey(MachineName.DIRECTORY, SEARCH, search.blob), now + time)
        else:
            self._next(search, now, out)

    # ---- claims

    def _report(self, search: _Search, claims: Iterable[Claim], source: Stage, out: Outbox) -> None:
        fresh = []
        for claim in claims:
            known = search.found.get(claim.node)
            if withdraws(claim) or not self._around.usable(claim.node) or known == claim:
                continue
            if known is None and len(search.found) >= self._config.found_max:
                continue
            search.found[claim.node] = claim
            fresh.append(claim)
        if fresh:
            search.source = search.source or source
            out.tell(ProvidersFound(search.blob, tuple(fresh), final=False))

    def _hint(self, search: _Search, answer: Providers, claims: list[Claim], out: Outbox) -> None:
        """Membership may not know of a provider; the answer says where it should be."""
        claimed = [claim.node for claim in claims]
        for info in answer.peers:
            node = info.node
            known = node == self._around.me.node or self._around.linked(node) or self._around.member(node) is not None
            if known or node not in claimed or node in search.hinted or not info.addresses:
                continue
            if len(search.hinted) < self._config.hints_max:
                search.hinted[node] = None
                out.tell(LinkWanted(node, info))
