"""Hours of the day."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from edgecache.config.kinds import BadValue

DAY = 86400.0
"""Seconds. On the two days of a year on which this is not so, hours move when the clock does."""

_TIME = r"([01]?[0-9]|2[0-3]):([0-5][0-9])"
_PERIOD = re.compile(f"{_TIME} ?- ?{_TIME}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """Part of every day, in minutes since midnight by local time; one that ends before it begins passes midnight."""

    begin: int
    end: int

    def __str__(self) -> str:
        return "-".join(f"{minute // 60:02}:{minute % 60:02}" for minute in (self.begin, self.end))

    def left(self, second: float) -> float:
        """Seconds until it ends, at this second of the day; 0 outside."""
        since = (second - self.begin * 60) % DAY
        length = (self.end - self.begin) * 60 % DAY
        return max(0.0, length - since)


def left_of(periods: Iterable[Period], second: float) -> float:
    """Seconds until the last of the periods that follow each other without a gap ends, at this second of the day; at
    most a day; 0 outside of all."""
    total, several = 0.0, list(periods)
    for _ in range(len(several) + 1):
        longest = max((period.left((second + total) % DAY) for period in several), default=0.0)
        total += longest
        if not longest or total >= DAY:
            break
    return min(total, DAY)


@dataclass(frozen=True)
class HoursOfDay:
    """A period like `22:00-06:00`; may stand alone where a list of them is meant."""

    title: ClassVar[str] = "hours"
    alone: ClassVar[bool] = True

    def parse(self, text: str) -> Period:
        """The period."""
        found = _PERIOD.fullmatch(text)
        if found is None:
            raise BadValue(f"{text!r} are not hours of the day", "write them like 22:00-06:00")
        begin, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
        if begin == end:
            raise BadValue(f"{text!r} begins when it ends", "for the whole day write 00:00-12:00 and 12:00-00:00")
        return Period(begin, end)

    def render(self, value: object) -> str:
        """Four digits each."""
        return str(value)

    def json_schema(self) -> dict[str, object]:
        """A string."""
        clock = "([01]?[0-9]|2[0-3]):[0-5][0-9]"
        return {"type": "string", "pattern": f"^{clock} ?- ?{clock}$", "examples": ["22:00-06:00"]}
