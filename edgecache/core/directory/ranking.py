"""The ranking of live nodes for each blob, from which its homes follow."""

from __future__ import annotations

import heapq

from edgecache.model.ids import BlobId, NodeId
from edgecache.model.rendezvous import score


class Ranking:
    """Nodes with weights; the order of arrival never matters."""

    def __init__(self) -> None:
        self._weights: dict[NodeId, int] = {}

    def __contains__(self, node: NodeId) -> bool:
        return node in self._weights

    def put(self, node: NodeId, weight: int) -> None:
        """Rank this node, or rank it with another weight."""
        self._weights[node] = weight

    def drop(self, node: NodeId) -> None:
        """Rank this node no more."""
        self._weights.pop(node, None)

    def scored(self, blob: BlobId, node: NodeId) -> tuple[float, NodeId]:
        """What `best` compares; the node id decides between equal scores."""
        return (score(blob, node, self._weights[node]), node)

    def best(self, blob: BlobId, count: int) -> list[tuple[float, NodeId]]:
        """The highest `count`, best first."""
        return heapq.nlargest(count, (self.scored(blob, node) for node in self._weights))
