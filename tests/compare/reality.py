"""The contests that the simulator must predict, played by real agents in network namespaces. Needs root.

`python -m tests.compare.reality [--contest NAME] [--runs 3]` measures, and keeps the medians in `measured.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edgecache.sim.contest import CONTESTS
from tests.compare.process import Failed
from tests.compare.rows import SwarmRow
from tests.compare.scenario import Scenario
from tests.compare.swarm import swarm

FIGURES = Path(__file__).parents[1] / "simulation" / "measured.json"


def measured(name: str, runs: int) -> dict[str, Any]:
    """Medians of some runs of a contest; raises Failed when one does not come to its end."""
    contest = CONTESTS[name]
    scenario, limit = Scenario.of(name, contest), contest.patience * contest.bound(contest.leechers)
    rows = [swarm("edgecache", scenario, limit=limit, peers_python="") for _ in range(runs)]
    for row in rows:
        if row.error or row.unfinished or row.failures or (scenario.slow is not None and row.slow_s is None):
            raise Failed(f"{name}: {row.error or row.failures or f'not all were done within {limit:.0f} s'}")
    return _median(scenario, rows)


def _median(scenario: Scenario, rows: Sequence[SwarmRow]) -> dict[str, Any]:
    """Of each figure over some runs, as `edgecache.sim.contest.Showing` has them."""
    fast = [sorted(row.nodes[host].finished_s or 0.0 for host in scenario.fast) for row in rows]
    slow = [row.slow_s for row in rows if row.slow_s is not None]
    return {
        "last": round(statistics.median(times[-1] for times in fast), 2),
        "fast": [round(statistics.median(times), 2) for times in zip(*fast, strict=True)],
        "slow": round(statistics.median(slow), 2) if slow else None,
        "seed_copies": round(statistics.median(row.seed_copies_fast or 0.0 for row in rows), 3),
        "runs": len(rows),
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
    for name in wanted.contest or CONTESTS:
        figures[name] = measured(name, wanted.runs)
        sys.stdout.write(json.dumps({name: figures[name]}) + "\n")
        sys.stdout.flush()
        if wanted.keep:
            FIGURES.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
