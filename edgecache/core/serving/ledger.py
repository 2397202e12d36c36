"""Give and take: what each peer gave us and took from us lately, and the weight that follows.

Theory of operation. Only what we asked for, received and verified counts as given, and only what left our send queue
as taken; what a peer says counts for nothing. The weight is the square root of (given + C) / (taken + C), within
bounds. C is what a newcomer is credited with, so that it begins as everybody's equal; the root lets a weak device that
gives a sixteenth of what it takes keep a quarter of the weight, where tit-for-tat would give it a sixteenth. Both sides
decay. When the table is full, who gave least makes room: new names cannot push a giver out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from edgecache.core.serving.config import ServingConfig
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant


@dataclass(slots=True, eq=False)
class _Account:
    given: float
    taken: float
    at: Instant

    def settle(self, now: Instant, half_life: float) -> None:
        """Bring both sides up to date."""
        factor = 0.5 ** (max(0.0, now - self.at) / half_life)
        self.given *= factor
        self.taken *= factor
        self.at = now


class Ledger:
    """Accounts of a bounded number of peers."""

    def __init__(self, config: ServingConfig) -> None:
        self._config = config
        self._accounts: dict[NodeId, _Account] = {}

    def __len__(self) -> int:
        return len(self._accounts)

    def gave(self, node: NodeId, size: int, now: Instant) -> None:
        """The peer gave us so many bytes."""
        self._account(node, now).given += size

    def took(self, node: NodeId, size: int, now: Instant) -> None:
        """The peer got so many bytes from us."""
        self._account(node, now).taken += size

    def weight(self, node: NodeId, now: Instant) -> float:
        """The peer's share relative to a newcomer's."""
        account, config = self._accounts.get(node), self._config
        if account is None:
            return 1.0
        account.settle(now, config.half_life)
        ratio = (account.given + config.newcomer_credit) / (account.taken + config.newcomer_credit)
        return min(max(math.sqrt(ratio), config.weight_min), config.weight_max)

    def _account(self, node: NodeId, now: Instant) -> _Account:
        account = self._accounts.get(node)
        if account is None:
            if len(self._accounts) >= self._config.peers_max:
                self._make_room(now)
            account = self._accounts[node] = _Account(0.0, 0.0, now)
        account.settle(now, self._config.half_life)
        return account

    def _make_room(self, now: Instant) -> None:
        for account in self._accounts.values():
            account.settle(now, self._config.half_life)
        least = min(self._accounts, key=lambda node: self._accounts[node].given)
        del self._accounts[least]
