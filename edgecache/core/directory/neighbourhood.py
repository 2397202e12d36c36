"""Who is there, as far as the directory cares: linked peers, members, and the homes that follow from them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from edgecache.core.directory.ranking import Ranking
from edgecache.model.ids import BlobId, NodeId
from edgecache.model.peer import PeerInfo
from edgecache.wire.messages import BATCHES, Claim, Hello, MemberStatus

if TYPE_CHECKING:
    from random import Random

    from edgecache.core.directory.config import DirectoryConfig
    from edgecache.core.vocabulary import Identity

_GONE_MAX = 1024
"""Dead members remembered, so that claims about them are not believed; the oldest is forgotten."""

_WEIGHTS_MAX = 2048
"""Capacities remembered, of members and of those whose map came before they did; then 1 is assumed again."""


class Neighbourhood:
    """Links, members of all sites, and the ranking of those of ours."""

    def __init__(self, me: Identity, config: DirectoryConfig, rng: Random) -> None:
        self.me = me
        self._config, self._rng = config, rng
        self._sites_linked: dict[NodeId, str] = {}
        self._batching: dict[NodeId, None] = {}
        self._members: dict[NodeId, PeerInfo] = {}
        self._gone: dict[NodeId, MemberStatus] = {}
        self._weights: dict[NodeId, int] = {}
        self.ranking = Ranking()
        self.ranking.put(me.node, self._bounded(me.capacity))

    # ---- links

    def linked(self, node: NodeId) -> bool:
        """Whether a message can be sent to it."""
        return node in self._sites_linked

    def link_up(self, peer: NodeId, hello: Hello) -> None:
        """There is a link."""
        self._sites_linked[peer] = hello.site
        self._batching.pop(peer, None)
        if BATCHES in hello.features:
            self._batching[peer] = None

    def batching(self, node: NodeId) -> bool:
        """Whether a linked peer understands lookups of several blobs, and summaries."""
        return node in self._batching

    def link_down(self, peer: NodeId) -> None:
        """There is none any more."""
        self._sites_linked.pop(peer, None)
        self._batching.pop(peer, None)

    def pick(self, count: int, but: Iterable[NodeId] = ()) -> list[NodeId]:
        """Random linked peers, those of our site before others."""
        excluded = tuple(but)
        near: list[NodeId] = []
        far: list[NodeId] = []
        for peer, site in self._sites_linked.items():
            if peer not in excluded:
                (near if site == self.me.site else far).append(peer)
        picked = self._rng.sample(near, min(count, len(near)))
        return picked + self._rng.sample(far, min(count - len(picked), len(far)))

    # ---- members

    def member(self, node: NodeId) -> PeerInfo | None:
        """What membership knows of a living member."""
        return self._members.get(node)

    def alive(self, info: PeerInfo) -> None:
        """A member lives, or is only suspected."""
        self._gone.pop(info.node, None)
        self._members[info.node] = info
        if info.site == self.me.site:
            self.ranking.put(info.node, self._weights.get(info.node, 1))
        else:
            self.ranking.drop(info.node)

    def gone(self, node: NodeId, status: MemberStatus) -> None:
        """A member is dead or has left."""
        self._members.pop(node, None)
        self.ranking.drop(node)
        self._gone[node] = status
        if len(self._gone) > _GONE_MAX:
            del self._gone[next(iter(self._gone))]

    def usable(self, node: NodeId) -> bool:
        """Whether a claim of this node is worth telling: not ours, and not known to be gone."""
        return node != self.me.node and node not in self._gone

    def weigh(self, node: NodeId, capacity: int) -> bool:
        """A node's capacity became known; True when the ranking changed by it."""
        weight = self._bounded(capacity)
        if node == self.me.node or self._weights.get(node, 1) == weight:
            return False
        self._weights.pop(node, None)
        self._weights[node] = weight
        if len(self._weights) > _WEIGHTS_MAX:
            del self._weights[next(iter(self._weights))]
        if node not in self.ranking:
            return False
        self.ranking.put(node, weight)
        return True

    def infos(self, claims: Iterable[Claim]) -> tuple[PeerInfo, ...]:
        """Where the claimed nodes may be dialled, as far as it is known, and not more than are told in one answer."""
        known = (self._members.get(node) for node in dict.fromkeys(claim.node for claim in claims))
        return tuple(info for info in known if info is not None and info.addresses)[: self._config.peers_told]

    # ---- homes

    def homes(self, blob: BlobId) -> tuple[NodeId, ...]:
        """The homes of a blob in our site, best first."""
        return tuple(node for _, node in self.ranking.best(blob, self._config.homes))

    def far_homes(self, blob: BlobId) -> list[NodeId]:
        """Homes of a blob in a few other sites that we know members of."""
        rankings: dict[str, Ranking] = {}
        for info in self._members.values():
            if info.site != self.me.site:
                rankings.setdefault(info.site, Ranking()).put(info.node, 1)
        sites = self._rng.sample(sorted(rankings), min(self._config.far_sites, len(rankings)))
        return [node for site in sites for _, node in rankings[site].best(blob, self._config.far_homes)]

    def _bounded(self, capacity: int) -> int:
        return min(max(1, capacity), self._config.weight_max)
