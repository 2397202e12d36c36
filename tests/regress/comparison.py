"""Two versions, one set of figures each: what became worse, and by how much."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

Figures = Mapping[str, Mapping[str, float]]
"""By case, by name; less is better."""

LIMITS = {
    "last": 1.10,
    "seed copies": 1.10,
    "sent / stored": 1.03,
    "messages": 1.15,
    "requests": 1.15,
    "events": 1.10,
    "core calls": 1.10,
}
"""What now is, over what was, may be so much: more than another order of the same work makes of the mean."""


@dataclass(frozen=True, slots=True)
class Change:
    """One figure of one case."""

    case: str
    figure: str
    before: float
    now: float

    @property
    def ratio(self) -> float:
        """1 is no change, more is worse."""
        return self.now / self.before if self.before else float("inf") if self.now else 1.0

    @property
    def worse(self) -> bool:
        """Beyond its limit."""
        return self.ratio > LIMITS[self.figure]


def changes(before: Figures, now: Figures) -> list[Change]:
    """Of all figures that both have, in the order of `now`."""
    return [
        Change(case, figure, before[case][figure], value)
        for case, values in now.items()
        for figure, value in values.items()
        if figure in before.get(case, {})
    ]


def table(found: list[Change]) -> str:
    """For people."""
    rows = ["| case | figure | base | now | now / base |", "|---|---|---|---|---|"]
    for change in found:
        ratio = f"{change.ratio:.3f} WORSE" if change.worse else f"{change.ratio:.3f}"
        rows.append(f"| {change.case} | {change.figure} | {change.before:.3f} | {change.now:.3f} | {ratio} |")
    return "\n".join(rows)
