"""The virtual world: one clock, one heap of what is to happen, one root seed."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from random import Random
from typing import Any

from edgecache.model.instant import Instant

Action = Callable[..., None]


class World:
    """Runs actions in the order of (time, sequence): what was scheduled first happens first among equals."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now: Instant = 0.0
        self.steps = 0
        self._sequence = 0
        self._heap: list[tuple[Instant, int, Action, tuple[Any, ...]]] = []

    def at(self, time: Instant, action: Action, *arguments: Any) -> None:
        """Do `action` at `time`; the past is now."""
        self._sequence += 1
        heapq.heappush(self._heap, (max(time, self.now), self._sequence, action, arguments))

    def after(self, delay: float, action: Action, *arguments: Any) -> None:
        """Do `action` `delay` seconds from now."""
        self.at(self.now + delay, action, *arguments)

    def fork(self, name: str) -> Random:
        """A stream of random numbers of its own: the same for the same seed and name."""
        return Random(f"{self.seed}/{name}")

    def step(self, until: Instant) -> bool:
        """Do the next thing due by `until`; False when there is none, and then it is `until`."""
        if not self._heap or self._heap[0][0] > until:
            self.now = max(self.now, until)
            return False
        self.now, _, action, arguments = heapq.heappop(self._heap)
        self.steps += 1
        action(*arguments)
        return True

    def run(self, until: Instant) -> None:
        """Everything that is due by `until`."""
        while self.step(until):
            pass
