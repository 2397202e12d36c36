"""Quiet hours: local time becomes instants of the core."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

from edgecache.config.hours import Period, left_of
from edgecache.core import vocabulary as v
from edgecache.daemon.engine import Engine
from edgecache.model.instant import WallTime

LOOK_INTERVAL = 5.0
"""How often the clock is looked at: it may be set, become trusted, or change to summer time."""

STEP = 2.0
"""A change of the end by more than this is told: the clock was set."""


class QuietHours:
    """Tells the core when quiet hours begin and end, by a clock that is trusted."""

    def __init__(self, driver: Engine, periods: Sequence[Period]) -> None:
        self._driver, self._periods = driver, periods
        self._until: float | None = None

    def view(self) -> dict[str, object]:
        """For `status`."""
        left = self._left()
        return {
            "hours": [str(period) for period in self._periods],
            "now": bool(left),
            "ends_in": round(left) if left else None,
            "clock_trusted": self._driver.clock.wall_trusted(),
        }

    def _left(self) -> float:
        """Seconds that quiet hours still last; 0 when there are none now, or nobody knows what time it is."""
        clock = self._driver.clock
        return left_of(self._periods, second_of_day(clock.wall())) if clock.wall_trusted() else 0.0

    def look(self) -> None:
        """Tell the core if something changed."""
        left = self._left()
        until = self._driver.clock.now() + left if left else None
        before, self._until = self._until, until
        moved = until is not None and before is not None and abs(until - before) > STEP
        if moved or (until is None) is not (before is None):
            self._driver.post(v.QuietChanged(until))
        elif before is not None:
            self._until = before

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            left = self._left()
            await asyncio.sleep(min(LOOK_INTERVAL, left) if left else LOOK_INTERVAL)


def second_of_day(wall: WallTime) -> float:
    """Of the local day."""
    local = datetime.fromtimestamp(wall)
    return local.hour * 3600 + local.minute * 60 + local.second + local.microsecond / 1e6
