"""Whose unit is next: classes in strict order but for a small share of the lower ones, deficit round-robin in each.

Theory of operation. Each asker has a line for each class that it asks in. Within a class, lines take turns; a turn adds
quantum times weight to a line's deficit, and a line is served while its deficit lasts (Shreedhar and Varghese 1995).
For each byte granted to a class, every lower class that waits earns `lower_share` of a byte; one that has earned a
chunk goes first once. What one class cannot use, because its askers have enough in progress, goes to the next.
Within a class, chunks that were begun and those that nobody was given go before others of the same blob (given.py);
their bytes are taken from the deficit of whoever got them, which is bounded: shares and weights bend to that.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from edgecache.core.serving.config import ServingConfig
from edgecache.core.serving.given import Given
from edgecache.core.vocabulary import UnitAsked
from edgecache.model.content import CHUNK_BYTES, LARGE_CHUNK_BYTES
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant
from edgecache.model.priority import Priority

_CLASSES = tuple(Priority)
"""The most urgent first."""


@dataclass(slots=True, eq=False)
class Line:
    """Units of one asker in one class that wait, first come first served."""

    asker: Asker
    units: deque[UnitAsked] = field(default_factory=deque)
    deficit: float = 0.0
    """Kept when the line is empty for a moment, as it is between an answer and the next question."""


@dataclass(slots=True, eq=False)
class Asker:
    """A linked peer that asked us for something lately."""

    node: NodeId
    lines: dict[Priority, Line] = field(default_factory=dict)
    granted: int = 0
    bytes: int = 0
    """Of what is granted."""
    used: Instant = 0.0
    waiting: int = 0
    """Units in its lines; `Turns` counts them."""

    def units(self) -> Iterator[UnitAsked]:
        """All that wait, the most urgent class first."""
        for priority in sorted(self.lines):
            yield from self.lines[priority].units


class Turns:
    """The lines that wait."""

    def __init__(self, config: ServingConfig, weight: Callable[[NodeId], float]) -> None:
        """`weight` is what an asker gets in a round relative to others, at most `weight_max`, never 0."""
        self._config, self._weight = config, weight
        self._rings: dict[Priority, deque[Line]] = {priority: deque() for priority in Priority}
        self._given = Given(config)
        self._least = -float(config.passed_over_max * config.quantum)
        """A line owes no more than this."""
        self._passed_over = dict.fromkeys(Priority, 0)
        """Grants in a row, of each class, that were not for whom it was the turn of."""
        self._earned: dict[Priority, float] = dict.fromkeys(Priority, 0.0)

    def add(self, asker: Asker, unit: UnitAsked) -> None:
        """A unit waits."""
        line = asker.lines.get(unit.priority)
        if line is None:
            line = asker.lines[unit.priority] = Line(asker)
        if not line.units:
            self._rings[unit.priority].append(line)
        line.units.append(unit)
        asker.waiting += 1

    def remove(self, asker: Asker, unit: UnitAsked) -> None:
        """A unit waits no more."""
        line = asker.lines[unit.priority]
        line.units.remove(unit)
        asker.waiting -= 1
        self._leave_if_empty(unit.priority, line)

    def next(self, fits: Callable[[Asker, int], bool]) -> UnitAsked | None:
        """The unit to serve now, of an asker for whom one of its size fits; None when nobody's does."""
        for priority in self._order():
            line = self._turn(self._rings[priority], fits)
            if line is not None:
                return self._worthier(priority, line, fits) or line.units[0]
        return None

    def granted(self, asker: Asker, unit: UnitAsked) -> None:
        """That unit is served."""
        line = asker.lines[unit.priority]
        line.units.remove(unit)
        asker.waiting -= 1
        self._given.granted(unit)
        passed = self._passed_over
        passed[unit.priority] = 0 if self._rings[unit.priority][0] is line else passed[unit.priority] + 1
        line.deficit = max(line.deficit - unit.size, self._least)
        self._earned[unit.priority] = max(0.0, self._earned[unit.priority] - unit.size)
        for lower in _CLASSES[unit.priority + 1 :]:
            if self._rings[lower]:
                earned = self._earned[lower] + unit.size * self._config.lower_share
                self._earned[lower] = min(earned, 2.0 * LARGE_CHUNK_BYTES)
        self._leave_if_empty(unit.priority, line)

    def _order(self) -> list[Priority]:
        """Classes that wait: those that have earned it, then by urgency."""
        waiting = [priority for priority in _CLASSES if self._rings[priority]]
        return [priority for priority in waiting[1:] if self._earned[priority] >= self._price(priority)] + waiting

    def _price(self, priority: Priority) -> int:
        """What a lower class must have earned to go first: what its next unit takes, a chunk of most blobs at least."""
        return max(CHUNK_BYTES, self._rings[priority][0].units[0].size)

    def _turn(self, ring: deque[Line], fits: Callable[[Asker, int], bool]) -> Line | None:
        full = 0
        while full < len(ring):
            line = ring[0]
            size = line.units[0].size
            if not fits(line.asker, size):
                full += 1
            elif line.deficit >= size:
                return line
            else:
                line.deficit += self._config.quantum * self._weight(line.asker.node)
                full = 0
            ring.rotate(-1)
        return None

    def _worthier(self, priority: Priority, turn: Line, fits: Callable[[Asker, int], bool]) -> UnitAsked | None:
        """What goes before the first unit of the line whose turn it is; None when nothing does, or only of askers that
        owe as much as anybody may."""
        if self._passed_over[priority] >= self._config.passed_over_max:
            return None
        blob, fresh = turn.units[0].blob, None
        for line in self._rings[priority]:
            if line.deficit <= self._least:
                continue
            for unit in line.units:
                if unit.blob != blob:
                    continue
                if self._given.begun(unit) and fits(line.asker, unit.size):
                    return unit
                if fresh is None and not self._given.has(unit) and fits(line.asker, unit.size):
                    fresh = unit
        return fresh

    def _leave_if_empty(self, priority: Priority, line: Line) -> None:
        if not line.units:
            self._rings[priority].remove(line)
            if not self._rings[priority]:
                self._earned[priority] = 0.0
