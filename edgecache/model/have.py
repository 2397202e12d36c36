"""The set of chunk indexes that somebody holds: an immutable bit set with a compact run-length form."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import accumulate, pairwise

_NOT_ZERO = re.compile(rb"[^\0]")
"""Finds the bytes with bits in them at the speed of C, so that long empty stretches cost little."""


class HaveSet:
    """Chunk indexes as the bits of one integer: union, difference and count are single operations."""

    __slots__ = ("bits",)

    def __init__(self, bits: int = 0) -> None:
        self.bits = bits

    @classmethod
    def full(cls, count: int) -> HaveSet:
        """All of 0..count-1."""
        return cls((1 << count) - 1)

    @classmethod
    def of(cls, indexes: Iterable[int]) -> HaveSet:
        """Exactly these indexes."""
        chosen = list(indexes)
        if chosen and min(chosen) < 0:
            raise IndexError("a chunk index is not negative")
        bitmap = bytearray(max(chosen, default=-1) // 8 + 1)
        for index in chosen:
            bitmap[index >> 3] |= 1 << (index & 7)
        return cls(int.from_bytes(bitmap, "little"))

    @classmethod
    def from_runs(cls, runs: Iterable[int]) -> HaveSet:
        """From alternating run lengths, beginning with the indexes that are absent; only the first may be 0."""
        turns = list(accumulate(runs))
        if len(turns) == 2:
            return cls((1 << turns[1]) - (1 << turns[0]))
        end = turns[-1] if turns else 0
        bits, shift = cls.of(turns).bits, 1
        while shift <= end:  # a bit becomes the parity of all turns up to it
            bits ^= bits << shift
            shift *= 2
        return cls(bits & ((1 << end) - 1))

    def runs(self) -> list[int]:
        """Alternating run lengths, absent first; ends with a present run; empty for the empty set."""
        low = self.bits & -self.bits
        if not (self.bits + low) & self.bits:  # one run, as news mostly are, or none
            return [low.bit_length() - 1, self.bits.bit_count()] if low else []
        turns = list(HaveSet(self.bits ^ self.bits << 1))
        return turns[:1] + [after - before for before, after in pairwise(turns)]

    def with_index(self, index: int) -> HaveSet:
        """This set and `index`."""
        return HaveSet(self.bits | 1 << index)

    def without(self, index: int) -> HaveSet:
        """This set but for `index`."""
        return HaveSet(self.bits & ~(1 << index))

    def missing(self, count: int) -> HaveSet:
        """What of 0..count-1 is not here."""
        return HaveSet(((1 << count) - 1) & ~self.bits)

    def __contains__(self, index: int) -> bool:
        return bool(self.bits >> index & 1)

    def __or__(self, other: HaveSet) -> HaveSet:
        return HaveSet(self.bits | other.bits)

    def __and__(self, other: HaveSet) -> HaveSet:
        return HaveSet(self.bits & other.bits)

    def __sub__(self, other: HaveSet) -> HaveSet:
        return HaveSet(self.bits & ~other.bits)

    def __len__(self) -> int:
        return self.bits.bit_count()

    def __bool__(self) -> bool:
        return bool(self.bits)

    def __iter__(self) -> Iterator[int]:
        raw = self.bits.to_bytes((self.bits.bit_length() + 7) // 8, "little")
        for found in _NOT_ZERO.finditer(raw):
            at, left = found.start(), raw[found.start()]
            while left:
                low = left & -left
                yield 8 * at + low.bit_length() - 1
                left ^= low

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HaveSet) and self.bits == other.bits

    def __hash__(self) -> int:
        return hash(self.bits)

    def __repr__(self) -> str:
        return f"HaveSet({len(self)}:{self.runs()[:8]})"
