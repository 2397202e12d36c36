"""The push tree (Plumtree): which neighbours get news at once and which only hear that there is some."""

from __future__ import annotations

from edgecache.model.ids import NodeId
from edgecache.wire.messages import Head


class Tree:
    """Neighbours, eager or lazy; every new one starts eager and duplicates prune."""

    def __init__(self) -> None:
        self._eager: dict[NodeId, bool] = {}
        self._news: dict[NodeId, dict[NodeId, Head]] = {}

    def __contains__(self, peer: NodeId) -> bool:
        return peer in self._eager

    def add(self, peer: NodeId) -> None:
        """A neighbour came."""
        self._eager.setdefault(peer, True)

    def remove(self, peer: NodeId) -> None:
        """A neighbour went."""
        self._eager.pop(peer, None)
        self._news.pop(peer, None)

    def neighbours(self) -> list[NodeId]:
        """All neighbours in order of arrival."""
        return list(self._eager)

    def eager(self) -> list[NodeId]:
        """Those that get pushes at once."""
        return [peer for peer, eager in self._eager.items() if eager]

    def set_eager(self, peer: NodeId, eager: bool) -> bool:
        """Prune or graft; True when that changed something."""
        if self._eager.get(peer) in (None, eager):
            return False
        self._eager[peer] = eager
        return True

    def announce(self, head: Head, besides: NodeId | None) -> bool:
        """Queue a head for all lazy neighbours but the one that it came from; True when there is any."""
        lazy = [peer for peer, eager in self._eager.items() if not eager and peer != besides]
        for peer in lazy:
            self._news.setdefault(peer, {})[head.owner] = head
        return bool(lazy)

    def take_announcements(self) -> list[tuple[NodeId, tuple[Head, ...]]]:
        """Queued heads per lazy neighbour; empties the queue."""
        news, self._news = self._news, {}
        return [(peer, tuple(heads.values())) for peer, heads in news.items()]
