"""The contests that the simulator must predict, played by real agents in network namespaces. Needs root.

`python -m tests.compare.reality [--contest NAME] [--runs 3]` measures, and keeps the medians in `measured.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgecache.fleet.agents import Agent, set_up
from edgecache.sim.contest import CONTESTS, LOOK_EVERY, MBIT, SEED, Contest
from tests.lab.agents import Following, LabAgent, eventually, sample
from tests.lab.netlab import NetLab

FIGURES = Path(__file__).parents[1] / "simulation" / "measured.json"

MEETING_TIMEOUT = 30.0
LINKS_MIN = 4
"""Each agent has so many links, of those it can have, before anything is published."""
SETTLE = 1.0
"""Seconds between the publishing and the fetch."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run has shown, as `edgecache.sim.contest.Showing` has it."""

    fast: tuple[float, ...]
    slow: float | None
    seed_copies: float

    @property
    def last(self) -> float:
        """When the last of the fast ones had it."""
        return self.fast[-1]


class Site:
    """Enrolled once; a lab and fresh agents for each run."""

    def __init__(self, directory: Path, nodes: int) -> None:
        self._directory = directory
        self._members = [Agent(f"pi{index}", directory / "members" / f"pi{index}") for index in range(nodes)]
        set_up(self._members)

    def run(self, contest: Contest) -> Outcome:
        """Play it."""
        path = self._directory / "content"
        path.write_bytes(sample(1, contest.size))
        mbit = contest.rate(SEED) / MBIT
        with NetLab(contest.nodes, tap=True, up_mbit=mbit, down_mbit=mbit, delay_ms=contest.delay * 1000) as lab:
            agents = [self._agent(lab, index) for index in range(contest.nodes)]
            for agent in agents:
                agent.start()
            for agent in agents:
                agent.up()
            links = min(LINKS_MIN, contest.nodes - 1)
            met = lambda: all(len(agent.linked()) >= links for agent in agents)  # noqa: E731
            eventually("everybody is linked with some", met, MEETING_TIMEOUT, pause=0.2)
            blob = agents[SEED].put(path)
            time.sleep(SETTLE)
            if contest.slow is not None:
                slow = contest.slow_rate / MBIT
                lab.shape(contest.slow, up_mbit=slow, down_mbit=slow)
            return _race(contest, lab, agents, blob)

    def _agent(self, lab: NetLab, index: int) -> LabAgent:
        agent = LabAgent(lab, index, f"pi{index}", self._directory / f"pi{index}")
        shutil.rmtree(agent.directory, ignore_errors=True)
        shutil.copytree(self._members[index].directory / "data", agent.directory / "data")
        agent.configure({})
        return agent


def _race(contest: Contest, lab: NetLab, agents: Sequence[LabAgent], blob: str) -> Outcome:
    before = lab.counters(SEED).sent_bytes
    gets = {index: Following(agents[index], blob) for index in range(contest.nodes) if index != SEED}
    fast = [gets[index] for index in contest.fast]
    victim = agents[contest.killed] if contest.killed is not None else None
    deadline = time.monotonic() + contest.patience * contest.bound(contest.leechers)
    while any(get.is_alive() for get in fast):
        assert time.monotonic() < deadline, [get.progress for get in fast]
        if victim is not None and lab.counters(victim.host).received_bytes > contest.size / 2:
            victim.kill()
            victim = None
        time.sleep(LOOK_EVERY)
    sent = lab.counters(SEED).sent_bytes - before
    for index in contest.leechers:
        gets[index].done(deadline - time.monotonic())
    slow = None if contest.slow is None else gets[contest.slow].seconds
    return Outcome(tuple(sorted(get.seconds for get in fast)), slow, sent / contest.size)


def median(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Of each figure over some runs."""
    slow = [one.slow for one in outcomes if one.slow is not None]
    return {
        "last": round(statistics.median(one.last for one in outcomes), 2),
        "fast": [round(statistics.median(times), 2) for times in zip(*(one.fast for one in outcomes), strict=True)],
        "slow": round(statistics.median(slow), 2) if slow else None,
        "seed_copies": round(statistics.median(one.seed_copies for one in outcomes), 3),
        "runs": len(outcomes),
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Linux {platform.release().split('-')[0]}",
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.compare.reality", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--contest", action="append", choices=list(CONTESTS), help="default: all")
    parser.add_argument("--keep", action="store_true", help=f"write what was measured to {FIGURES.name}")
    wanted = parser.parse_args()
    figures = json.loads(FIGURES.read_text()) if FIGURES.exists() else {}
    with tempfile.TemporaryDirectory() as place:
        site = Site(Path(place), max(contest.nodes for contest in CONTESTS.values()))
        for name in wanted.contest or CONTESTS:
            figures[name] = median([site.run(CONTESTS[name]) for _ in range(wanted.runs)])
            sys.stdout.write(json.dumps({name: figures[name]}) + "\n")
            sys.stdout.flush()
            if wanted.keep:
                FIGURES.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
