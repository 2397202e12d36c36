"""One direction of one link: delay samples in, a rate out.

Theory of operation. LEDBAT (RFC 6817) with a rate instead of a window, as our sending is paced. The queueing delay is
the least of the last few round trips less the least of the last minutes. Below the target the rate grows in proportion
to what is missing: fast up to what the link last carried (slow start of LEDBAT++), slowly beyond. Above the target it
falls in proportion to the excess (the multiplicative decrease of LEDBAT++, which an additive one with several flows
lacks), but for as long as the queue drains: what filled it is over. A link that is not in use teaches nothing, and its
rate stays.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from edgecache.core.yielding.config import YieldingConfig
from edgecache.model.instant import Instant

_MINUTE = 60.0


@dataclass(slots=True, eq=False)
class BaseDelay:
    """The least delay of the last minutes."""

    minutes: int
    _least: deque[tuple[int, float]] = field(default_factory=deque)

    def sample(self, delay: float, now: Instant) -> float:
        """Take one in; the least of all."""
        minute = int(now // _MINUTE)
        if self._least and self._least[-1][0] == minute:
            self._least[-1] = (minute, min(self._least[-1][1], delay))
        else:
            self._least.append((minute, delay))
        while self._least[0][0] <= minute - self.minutes:
            self._least.popleft()
        return min(least for _, least in self._least)


class RateControl:
    """The rate of one direction."""

    def __init__(self, config: YieldingConfig) -> None:
        self._config = config
        self.rate = config.start
        self.queueing = 0.0
        """Seconds that what we send waits in queues, as of the last sample."""
        self._base = BaseDelay(config.base_minutes)
        self._recent: deque[float] = deque(maxlen=config.filter)
        self._lately: deque[tuple[int, float]] = deque()
        """Bytes carried in the last intervals, and how long these were."""
        self._known_good = config.most
        self._congested = False
        self._queued = 0.0

    def known(self, delay: float, now: Instant) -> None:
        """The way was once as short as this."""
        self._base.sample(delay, now)

    def delayed(self, delay: float, now: Instant) -> None:
        """A round trip was measured."""
        self._recent.append(delay)
        self.queueing = max(0.0, min(self._recent) - self._base.sample(delay, now))

    def passed(self, size: int, seconds: float) -> None:
        """So many bytes were carried in the last so many seconds: set the rate for the next."""
        config = self._config
        if seconds <= 0 or not self._recent:
            return
        carried = self._carried(size, seconds)
        if carried < self.rate * config.idle_share:
            return
        steps = min(seconds / config.interval, 3.0)
        excess = self.queueing / config.target - 1
        draining = self.queueing < self._queued - config.draining
        self._queued = self.queueing
        if excess > 0:
            if not self._congested:
                self.rate = min(self.rate, carried)
                self._known_good = self._remembered(self.rate)
            self._congested = True
            if not draining:
                self.rate *= (1 - min(config.cut * excess, config.cut_most)) ** steps
        else:
            self._congested = False
            growth = config.ramp if self.rate < self._known_good * 0.9 else config.probe
            self.rate *= (1 - growth * excess) ** steps
            self.rate = min(self.rate, max(carried * config.headroom, config.start))
        self.rate = min(max(self.rate, config.least), config.most)

    def _remembered(self, rate: float) -> float:
        """What the link can carry: this, or what it was before somebody else came, forgotten little by little."""
        return rate if self._known_good >= self._config.most else max(rate, self._known_good * self._config.memory)

    def _carried(self, size: int, seconds: float) -> float:
        """Bytes a second that were carried lately."""
        lately = self._lately
        lately.append((size, seconds))
        total = sum(span for _, span in lately)
        while len(lately) > 1 and total - lately[0][1] >= self._config.lately:
            total -= lately.popleft()[1]
        return sum(part for part, _ in lately) / total
