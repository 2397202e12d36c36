"""Series and their readings: what a sensor said, in which unit, how long ago.

Clocks of small devices cannot be trusted, so the age of a reading is told by clocks that only count. An owner stamps
each reading with its uptime at the measurement. Whoever receives it at its own instant t knows that the owner's uptime
was at least that then, so the largest `uptime - t` heard lately is a lower bound of the difference between the two
clocks (the minimum-delay filter of NTP), and `uptime - difference` is the measurement on the receiver's clock, late by
the least delay of any recent entry: flush and network, well under a second, while any series of the owner is fresh.
So an age is never overstated, and a node that joins late and finds only old readings learns their true age as soon as
one fresh reading arrives, or at once by wall time where both clocks are trusted. Uptimes of different boots do not
compare: a reading from before a restart is at least as old as the news of the restart.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TypeAlias

from edgecache.model.errors import UsageError
from edgecache.model.instant import Instant, WallTime

SERIES_CHARS_MAX = 64
UNIT_CHARS_MAX = 16
TEXT_BYTES_MAX = 256
"""Of a value that is text, and of the reason of a failure."""

CLOCK_WINDOW = 600.0
"""Seconds for which the best difference of two clocks is kept: shorter follows drift and suspended devices faster,
longer bridges sources that are read seldom. At 50 ppm of drift it is 0.06 s. A guess."""

_SERIES = re.compile(r"[A-Za-z0-9][A-Za-z0-9_:.-]*(/[A-Za-z0-9_:.-]+)*\Z")

Value: TypeAlias = float | int | bool | str
"""What was measured; numbers are finite."""


def parse_series(text: str) -> str:
    """A series name from a user, a file or a peer; raises UsageError when it is none.

    The characters of SenML names (RFC 8428 section 4.5.1); besides, each part between slashes can be a path segment.
    """
    if len(text) > SERIES_CHARS_MAX or not _SERIES.match(text):
        raise UsageError(
            f"{text[: SERIES_CHARS_MAX + 1]!r} is not a series name",
            hint=f"up to {SERIES_CHARS_MAX} of A-Z a-z 0-9 - : . / _, the first a letter or a digit",
        )
    if any(part in (".", "..") for part in text.split("/")):
        raise UsageError(f"{text!r} is not a series name", hint="'.' and '..' may not stand between slashes")
    return text


@dataclass(frozen=True, slots=True)
class Reading:
    """One value of a series. `taken` is on the holder's clock; `wall` is the owner's, where trusted."""

    series: str
    value: Value
    unit: str
    taken: Instant
    wall: WallTime | None = None

    def age(self, now: Instant, wall_now: WallTime | None = None) -> float:
        """Seconds since the measurement, never overstated; give `wall_now` only where wall time is trusted."""
        return _age(self.taken, self.wall, now, wall_now)


@dataclass(frozen=True, slots=True)
class Failure:
    """A source could not be read: what stands in place of a reading until it can."""

    series: str
    reason: str
    taken: Instant
    wall: WallTime | None = None

    def age(self, now: Instant, wall_now: WallTime | None = None) -> float:
        """Seconds since the attempt, never overstated; give `wall_now` only where wall time is trusted."""
        return _age(self.taken, self.wall, now, wall_now)

    def __str__(self) -> str:
        return f"source failed: {self.reason}"


Observation: TypeAlias = Reading | Failure


def _age(taken: Instant, wall: WallTime | None, now: Instant, wall_now: WallTime | None) -> float:
    age = now - taken
    if wall is not None and wall_now is not None:
        age = max(age, wall_now - wall)
    return max(0.0, age)


@dataclass(frozen=True, slots=True)
class Stamp:
    """When an owner measured: which boot of it, its uptime in milliseconds, its wall time where trusted."""

    boot: int
    uptime_ms: int
    wall: WallTime | None = None


@dataclass(frozen=True, slots=True)
class OwnerClock:
    """What a receiver knows of one owner's uptime: from `first` entry on, `heard` again for each one received."""

    boot: int
    since: Instant
    """When this boot was first heard of."""
    window: Instant
    """When the present window began."""
    best: float
    """Largest uptime minus instant in the present window, in seconds."""
    before: float
    """The same in the window before."""

    @classmethod
    def first(cls, stamp: Stamp, now: Instant) -> OwnerClock:
        """From the first entry received."""
        ahead = stamp.uptime_ms / 1000 - now
        return cls(stamp.boot, now, now, ahead, ahead)

    def heard(self, stamp: Stamp, now: Instant) -> OwnerClock:
        """After one more entry, received now."""
        if stamp.boot > self.boot:
            return OwnerClock.first(stamp, now)
        if stamp.boot < self.boot:
            return self
        ahead = stamp.uptime_ms / 1000 - now
        if now - self.window > CLOCK_WINDOW:
            return replace(self, window=now, best=ahead, before=self.best)
        return replace(self, best=max(ahead, self.best))

    def taken(self, stamp: Stamp) -> Instant:
        """The instant, on the receiver's clock, by which what bears this stamp was measured."""
        if stamp.boot != self.boot:
            return self.since
        return stamp.uptime_ms / 1000 - max(self.best, self.before)
