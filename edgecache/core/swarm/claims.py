"""What a neighbour says to have under way: chunks, and since when.

Theory of operation. Chunks that were claimed at one moment are the bits of one integer. A complete holder may remember
a thousand of them, and all but a few are of chunks that somebody has by now, or too old to matter: whoever looks begins
with the latest, and ends where they are too old.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from edgecache.model.have import HaveSet
from edgecache.model.instant import Instant


class Claims:
    """Of one neighbour."""

    __slots__ = ("_since", "bits")

    def __init__(self) -> None:
        self._since: list[tuple[Instant, int]] = []
        """Claimed at that moment and ever since; the oldest first, no chunk twice."""
        self.bits = 0
        """All of them."""

    def items(self) -> list[tuple[int, Instant]]:
        """Chunks, and since when each is claimed; the oldest first."""
        return [(index, at) for at, bits in self._since for index in HaveSet(bits)]

    def within(self, patience: float, now: Instant) -> Iterator[tuple[Instant, int]]:
        """Moments that were less than `patience` seconds ago, the latest first, and the bits of what is claimed since
        then."""
        for at, bits in reversed(self._since):
            if at + patience <= now:
                return
            yield at, bits

    def replace(self, said: Collection[int], now: Instant) -> None:
        """These are all; what was claimed before is claimed since then."""
        bits = HaveSet.of(said).bits
        self._since = [(at, kept) for at, before in self._since if (kept := before & bits)]
        self._begin(bits & ~self.bits, now)
        self.bits = bits

    def add(self, said: Collection[int], now: Instant, memory: float, most: int) -> None:
        """These are claimed besides; what is older than `memory` seconds is forgotten, and the oldest beyond `most`."""
        while self._since and self._since[0][0] <= now - memory:
            self._forget(self._since[0][1])
        bits = HaveSet.of(said).bits
        self._begin(bits & ~self.bits, now)
        self.bits |= bits
        while self.bits.bit_count() > most:
            oldest = self._since[0][1]
            self._forget(oldest & -oldest)

    def _begin(self, bits: int, now: Instant) -> None:
        if bits:
            self._since.append((now, bits))

    def _forget(self, oldest: int) -> None:
        """Some of those claimed first."""
        self.bits ^= oldest
        at, bits = self._since[0]
        if bits == oldest:
            del self._since[0]
        else:
            self._since[0] = at, bits ^ oldest


class Left:
    """Chunks that are left to whoever claims them, and since when first."""

    __slots__ = ("_bits", "_since")

    def __init__(self) -> None:
        self._since: list[tuple[Instant, int]] = []
        """No chunk twice, in any order; a fetch leaves what others claim, which is bounded."""
        self._bits = 0

    def leave(self, bits: int, at: Instant) -> None:
        """These are left since `at`, but for those that are left already."""
        if new := bits & ~self._bits:
            self._bits |= new
            self._since.append((at, new))

    def take(self, index: int) -> None:
        """This one is left to nobody."""
        bit = 1 << index
        if self._bits & bit:
            self._bits ^= bit
            self._since = [(at, kept) for at, bits in self._since if (kept := bits & ~bit)]

    def overdue(self, patience: float, now: Instant) -> int:
        """Bits of those that are left for `patience` seconds, and for as long again."""
        out = 0
        for at, bits in self._since:
            if at + patience + patience <= now:
                out |= bits
        return out

    def first(self, among: int) -> Instant:
        """Since when the first of `among` is left; infinity when none is."""
        return min([at for at, bits in self._since if bits & among], default=float("inf"))
