"""What the simulator says of a swarm is what real agents do: within 15 %, of figures that were measured before (quick),
and of figures that are measured now (slow, needs root)."""

from __future__ import annotations

import functools
import json
import statistics
from collections.abc import Mapping
from typing import Any

import pytest

from edgecache.sim.contest import CONTESTS, Showing, contend
from tests.compare.reality import FIGURES, measured
from tests.lab.tools import require_namespaces

TOLERANCE = 0.15
SEEDS = (1, 2, 3)
RUNS = 3
MEASURED: dict[str, dict[str, Any]] = json.loads(FIGURES.read_text())
AGAIN = "measure again: `python -m tests.compare.reality --keep`"


def middle(values: list[float]) -> float:
    """Median."""
    return statistics.median(values)


def differences(played: list[Showing], measured: Mapping[str, Any]) -> dict[str, float]:
    """By figure: how much of what was measured the simulator is above it."""
    fast, slow = measured["fast"], [showing.slow for showing in played if showing.slow is not None]
    predicted = {
        "last": (middle([showing.last for showing in played]), measured["last"]),
        "first": (middle([showing.fast[0] for showing in played]), fast[0]),
        "median node": (middle([middle(list(showing.fast)) for showing in played]), middle(fast)),
        "seed copies": (middle([showing.seed_copies for showing in played]), measured["seed_copies"]),
    }
    if slow:
        predicted["slow"] = (middle(slow), measured["slow"])
    return {name: said / seen - 1 for name, (said, seen) in predicted.items()}


@functools.cache
def showings(name: str) -> list[Showing]:
    """What the simulator says."""
    return [contend(CONTESTS[name], seed, name=name, strict=False) for seed in SEEDS]


def check(name: str, measured: Mapping[str, Any]) -> None:
    wrong = differences(showings(name), measured)
    assert max(map(abs, wrong.values())) <= TOLERANCE, (
        f"{name}: the simulator is off by "
        + ", ".join(f"{what} {by:+.0%}" for what, by in wrong.items())
        + f"; measured {measured}; if the agents have become quicker or slower, {AGAIN}"
    )


@pytest.mark.parametrize("name", list(MEASURED))
def test_the_simulator_says_what_was_measured(name: str) -> None:
    check(name, MEASURED[name])


def test_a_wrong_figure_would_be_noticed() -> None:
    (name, *_) = MEASURED
    measured = MEASURED[name] | {"last": MEASURED[name]["last"] * 1.4}
    with pytest.raises(AssertionError, match="measure again"):
        check(name, measured)


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.timeout(1800)
def test_the_simulator_says_what_agents_do_now() -> None:
    require_namespaces()
    for name in MEASURED:
        check(name, measured(name, RUNS))
