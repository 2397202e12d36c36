"""Which chunk: rarest first among what can be had; among equals at random, or in order where nobody else fetches.

Theory of operation. All sets of chunks are bits of one integer, so that union, difference and count cost one pass over
a few hundred machine words, and nothing ever walks over all chunks. How many neighbours hold each chunk is counted in
the same way: plane j holds bit j of every chunk's count ("bit-sliced"), so that one more holder is a ripple-carry
addition over log2(neighbours) planes, and the rarest of a set are found by one descent from the highest plane.
Leechers that begin together would ask the publisher for the same chunks. What none of them has is therefore shared
out: each takes its own part, by its rank among those that want the blob, in an order that the others can foretell.
Whoever is done with its own helps with the others', but for those that they say to have under way, and each helper
begins at another place. Nobody depends on the others agreeing about that; where they do, the publisher sends each chunk
once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecache.model.content import BlobInfo
from edgecache.model.ids import NodeId

if TYPE_CHECKING:
    from random import Random


def nth_bit(bits: int, nth: int) -> int:
    """Index of the `nth` (from 0) set bit; there must be more than `nth`."""
    at, width = 0, bits.bit_length()
    while width > 1:
        half = width >> 1
        low = bits & ((1 << half) - 1)
        count = low.bit_count()
        if nth < count:
            bits, width = low, half
        else:
            nth -= count
            bits >>= half
            at += half
            width -= half
    return at


def random_bit(bits: int, rng: Random) -> int:
    """Index of one set bit, each with the same probability; `bits` must not be 0."""
    return nth_bit(bits, rng.randrange(bits.bit_count()))


def lowest_bit(bits: int) -> int:
    """Index of the lowest set bit; `bits` must not be 0."""
    return (bits & -bits).bit_length() - 1


def bit_indexes(bits: int, most: int) -> tuple[int, ...]:
    """The lowest `most` set bits."""
    out: list[int] = []
    while bits and len(out) < most:
        low = bits & -bits
        out.append(low.bit_length() - 1)
        bits ^= low
    return tuple(out)


@dataclass(frozen=True, slots=True)
class Share:
    """One leecher's part of a blob: chunks low..high-1, taken from `first` on and then from `low`."""

    low: int
    high: int
    first: int

    def next(self, among: int) -> int | None:
        """The next chunk of `among` that this leecher would take, None when its part has none of them."""
        mine = among & ((1 << self.high) - (1 << self.low))
        if not mine:
            return None
        later = mine >> self.first
        return self.first + lowest_bit(later) if later else lowest_bit(mine)


def share_out(count: int, leechers: Sequence[NodeId]) -> list[Share]:
    """Equal parts of `count` chunks for these leechers (in an order that all of them see); where each begins follows
    from its id, so that two that do not know of each other still take different chunks."""
    shares = []
    for rank, node in enumerate(leechers):
        low, high = rank * count // len(leechers), (rank + 1) * count // len(leechers)
        shares.append(Share(low, high, low + int(node[1:8], 36) % max(high - low, 1)))
    return shares


class Rarity:
    """For each chunk, how many neighbours hold it; bit-sliced."""

    __slots__ = ("_planes",)

    def __init__(self) -> None:
        self._planes: list[int] = []

    def add(self, bits: int) -> None:
        """One more neighbour holds each of `bits`."""
        planes = self._planes
        for level, plane in enumerate(planes):
            if not bits:
                return
            planes[level] = plane ^ bits
            bits &= plane
        if bits:
            planes.append(bits)

    def remove(self, bits: int) -> None:
        """One neighbour less holds each of `bits`, which must have been added before."""
        planes = self._planes
        for level, plane in enumerate(planes):
            if not bits:
                return
            planes[level] = plane ^ bits
            bits &= ~plane
        assert not bits, "a chunk was taken from a neighbour that did not hold it"

    def held(self) -> int:
        """Chunks that at least one neighbour holds."""
        out = 0
        for plane in self._planes:
            out |= plane
        return out

    def rarest(self, among: int) -> int:
        """Those of `among` that the fewest neighbours hold."""
        for plane in reversed(self._planes):
            fewer = among & ~plane
            if fewer:
                among = fewer
        return among

    def count(self, index: int) -> int:
        """How many neighbours hold chunk `index`."""
        return sum((plane >> index & 1) << level for level, plane in enumerate(self._planes))


class Picker:
    """The chunks of one blob that is being fetched: which are here, asked for, or to be asked for."""

    __slots__ = ("all", "covered", "flying", "have", "info", "rank", "rarity", "shares", "todo")

    def __init__(self, info: BlobInfo, have: int) -> None:
        self.info = info
        self.all = (1 << info.chunks) - 1
        self.have = have & self.all
        self.covered = 0
        """Chunks whose manifest page is here: only these can be verified."""
        self.flying = 0
        self.todo = 0
        """Covered, not here and not asked for."""
        self.shares: list[Share] = []
        """Parts of the leechers that know of each other, ourselves included; ours is that of `rank`."""
        self.rank = 0
        self.rarity = Rarity()

    @property
    def askers(self) -> int:
        """How many of our site fetch it, ourselves included."""
        return max(len(self.shares), 1)

    @property
    def missing(self) -> int:
        """Chunks that are not here."""
        return self.all & ~self.have

    def cover(self, chunks: range) -> None:
        """A manifest page is here, and lists these chunks."""
        self.covered |= (1 << chunks.stop) - (1 << chunks.start)
        self._review()

    def asked(self, index: int) -> None:
        """Chunk `index` is asked of somebody."""
        bit = 1 << index
        self.flying |= bit
        self.todo &= ~bit

    def stored(self, index: int) -> None:
        """Chunk `index` is here."""
        bit = 1 << index
        self.have |= bit
        self.flying &= ~bit
        self.todo &= ~bit

    def failed(self, index: int) -> None:
        """Nobody is asked for chunk `index` any more, and it did not come."""
        self.flying &= ~(1 << index)
        self._review()

    def obtainable(self) -> int:
        """Chunks to be asked for that somebody holds."""
        return self.todo & self.rarity.held()

    def nowhere(self) -> int:
        """Missing chunks that no neighbour holds and nobody is asked for."""
        return self.missing & ~self.flying & ~self.rarity.held()

    def pick(self, among: int, rng: Random, random_first: int = 0) -> int | None:
        """One of `among` that is to be asked for, None when there is none: any of the rarest; the first of them when
        nobody else fetches the blob, so that the whole can be hashed as it comes."""
        among &= self.todo
        if not among:
            return None
        alone = len(self.shares) < 2
        if alone or self.have.bit_count() >= random_first:
            among = self.rarity.rarest(among)
        return lowest_bit(among) if alone else random_bit(among, rng)

    def own(self, among: int) -> int | None:
        """The next of `among` in our share, if there are others to share with."""
        return self.shares[self.rank].next(among & self.todo) if len(self.shares) > 1 else None

    def pick_for_others(self, among: int, rng: Random) -> int | None:
        """One of `among` that is to be asked for, in our place among those who help."""
        among &= self.todo
        if not among or len(self.shares) < 2:
            return self.pick(among, rng)
        where = (self.rank + rng.random()) / len(self.shares)
        return nth_bit(among, int(where * among.bit_count()))

    def _review(self) -> None:
        self.todo = self.covered & ~self.have & ~self.flying
