"""The link between two sites: narrow, shared by all who cross it, and counted."""

from __future__ import annotations

from edgecache.model.instant import Instant
from edgecache.sim.lanes import FRAMING


class Border:
    """One queue for each ordered pair of sites; `rate` in bytes per second, 0 is unlimited."""

    def __init__(self, rate: float = 0.0) -> None:
        self.rate = rate
        self.crossed: dict[tuple[str, str], int] = {}
        """Bytes of TCP streams by the site that they left and the one that they came to."""
        self._free: dict[tuple[str, str], Instant] = {}

    def passed(self, here: str, there: str, size: int, given: Instant) -> Instant:
        """When the last of `size` bytes, given then, is on the other side."""
        if here == there:
            return given
        pair = here, there
        self.crossed[pair] = self.crossed.get(pair, 0) + size
        if not self.rate:
            return given
        self._free[pair] = max(self._free.get(pair, 0.0), given) + size * FRAMING / self.rate
        return self._free[pair]
