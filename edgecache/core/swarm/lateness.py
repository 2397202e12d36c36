"""How late is unusually late: a small sketch of one peer's service times, for hedging."""

from __future__ import annotations

from dataclasses import dataclass

_WEIGHT, _DEVIATION_WEIGHT = 1 / 8, 1 / 4
"""Gains of RFC 6298 section 2."""

_SPREAD = 2.0
"""Mean deviations above the mean: 95 % of a normal distribution lie below 2.06 of them."""

_SAMPLES_MIN = 4
"""Before so many samples the prior holds."""

_PRIOR = 2.0
"""Times the expectation that a new peer may take. More: a stall at the start lasts longer; less: needless requests."""

_LEAST, _MOST = 1.25, 4.0
"""Bounds of the answer: a peer that is always on time may be a little late, one that never is must not be waited for
without end."""

_SAMPLE_MAX = 8.0


@dataclass(slots=True, eq=False)
class Lateness:
    """Mean and mean deviation (RFC 6298) of what requests took, over what was expected of them when they were made.

    A ratio, so that queues of ours and chunks of different sizes count alike.
    """

    mean: float = 1.0
    deviation: float = 0.0
    samples: int = 0

    def add(self, took: float, expected: float) -> None:
        """A request took so many seconds."""
        ratio = min(took / max(expected, 1e-6), _SAMPLE_MAX)
        if not self.samples:
            self.mean, self.deviation = ratio, ratio / 2
        else:
            self.deviation += (abs(ratio - self.mean) - self.deviation) * _DEVIATION_WEIGHT
            self.mean += (ratio - self.mean) * _WEIGHT
        self.samples = min(self.samples + 1, _SAMPLES_MIN)

    def bound(self) -> float:
        """Times the expectation that about one request in twenty exceeds."""
        if self.samples < _SAMPLES_MIN:
            return _PRIOR
        return min(max(self.mean + _SPREAD * self.deviation, _LEAST), _MOST)
