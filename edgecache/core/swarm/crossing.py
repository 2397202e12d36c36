"""The way to other sites, as one source: how much may be under way over it.

Theory of operation. Holders in other sites mostly share one narrow link, so asking more of them at once brings nothing
sooner; it only makes each of us commit to more chunks ahead, and those that fellows in our site commit to at the same
time cross twice. So all holders elsewhere have one window together, a little more than the bandwidth-delay product of
what they deliver together: where they do not share a link it grows to what each of them can give. "A little" is one
chunk, divided among those of our site who fetch: they queue for the same link, and of many streams in a short queue
some get nothing for seconds, until they are given up, or asked for by a fellow as well.
"""

from __future__ import annotations

from edgecache.core.swarm.config import SwarmConfig
from edgecache.core.swarm.scoring import Goodput, Peer
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.instant import Instant


class Crossing:
    """Bytes that we wait for from other sites, and the rate at which they come."""

    def __init__(self, config: SwarmConfig) -> None:
        self._config = config
        self._goodput = Goodput(config.crossing_span, config.far_prior)
        self._requests = 0
        self._queued = 0

    def has_room(self, peer: Peer, handling: float, askers: int) -> bool:
        """Whether one more chunk may be asked of this peer, as far as borders go, when so many of our site fetch."""
        if not self._requests or not peer.elsewhere:
            return True
        config = self._config
        if not self._goodput.measured:
            return self._queued < CHUNK_BYTES / askers
        pipe = config.window_gain * self._goodput.rate * (peer.rtt + config.window_slack + handling)
        return self._queued < min(pipe + CHUNK_BYTES / askers, config.window_bytes_max)

    def asked(self, size: int, now: Instant) -> None:
        """A chunk is asked of another site."""
        self._goodput.begin(now)
        self._requests += 1
        self._queued += size

    def delivered(self, size: int, now: Instant) -> None:
        """Bytes of one came."""
        self._queued -= size
        self._goodput.delivered(size, now)

    def released(self, rest: int, now: Instant) -> None:
        """Such a request ended; `rest` bytes will not come."""
        self._requests -= 1
        self._queued -= rest
        if not self._requests:
            self._goodput.end(now)
