"""Names that are no full id, a prefix or the SHA-256 of the whole: asked of everybody, answers collected a while."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgecache.core.directory.knowledge import fits
from edgecache.core.directory.records import withdraws
from edgecache.core.vocabulary import MachineName, Misbehaved, Resolved, TimerKey
from edgecache.model.ids import BlobId, BlobRef, NodeId
from edgecache.wire.messages import Claim, Flood, Providers

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

RESOLVE = "resolve"


@dataclass(slots=True)
class _Resolve:
    """One name being asked for."""

    ref: BlobRef
    until: Instant
    again: bool = False
    """Whether the question was put a second time, over other links."""
    settling: bool = False
    queries: dict[int, tuple[NodeId, ...]] = field(default_factory=dict)
    """By query number: the links it started on."""
    found: dict[tuple[BlobId, NodeId], Claim] = field(default_factory=dict)


@dataclass(slots=True)
class Resolves:
    """Our own questions by name."""

    around: Neighbourhood
    knowledge: Knowledge
    relay: FloodRelay
    config: DirectoryConfig
    cost: SearchCost
    rng: Random
    _resolves: dict[str, _Resolve] = field(default_factory=dict)
    _by_query: dict[int, _Resolve] = field(default_factory=dict)

    def want(self, ref: BlobRef, now: Instant, out: Outbox) -> None:
        """Start to ask, unless the same is being asked."""
        if str(ref) in self._resolves:
            return
        resolve = self._resolves[str(ref)] = _Resolve(ref, now + self.config.resolve_timeout)
        self._ask(resolve, now, out)
        if resolve.queries:
            out.timer(self._key(resolve), now + self.config.resolve_timeout / 2)
        self._collect(resolve, self.knowledge.of_others(ref, now), now, out)
        if not resolve.queries:
            self._finish(resolve, out)

    def answered(self, peer: NodeId, answer: Providers, now: Instant, out: Outbox) -> bool:
        """Take an answer; False when it belongs to no question of ours to that peer."""
        resolve = self._by_query.get(answer.query)
        if resolve is None or peer not in resolve.queries[answer.query]:
            return False
        claims = [claim for claim in answer.claims if fits(claim, resolve.ref)]
        if len(claims) < len(answer.claims):
            out.tell(Misbehaved(peer, 1, "answered with claims for another blob"))
        self._collect(resolve, claims, now, out)
        return True

    def timed_out(self, name: str, now: Instant, out: Outbox) -> None:
        """Ask a second time when nobody answered, else report what came."""
        resolve = self._resolves.get(name)
        if resolve is None:
            return
        if resolve.found or resolve.again:
            self._finish(resolve, out)
        else:
            resolve.again = True
            self._ask(resolve, now, out)
            out.timer(self._key(resolve), max(now, resolve.until))

    def _ask(self, resolve: _Resolve, now: Instant, out: Outbox) -> None:
        peers = tuple(self.around.pick(self.config.wide_fanout))
        if not peers:
            return
        query = self.rng.getrandbits(64)
        resolve.queries[query] = peers
        self._by_query[query] = resolve
        self.relay.ours(query, resolve.ref, now)
        for peer in peers:
            out.send(peer, Flood(query, self.around.me.node, resolve.ref, self.config.wide_ttl))
        self.cost.floods += 1
        self.cost.flood_messages += len(peers)

    def _collect(self, resolve: _Resolve, claims: Iterable[Claim], now: Instant, out: Outbox) -> None:
        for claim in claims:
            key = (claim.blob, claim.node)
            room = key in resolve.found or len(resolve.found) < self.config.found_max
            if room and not withdraws(claim) and self.around.usable(claim.node):
                resolve.found[key] = claim
        if resolve.found and not resolve.settling:
            resolve.settling = True
            if resolve.queries:
                out.timer(self._key(resolve), min(resolve.until, now + self.config.resolve_settle))

    def _finish(self, resolve: _Resolve, out: Outbox) -> None:
        del self._resolves[str(resolve.ref)]
        for query in resolve.queries:
            del self._by_query[query]
        out.effect(Resolved(resolve.ref, tuple(resolve.found.values())))

    @staticmethod
    def _key(resolve: _Resolve) -> TimerKey:
        return TimerKey(MachineName.DIRECTORY, RESOLVE, str(resolve.ref))
