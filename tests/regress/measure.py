"""What one version of edgecache does in fixed simulated scenarios: `python measure.py short|full` prints JSON.

Run by path, with PYTHONPATH at the version that is to be measured: so it imports nothing of tests. Nothing here depends
on the machine: virtual seconds, messages, events, and how many functions of the core were called.
"""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable
from types import FrameType

from edgecache.sim.contest import CONTESTS, MBIT, Contest, Showing, contend

CHUNK = 256 * 1024
MIXED = (100 * MBIT, 10 * MBIT, 50 * MBIT)

SHORT = {
    "8 nodes, 32 chunks": Contest(8, 32 * CHUNK),
    "7 nodes, 16 chunks, 100/10/50 Mbit/s": Contest(7, 16 * CHUNK, MIXED),
    "16 nodes, 8 chunks": Contest(16, 8 * CHUNK),
}
FULL = {
    **SHORT,
    "s1": CONTESTS["s1"],
    "s2": CONTESTS["s2"],
    "2 nodes, 512 chunks": Contest(2, 512 * CHUNK),
    "32 nodes, 64 chunks": Contest(32, 64 * CHUNK),
    "32 nodes, 32 chunks, 100/10/50 Mbit/s": Contest(32, 32 * CHUNK, MIXED),
}
SEEDS = {"short": (1, 2, 3), "full": (1, 2, 3, 4, 5)}
"""One seed says little: the smallest change makes it another run. The mean over several says more."""

CALLS_IN = Contest(6, 24 * CHUNK)


def figures(contest: Contest, seeds: tuple[int, ...]) -> dict[str, float]:
    """Means over the seeds."""
    showings = [contend(contest, seed, strict=False) for seed in seeds]
    pieces = len(contest.leechers) * contest.size / CHUNK

    def mean(value: Callable[[Showing], float]) -> float:
        return round(statistics.fmean(value(showing) for showing in showings), 6)

    return {
        "last": mean(lambda showing: showing.last),
        "seed copies": mean(lambda showing: showing.seed_payload),
        "sent / stored": mean(lambda showing: showing.redundant),
        "messages": mean(lambda showing: showing.messages / pieces),
        "requests": mean(lambda showing: showing.requests / pieces),
        "events": mean(lambda showing: showing.events / pieces),
    }


def core_calls(contest: Contest) -> dict[str, float]:
    """Functions of the core that are called for each chunk, from the first boot to the last copy."""
    count = 0

    def called(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        if event == "call" and "/edgecache/core/" in frame.f_code.co_filename:
            count += 1

    sys.setprofile(called)
    try:
        contend(contest, 1, strict=False)
    finally:
        sys.setprofile(None)
    return {"core calls": round(count / (len(contest.leechers) * contest.size / CHUNK), 3)}


def main(form: str) -> None:
    """All of it."""
    cases = FULL if form == "full" else SHORT
    found = {name: figures(contest, SEEDS[form]) for name, contest in cases.items()}
    found["6 nodes, 24 chunks"] = core_calls(CALLS_IN)
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
