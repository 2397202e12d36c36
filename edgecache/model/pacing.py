"""Token buckets: a rate limit over bytes, as pure arithmetic on instants."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edgecache.model.instant import Instant

WIRE_FACTOR = 1514 / 1448 * (1 + 22 / 16384)
"""Bytes in Ethernet frames for each byte of a chunk: 1,448 of TCP in frames of 1,514, a TLS record around 16 KiB."""

REQUEST_WIRE_BYTES = 160
"""What a unit costs beside its bytes, on the side that answers: CoAP's head, TLS, a last frame that is not full."""

_ROUNDING = 1.0
"""A level within one byte of zero counts as zero, so that a timer set for that moment is never too early."""


def wire_bytes(size: int) -> float:
    """What a unit of so many bytes takes on the link, headers included (Ethernet, IPv4; jumbo frames take less)."""
    return size * WIRE_FACTOR + REQUEST_WIRE_BYTES


@dataclass(frozen=True, slots=True)
class TokenBucket:
    """Allows `rate` bytes a second (0: unlimited), `burst` saved at most; one item may overdraw it."""

    rate: float
    burst: float
    level: float = 0.0
    at: Instant = 0.0

    def _level(self, now: Instant) -> float:
        return min(self.burst, self.level + max(0.0, now - self.at) * self.rate)

    def wait(self, now: Instant) -> float:
        """Seconds until something may be taken; 0 when it may be now."""
        if not self.rate:
            return 0.0
        level = self._level(now)
        return 0.0 if level > -_ROUNDING else -level / self.rate

    def at_rate(self, rate: float, burst: float, now: Instant) -> TokenBucket:
        """The bucket with another rate from now on."""
        return TokenBucket(rate, burst, min(burst, self._level(now)), now)

    def take(self, amount: float, now: Instant) -> TokenBucket:
        """The bucket after `amount` bytes; a negative amount gives back what was not used."""
        if not self.rate:
            return self
        return replace(self, level=min(self.burst, self._level(now) - amount), at=now)
