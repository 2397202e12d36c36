"""The push tree (Plumtree): which neighbours get news at once and which only hear that there is some."""

from __future__ import annotations

from edgecache.core.state.config import StateConfig
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant
from edgecache.model.pacing import TokenBucket
from edgecache.wire.messages import Head


class Tree:
    """Neighbours, eager or lazy; every new one starts eager and duplicates prune. Each has a budget of answers."""

    def __init__(self, config: StateConfig) -> None:
        self._full = TokenBucket(config.answer_rate, config.answer_burst, config.answer_burst)
        self._eager: dict[NodeId, bool] = {}
        self._budgets: dict[NodeId, TokenBucket] = {}
        self._news: dict[NodeId, dict[NodeId, Head]] = {}

    def __contains__(self, peer: NodeId) -> bool:
        return peer in self._eager

    def add(self, peer: NodeId) -> None:
        """A neighbour came."""
        self._eager.setdefault(peer, True)
        self._budgets.setdefault(peer, self._full)

    def remove(self, peer: NodeId) -> None:
        """A neighbour went."""
        for table in (self._eager, self._budgets, self._news):
            table.pop(peer, None)

    def may_answer(self, peer: NodeId, size: int, now: Instant) -> bool:
        """Whether a neighbour's questions are worth so many more bytes just now; they are then counted."""
        budget = self._budgets.get(peer)
        if budget is None or budget.wait(now):
            return False
        self._budgets[peer] = budget.take(size, now)
        return True

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

    def announce(self, head: Head, *, besides: tuple[NodeId | None, ...], eager_too: bool) -> bool:
        """Queue a head for the lazy neighbours, perhaps for all, but for those that have it; True when there is any."""
        told = [peer for peer, eager in self._eager.items() if (eager_too or not eager) and peer not in besides]
        for peer in told:
            self._news.setdefault(peer, {})[head.owner] = head
        return bool(told)

    def take_announcements(self) -> list[tuple[NodeId, tuple[Head, ...]]]:
        """Queued heads per lazy neighbour; empties the queue."""
        news, self._news = self._news, {}
        return [(peer, tuple(heads.values())) for peer, heads in news.items()]
