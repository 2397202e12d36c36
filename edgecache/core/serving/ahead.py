"""One asker after another: how much may be granted before what was granted has left.

Theory of operation. Whatever is in progress shares the uplink. With n askers served at once nobody has a whole chunk
before n chunk times, and nobody can pass one on meanwhile; n connections fill the queue before the uplink together, and
what overflows is sent twice. So only little is granted ahead of what has left: `ahead_bytes`, and what leaves in a
moment, which keeps a fast uplink busy. What has been in progress for long waits for a slow reader or a lossy path, not
for the uplink, and does not count.
"""

from __future__ import annotations

from collections import OrderedDict

from edgecache.core.serving.config import ServingConfig
from edgecache.core.vocabulary import RequestId
from edgecache.model.instant import Instant


class Ahead:
    """Units that were granted lately and have not left."""

    def __init__(self, config: ServingConfig) -> None:
        self._config = config
        self._units: OrderedDict[RequestId, tuple[Instant, int]] = OrderedDict()
        """When each stops to count, and its bytes; oldest first."""
        self._bytes = 0
        self._recent = 0.0
        """Bytes that have left, halved every `ahead_time`."""
        self._at: Instant = 0.0

    def room(self, now: Instant) -> float:
        """Bytes that may be granted now: without end when nothing is in progress."""
        while self._units:
            request, (until, _) = next(iter(self._units.items()))
            if until > now:
                return self._config.ahead_bytes + self._leaving(now) - self._bytes
            self.ended(request)
        return float("inf")

    def wait(self, now: Instant) -> float:
        """Seconds until there is more room, if nothing leaves before; something must be in progress."""
        return next(iter(self._units.values()))[0] - now

    def granted(self, request: RequestId, size: int, now: Instant) -> None:
        """A unit is in progress."""
        self._units[request] = (now + self._config.stalled_after, size)
        self._bytes += size

    def ended(self, request: RequestId) -> None:
        """It has left, or never will."""
        unit = self._units.pop(request, None)
        if unit is not None:
            self._bytes -= unit[1]

    def sent(self, size: int, now: Instant) -> None:
        """So many bytes have left."""
        self._recent = self._leaving(now) + size
        self._at = now

    def _leaving(self, now: Instant) -> float:
        return self._recent * float(0.5 ** ((now - self._at) / self._config.ahead_time))
