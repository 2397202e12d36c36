"""Token buckets: so many a second, so many at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class TokenBucket:
    """`burst` at once, `rate` a second after that."""

    __slots__ = ("_burst", "_last", "_level", "_rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate, self._burst = rate, burst
        self._level, self._last = burst, now

    def take(self, now: float) -> bool:
        """Take one token; False when there is none."""
        self._level = min(self._burst, self._level + (now - self._last) * self._rate)
        self._last = now
        if self._level < 1.0:
            return False
        self._level -= 1.0
        return True


class Buckets(Generic[K]):
    """A bucket per key, for the most recent `keys_max` keys."""

    def __init__(self, rate: float, burst: float, keys_max: int) -> None:
        self._rate, self._burst, self._keys_max = rate, burst, keys_max
        self._buckets: OrderedDict[K, TokenBucket] = OrderedDict()

    def take(self, key: K, now: float) -> bool:
        """Take a token of this key."""
        bucket = self._buckets.pop(key, None) or TokenBucket(self._rate, self._burst, now)
        self._buckets[key] = bucket
        if len(self._buckets) > self._keys_max:
            self._buckets.popitem(last=False)
        return bucket.take(now)
