"""When the next part of a chunk may be asked for: rates carried out, spread over time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edgecache.core import vocabulary as v
from edgecache.model.content import LARGE_CHUNK_BYTES
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant
from edgecache.model.pacing import wire_bytes

LATE = 0.02
"""Seconds by which a turn may be late and the next is not: an event loop is late by some milliseconds."""


class Pace:
    """When the next part of a chunk may be asked for: over all peers, and of one peer."""

    def __init__(self, now: Callable[[], Instant], rate: int = 0) -> None:
        """`rate` bytes a second over all peers, as on the link; 0 is unlimited."""
        self._now, self._rate = now, rate
        self._free: Instant = 0.0
        self._peers: dict[NodeId, v.PaceLink] = {}
        self._peers_free: dict[NodeId, Instant] = {}

    def set(self, effect: v.PaceLink) -> None:
        """Effect PaceLink, as far as it is about asking."""
        self._peers[effect.peer] = effect

    def forget(self, peer: NodeId) -> None:
        """No link to this peer is left."""
        self._peers.pop(peer, None)
        self._peers_free.pop(peer, None)

    def unit(self, peer: NodeId) -> int:
        """Bytes of a chunk that may be asked of this peer at once."""
        paced = self._peers.get(peer)
        return paced.unit if paced is not None else LARGE_CHUNK_BYTES

    async def turn(self, peer: NodeId, size: int) -> None:
        """Wait until so many bytes may be asked of this peer."""
        wait = self._reserve(peer, size)
        if wait > 0:
            await asyncio.sleep(wait)

    def _reserve(self, peer: NodeId, size: int) -> float:
        now, begin = self._now(), 0.0
        if self._rate:
            begin = max(self._free, now - LATE)
            self._free = begin + wire_bytes(size) / self._rate
        paced = self._peers.get(peer)
        if paced is not None and paced.download:
            mine = max(self._peers_free.get(peer, 0.0), now - LATE)
            self._peers_free[peer] = mine + wire_bytes(size) / paced.download
            begin = max(begin, mine)
        return begin - now
