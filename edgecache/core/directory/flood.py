"""The unstructured part: questions passed on over links, once each, within budgets; answers go back the same way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgecache.core.directory.knowledge import fits
from edgecache.core.vocabulary import Misbehaved
from edgecache.model.ids import BlobRef, NodeId
from edgecache.wire.messages import Flood, Providers

if TYPE_CHECKING:
    from edgecache.core.directory.config import DirectoryConfig
    from edgecache.core.directory.cost import SearchCost
    from edgecache.core.directory.knowledge import Knowledge
    from edgecache.core.directory.neighbourhood import Neighbourhood
    from edgecache.core.vocabulary import Outbox
    from edgecache.model.instant import Instant


class AskerBudget:
    """A token bucket per peer; the longest silent peer is forgotten when there are too many."""

    def __init__(self, rate: float, burst: float, peers_max: int) -> None:
        self._rate, self._burst, self._peers_max = rate, burst, peers_max
        self._buckets: dict[NodeId, tuple[float, Instant]] = {}

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, peer: NodeId, now: Instant, cost: float = 1.0) -> bool:
        """Whether one more question of this peer, which counts as `cost`, is within its budget."""
        tokens, at = self._buckets.pop(peer, (self._burst, now))
        tokens = min(self._burst, tokens + (now - at) * self._rate)
        granted = tokens >= cost
        self._buckets[peer] = (tokens - cost if granted else tokens, now)
        if len(self._buckets) > self._peers_max:
            del self._buckets[next(iter(self._buckets))]
        return granted


@dataclass(slots=True)
class _Route:
    """A question that came by: where its answers go, and who may answer."""

    back: NodeId
    ref: BlobRef
    until: Instant
    asked: tuple[NodeId, ...] = ()
    ttl: int = 0
    """Hops that it had left when we passed it on."""
    answers: int = 0


@dataclass(slots=True)
class FloodRelay:
    """Questions of others."""

    around: Neighbourhood
    knowledge: Knowledge
    config: DirectoryConfig
    cost: SearchCost
    _routes: dict[int, _Route] = field(default_factory=dict)
    """By query number, oldest first; the numbers are random, so that those of two askers do not meet."""
    _fruitless: dict[BlobRef, tuple[Instant, int]] = field(default_factory=dict)
    """Negative cache: questions passed on that nobody answered; until when they are not passed on again for as few or
    fewer hops."""
    _budget: AskerBudget = field(init=False)

    def __post_init__(self) -> None:
        self._budget = AskerBudget(self.config.flood_rate, self.config.flood_burst, self.config.askers_max)

    def ours(self, query: int, ref: BlobRef, now: Instant) -> None:
        """A question that we ask ourselves: copies of it that come back are known."""
        self._routes[query] = _Route(self.around.me.node, ref, now + self.config.route_ttl)

    def flooded(self, peer: NodeId, flood: Flood, now: Instant, out: Outbox) -> None:
        """A question came in: answer it, and pass it on unless that answers it."""
        self._sweep(now)
        if flood.query in self._routes or flood.origin == self.around.me.node:
            self.cost.duplicates += 1
            return
        if not self._budget.take(peer, now):
            self.cost.refused += 1
            return
        route = self._routes[flood.query] = _Route(peer, flood.ref, now + self.config.route_ttl)
        claims = self.knowledge.answer(flood.ref, now)
        if claims:
            self._fruitless.pop(flood.ref, None)
            route.answers = 1
            out.send(peer, Providers(flood.query, claims, self.around.infos(claims)))
            self.cost.flood_answers += 1
        if not any(claim.whole for claim in claims):
            self._pass_on(peer, flood, route, now, out)

    def answered(self, peer: NodeId, answer: Providers, out: Outbox) -> None:
        """Pass an answer back, if it belongs to a question that we passed on to that peer."""
        route = self._routes.get(answer.query)
        if route is None or peer not in route.asked or not answer.claims:
            return
        if not all(fits(claim, route.ref) for claim in answer.claims):
            out.tell(Misbehaved(peer, 1, "answered with claims for another blob"))
        elif route.answers < self.config.answers_max:
            route.answers += 1
            self._fruitless.pop(route.ref, None)
            self.cost.flood_answers += 1
            out.send(route.back, answer)

    def _pass_on(self, peer: NodeId, flood: Flood, route: _Route, now: Instant, out: Outbox) -> None:
        ttl = min(flood.ttl, self.config.wide_ttl) - 1
        if ttl <= 0:
            return
        _, tried = self._fruitless.get(flood.ref, (now, 0))
        if ttl <= tried:
            self.cost.suppressed += 1
            return
        route.ttl = ttl
        route.asked = tuple(self.around.pick(self.config.flood_fanout, (peer, flood.origin)))
        for next_peer in route.asked:
            out.send(next_peer, Flood(flood.query, flood.origin, flood.ref, ttl))
        self.cost.flood_messages += len(route.asked)

    def _sweep(self, now: Instant) -> None:
        """Forget what is over; what came to nothing goes to the negative cache."""
        for query, route in list(self._routes.items()):
            if route.until > now and len(self._routes) < self.config.routes_max:
                break
            del self._routes[query]
            if route.asked and not route.answers:
                self._fruitless.pop(route.ref, None)
                self._fruitless[route.ref] = (route.until + self.config.negative_ttl, route.ttl)
        for ref, (until, _) in list(self._fruitless.items()):
            if until > now and len(self._fruitless) <= self.config.routes_max:
                break
            del self._fruitless[ref]
