"""Scores of peers that break rules: they decay, and beyond a limit the peer is banned for a time."""

from __future__ import annotations

from edgecache.core.membership.config import MembershipConfig
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant

_PEERS_MAX = 1024
"""Peers with a score; only authenticated members get one, so this is never near."""


class Penalties:
    """Misbehaviour per peer."""

    def __init__(self, config: MembershipConfig) -> None:
        self._config = config
        self._scores: dict[NodeId, tuple[float, Instant]] = {}
        self._banned: dict[NodeId, Instant] = {}

    def add(self, peer: NodeId, weight: int, now: Instant) -> bool:
        """Count a misdeed; True when the peer is now banned."""
        score, at = self._scores.pop(peer, (0.0, now))
        score = max(0.0, score - (now - at) / self._config.ban_decay) + weight
        if len(self._scores) >= _PEERS_MAX:
            self._scores.pop(next(iter(self._scores)))
        self._scores[peer] = (score, now)
        if score < self._config.ban_score:
            return False
        self._banned[peer] = now + self._config.ban_time
        return True

    def banned(self, peer: NodeId, now: Instant) -> bool:
        """Whether links with this peer are refused."""
        until = self._banned.get(peer)
        if until is None:
            return False
        if until <= now:
            del self._banned[peer]
            self._scores.pop(peer, None)
            return False
        return True
