"""`python -m edgecache.sim SCENARIO [--devices N] [--seed N] [--json]`: play a scenario, say what it showed.

`python -m edgecache.sim scaling [...]`: play one swarm in many sizes.
"""

from __future__ import annotations

import argparse
import json
import sys

from edgecache.sim import scaling
from edgecache.sim.catalogue import SCENARIOS
from edgecache.sim.scenario import Failed, play


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 when a rule was broken or the goal not reached."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments[:1] == ["scaling"]:
        return scaling.main(arguments[1:])
    parser = argparse.ArgumentParser(
        prog="python -m edgecache.sim",
        description="Play a scenario on virtual devices.",
        epilog="`python -m edgecache.sim scaling --help`: one swarm in many sizes.",
    )
    parser.add_argument("scenario", choices=sorted(SCENARIOS))
    parser.add_argument("--devices", type=int, help="how many; each scenario has its usual number")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="for programs")
    wanted = parser.parse_args(arguments)
    make, usual = SCENARIOS[wanted.scenario]
    try:
        report = play(make(wanted.devices or usual), wanted.seed)
    except Failed as failed:
        sys.stderr.write(f"{failed}\n")
        return 1
    text = json.dumps(report.as_json(), indent=2) if wanted.json else "\n".join(report.lines())
    sys.stdout.write(text + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
