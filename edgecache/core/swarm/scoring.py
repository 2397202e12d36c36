"""Which peer: what is known of each linked peer's speed, and the choice among several that hold a chunk.

Theory of operation. Goodput is a delivery rate: bytes that arrived over an interval in which something was asked for,
so that our own queueing at a peer does not look like slowness. From it follow the window (a little more than the
bandwidth-delay product), the unit size, the time-out and the expected finish of one more chunk:
(bytes we wait for + its own) / goodput + round trip. Two holders are drawn at random and the better one is asked
(power of two choices, Mitzenmacher 2001): nobody's estimate has to be right, and leechers do not stampede.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgecache.core.swarm.claims import Claims
from edgecache.core.swarm.config import SwarmConfig
from edgecache.core.swarm.lateness import Lateness
from edgecache.model.content import CHUNK_BYTES, LARGE_CHUNK_BYTES, unit_bytes
from edgecache.model.ids import BlobId, NodeId
from edgecache.model.instant import Instant
from edgecache.model.priority import Priority

if TYPE_CHECKING:
    from random import Random

LAST_TIERS = 3
"""Added to the locality tier of a peer that serves last: beyond those of all others."""

SHARED_UNIT = CHUNK_BYTES // 2
"""Units are not made larger than this because others share what a peer gives. With whole chunks, real agents, 8 nodes,
were done after 1.30 times size / rate instead of 1.25. Where our processor is short they may be whole chunks: on half
of one core that is 3 % faster, with 7 % less CPU."""

_SHORTEST = 1e-6
"""Intervals are at least this, so that a simulated instant delivery divides."""

_SLOWEST, _FASTEST = 1.0, 1e10
"""Rates beyond these say nothing."""


@dataclass(slots=True, eq=False)
class Goodput:
    """A delivery rate over the time in which something was under way, smoothed by busy time."""

    span: float
    rate: float
    """Bytes a second; an assumption until something was measured."""
    measured: bool = False
    _since: Instant | None = None
    _bytes: int = 0

    def begin(self, now: Instant) -> None:
        """Something is asked for; nothing changes when something already was."""
        if self._since is None:
            self._since, self._bytes = now, 0

    def delivered(self, size: int, now: Instant) -> None:
        """So many bytes arrived."""
        self._bytes += size
        if self._since is not None and now - self._since >= self.span:
            self._sample(now)

    def end(self, now: Instant) -> None:
        """Nothing is under way any more."""
        if self._bytes:
            self._sample(now)
        self._since = None

    def punish(self, limit: float) -> None:
        """Nothing came for a whole time-out: the rate was at most `limit`."""
        self.rate = max(min(self.rate / 2, limit), _SLOWEST)
        self._bytes = 0

    def _sample(self, now: Instant) -> None:
        assert self._since is not None
        seconds = max(now - self._since, _SHORTEST)
        rate = min(max(self._bytes / seconds, _SLOWEST), _FASTEST)
        self.rate += (rate - self.rate) * (seconds / (seconds + self.span) if self.measured else 1.0)
        self.measured = True
        self._since, self._bytes = now, 0


@dataclass(slots=True, eq=False)
class Peer:
    """A linked peer, as a source of chunks of any blob."""

    node: NodeId
    tier: int
    rtt: float
    slots: int
    """Chunk requests that it accepts at once."""
    config: SwarmConfig
    goodput: Goodput
    requests: int = 0
    queued: int = 0
    """Bytes that we wait for from it."""
    strikes: int = 0
    denials: int = 0
    failing_since: Instant = float("inf")
    """When it first failed or refused since it last did what was asked."""
    cool_until: Instant = float("-inf")
    updates_cool_until: Instant = float("-inf")
    """The same for updates: in quiet hours a peer that refuses everything else serves them."""
    busy: bool = False
    used: Instant = float("-inf")
    heard: Instant = float("-inf")
    """When bytes of it last came."""
    refused_until: Instant = float("-inf")
    """It said that it serves nothing before."""
    lateness: Lateness = field(default_factory=Lateness)
    blobs: dict[BlobId, None] = field(default_factory=dict)
    """Blobs that it is a neighbour of."""

    def expected(self, size: int) -> float:
        """Seconds until `size` more bytes would be here."""
        return (self.queued + size) / self.goodput.rate + self.rtt

    def window(self, handling: float) -> float:
        """Bytes that we may wait for before another chunk is asked for; `handling` seconds pass here after the last
        byte."""
        goodput, config = self.goodput, self.config
        if not goodput.measured:
            return CHUNK_BYTES
        pipe = config.window_gain * goodput.rate * (self.rtt + config.window_slack + handling)
        window = pipe + (CHUNK_BYTES if self.tier >= 2 else CHUNK_BYTES / 2)
        return window if window < config.window_bytes_max else config.window_bytes_max

    @property
    def elsewhere(self) -> bool:
        """Whether bytes of it cross a site border."""
        return self.tier % LAST_TIERS >= 2

    def resting_until(self, priority: Priority) -> Instant:
        """Until when it is left alone by fetches of this class."""
        return self.updates_cool_until if priority is Priority.OTA else self.cool_until

    def cooling(self, now: Instant) -> bool:
        """Whether it is left alone for now."""
        return now < self.cool_until

    def has_room(self, handling: float) -> bool:
        """Whether one more chunk may be asked of it."""
        if not self.requests:
            return True
        return self.requests < self.slots and self.queued < self.window(handling)

    def unit(self, askers: int = 1, shared: int = SHARED_UNIT) -> int:
        """Size of the units in which it is asked for a chunk, a power of two, when so many may share what it gives;
        not more than `shared` for that reason."""
        config = self.config
        if self.goodput.rate * config.large_unit_time >= LARGE_CHUNK_BYTES:
            return LARGE_CHUNK_BYTES
        alone = unit_bytes(self.goodput.rate * config.unit_time, config.unit_min)
        if alone >= shared:
            return alone
        return max(alone, min(unit_bytes(self.goodput.rate * askers * config.unit_time, config.unit_min), shared))

    def timeout(self, unit: int) -> float:
        """Seconds that a unit may take, asked for now."""
        config = self.config
        return min(max(config.timeout_factor * self.expected(unit), config.timeout_min), config.timeout_max)

    def asked(self, size: int, now: Instant) -> None:
        """A chunk of `size` bytes is asked of it."""
        self.goodput.begin(now)
        self.requests += 1
        self.queued += size
        self.used = now

    def delivered(self, size: int, now: Instant) -> None:
        """`size` bytes of what was asked for arrived."""
        self.queued -= size
        self.goodput.delivered(size, now)
        self.used = self.heard = now

    def released(self, rest: int, now: Instant) -> None:
        """A request ended, `rest` bytes of it will not come."""
        self.requests -= 1
        self.queued -= rest
        if not self.requests:
            self.goodput.end(now)

    def well(self) -> None:
        """It did what was asked."""
        self.strikes = self.denials = 0
        self.failing_since = float("inf")

    def rest(self, seconds: float, now: Instant, *, spare_updates: bool = False) -> None:
        """Leave it alone for so long, at least; perhaps but for updates."""
        self.failing_since = min(self.failing_since, now)
        self.cool_until = max(self.cool_until, now + seconds)
        if not spare_updates:
            self.updates_cool_until = max(self.updates_cool_until, now + seconds)

    def strike(self, now: Instant, limit: float = _FASTEST) -> None:
        """It failed us, and delivered at most `limit` bytes a second: demoted, and left alone for longer each time in
        a row."""
        self.goodput.punish(limit)
        self.rest(min(self.config.cool_min * 2.0**self.strikes, self.config.cool_max), now)
        self.strikes = min(self.strikes + 1, 16)


@dataclass(slots=True, eq=False)
class Neighbour:
    """A linked peer in the swarm of one blob."""

    peer: Peer
    have: int = 0
    """Bits of the chunks that it claims."""
    whole: bool = False
    heard: bool = False
    """Its whole have-set has come over this link."""
    wanting: bool = False
    """It wants to hear what we get."""
    coming: Claims = field(default_factory=Claims)
    """Chunks that, as it says, are under way to it, or if it holds all: from it to others; and since when."""
    promised: bool = False
    """A chunk is being taken back from somebody else to be asked of it."""
    told_at: Instant | None = None
    """When it last got our whole have-set."""
    requests: int = 0

    @property
    def fellow(self) -> bool:
        """Whether it fetches the same blob in our site: we share out what neither has."""
        return self.wanting and self.peer.tier < 2

    def score(self, size: int, bias: float) -> float:
        """Expected finish; complete holders count as `bias` times slower, to be spared for what only they have, and who
        was never tried is tried next (optimism in the face of uncertainty)."""
        peer = self.peer
        if not peer.goodput.measured and not peer.requests:
            return 0.0
        seconds = (peer.queued + size) / peer.goodput.rate + peer.rtt
        return seconds * bias if self.whole else seconds


def choose(holders: Sequence[Neighbour], size: int, bias: float, rng: Random, exploration: float) -> Neighbour:
    """Whom of several holders of a chunk to ask for it; `holders` must not be empty."""
    if len(holders) == 1:
        return holders[0]
    first = rng.randrange(len(holders))
    if rng.random() < exploration:
        return holders[first]
    second = rng.randrange(len(holders) - 1)
    second += second >= first
    one, other = holders[first], holders[second]
    return one if one.score(size, bias) <= other.score(size, bias) else other
