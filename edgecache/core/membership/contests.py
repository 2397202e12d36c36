"""Two devices with one key: each would replace the other's links for ever."""

from __future__ import annotations

from collections import deque

from edgecache.core.membership.config import MembershipConfig
from edgecache.core.membership.links import Link
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant

_PEERS_MAX = 256
"""Peers whose replacements are counted; whoever was first seen goes."""


class Contests:
    """Counts how often links to a peer are replaced by others of the same peer."""

    def __init__(self, config: MembershipConfig) -> None:
        self._config = config
        self._replaced: dict[NodeId, deque[Instant]] = {}

    def replaced(self, older: Link, newer: Link, now: Instant) -> bool:
        """A second link to one peer came up; True when that happens so often that two devices must have its key.

        Both ends dialling at once is no contest, nor is one that was lost long after it was opened.
        """
        crossed = older.dialled != newer.dialled and older.hello == newer.hello
        if crossed or now - older.opened > self._config.contest_window:
            return self.contested(newer.peer, now)
        if newer.peer not in self._replaced and len(self._replaced) >= _PEERS_MAX:
            del self._replaced[next(iter(self._replaced))]
        self._replaced.setdefault(newer.peer, deque(maxlen=self._config.contest_links)).append(now)
        return self.contested(newer.peer, now)

    def contested(self, peer: NodeId, now: Instant) -> bool:
        """Whether its links have been replaced too often of late."""
        times = self._replaced.get(peer)
        if not times or len(times) < self._config.contest_links:
            return False
        if now - times[0] > self._config.contest_links * self._config.contest_window:
            del self._replaced[peer]
            return False
        return True
