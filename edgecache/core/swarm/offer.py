"""What the neighbours offer to one fetch while windows are filled.

Theory of operation. While one event is being handled nobody's have-set, tier or rest changes, and room only shrinks as
chunks are asked for. So the neighbours are looked at once, and for each further chunk only those that had room are.
"""

from __future__ import annotations

from edgecache.core.swarm.blobs import Blob, Fetch, SwarmState
from edgecache.core.swarm.picker import Picker
from edgecache.core.swarm.scoring import Neighbour
from edgecache.model.instant import Instant


class Offer:
    """Of one moment; never kept beyond it."""

    __slots__ = ("among_us", "blob", "fetch", "picker", "ready", "tiers")

    def __init__(
        self, blob: Blob, fetch: Fetch, picker: Picker, usable: list[Neighbour], ready: list[Neighbour]
    ) -> None:
        """`usable` have something and do not rest; `ready` are those of them that have room."""
        self.blob, self.fetch, self.picker = blob, fetch, picker
        self.ready = ready
        self.among_us = 0
        """Chunks that usable fellows have."""
        tiers: dict[int, list[Neighbour]] = {}
        for neighbour in usable:
            tiers.setdefault(neighbour.peer.tier, []).append(neighbour)
            if neighbour.fellow:
                self.among_us |= neighbour.have
        self.tiers = [tiers[tier] for tier in sorted(tiers)]
        """The usable ones, the nearest tier first."""

    def unclaimed(self, scarce: int, patience: float, state: SwarmState, now: Instant) -> int:
        """Of chunks that no leecher has: all but those that one has under way; these too, when they do not come."""
        fetch = self.fetch
        fetch.patience = patience
        fetch.left, since = self.blob.coming(scarce, patience, now)
        if fetch.left == scarce:
            state.wake_at(since + patience)
        return scarce & ~fetch.left


def rested(blob: Blob, fetch: Fetch, state: SwarmState, now: Instant) -> list[Neighbour]:
    """Those that have something and are not left alone at this moment; the wake-up is set for the others."""
    out = []
    for neighbour in blob.neighbours.values():
        if neighbour.have:
            resting_until = neighbour.peer.resting_until(fetch.priority)
            if now < resting_until:
                state.wake_at(resting_until)
            else:
                out.append(neighbour)
    return out
