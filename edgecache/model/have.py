"""The set of chunk indexes that somebody holds: an immutable bit set with a compact run-length form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator


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
        bits = 0
        for index in indexes:
            bits |= 1 << index
        return cls(bits)

    @classmethod
    def from_runs(cls, runs: Iterable[int]) -> HaveSet:
        """From alternating run lengths, beginning with the indexes that are absent."""
        bits, at, present = 0, 0, False
        for run in runs:
            if present:
                bits |= ((1 << run) - 1) << at
            at += run
            present = not present
        return cls(bits)

    def runs(self) -> list[int]:
        """Alternating run lengths, absent first; ends with a present run; empty for the empty set."""
        out: list[int] = []
        bits, present = self.bits, False
        while bits:
            probe = ~bits if present else bits
            length = (probe & -probe).bit_length() - 1
            out.append(length)
            bits >>= length
            present = not present
        return out

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
        bits = self.bits
        while bits:
            low = bits & -bits
            yield low.bit_length() - 1
            bits ^= low

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HaveSet) and self.bits == other.bits

    def __hash__(self) -> int:
        return hash(self.bits)

    def __repr__(self) -> str:
        return f"HaveSet({len(self)}:{self.runs()[:8]})"
