"""Which of several fetches may ask for chunks first: by class, but the classes below keep one chunk under way."""

from __future__ import annotations

from collections.abc import Sequence

from edgecache.core.swarm.blobs import Blob
from edgecache.model.priority import Priority


class Turns:
    """Takes turns among fetches of one class; puts classes in order."""

    def __init__(self) -> None:
        self._turn = 0

    def groups(self, hungry: Sequence[Blob], *, quiet: bool) -> list[list[Blob]]:
        """Fetches in the order in which they may ask for chunks: the first group as long as it can, then the next. In
        quiet hours nothing is prefetched."""
        waiting = [(blob.fetch.priority, blob) for blob in hungry if blob.fetch is not None]
        if quiet:
            waiting = [pair for pair in waiting if pair[0] is not Priority.PREFETCH]
        if len(waiting) < 2:
            return [[blob] for _, blob in waiting]
        self._turn = (self._turn + 1) % len(waiting)
        waiting = waiting[self._turn :] + waiting[: self._turn]
        return [group for priority in Priority if (group := [blob for own, blob in waiting if own is priority])]

    @staticmethod
    def neglected(groups: Sequence[Sequence[Blob]]) -> list[Blob]:
        """Fetches below the most urgent class when none of these has a chunk under way: one of them may ask for one
        first, so that nothing stands still."""
        if len(groups) < 2:
            return []
        lower = [blob for group in groups[1:] for blob in group]
        return [] if any(blob.fetch is not None and blob.fetch.flights for blob in lower) else lower
