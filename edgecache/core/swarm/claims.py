"""What a neighbour says to have under way: chunks, and since when.

Theory of operation. A complete holder may remember a thousand of them, and all but a few are of chunks that somebody
has by now. So they are kept as bits besides, and only those are looked at that matter.
"""

from __future__ import annotations

from collections.abc import Collection

from edgecache.model.have import HaveSet
from edgecache.model.instant import Instant


class Claims:
    """Of one neighbour; the oldest first."""

    __slots__ = ("_since", "bits")

    def __init__(self) -> None:
        self._since: dict[int, Instant] = {}
        self.bits = 0
        """The chunks of `items`."""

    def items(self) -> list[tuple[int, Instant]]:
        """Chunks, and since when each is claimed."""
        return list(self._since.items())

    def among(self, bits: int) -> list[tuple[int, Instant]]:
        """Those of them that are among `bits`."""
        since = self._since
        return [(index, since[index]) for index in HaveSet(bits & self.bits)]

    def replace(self, said: Collection[int], now: Instant) -> None:
        """These are all; what was claimed before is claimed since then."""
        self.bits = HaveSet.of(said).bits
        kept = {index: at for index, at in self._since.items() if self.bits >> index & 1}
        self._since = kept | {index: now for index in said if index not in kept}

    def add(self, said: Collection[int], now: Instant, memory: float, most: int) -> None:
        """These are claimed besides; what is older than `memory` seconds is forgotten, and the oldest beyond `most`."""
        while self._since and self._since[self._oldest] <= now - memory:
            self._forget_oldest()
        self.bits |= HaveSet.of(said).bits
        for index in said:
            self._since.setdefault(index, now)
        while len(self._since) > most:
            self._forget_oldest()

    @property
    def _oldest(self) -> int:
        return next(iter(self._since))

    def _forget_oldest(self) -> None:
        oldest = self._oldest
        del self._since[oldest]
        self.bits ^= 1 << oldest
