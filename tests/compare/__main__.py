"""edgecache beside what people would use instead, on this machine, in one run.

    python -m tests.compare swarm  [--scenario s1 ...] [--contestant NAME ...] [--runs 3] [--mbit 50] ...
    python -m tests.compare single | small | idle [--contestant NAME ...] [--runs 3] ...
    python -m tests.compare report FILE.jsonl ... [--results edgecache/RESULTS.md]

Contestants take turns within a run, so that a machine that drifts is the same for all. Needs root.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.compare.catalogue import IDLE, SINGLE, SMALL, SWARM, Lacking, able, needs
from tests.compare.cores import slow_core
from tests.compare.idle import idle
from tests.compare.process import Failed
from tests.compare.report import markdown, rewrite
from tests.compare.rows import Row, append, load
from tests.compare.scenario import SCENARIOS, varied
from tests.compare.single import single
from tests.compare.small import small
from tests.compare.swarm import swarm

LIMIT = 200.0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(prog="python -m tests.compare", description=__doc__,
                                    formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    commands = whole.add_subparsers(dest="command", required=True)
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--contestant", action="append", default=[], metavar="NAME", help="repeatable [all]")
    shared.add_argument("--runs", type=int, default=3)
    shared.add_argument("--peers-python", default=sys.executable, metavar="PYTHON", help="has the peers' bindings")
    shared.add_argument("--slow-core", nargs="?", type=float, const=50.0, metavar="PERCENT",
                        help="hold the contestants to so much of one core [50]")  # fmt: skip
    shared.add_argument("--slow-wires", action="store_true", help="and the network between them, and this harness")
    shared.add_argument("--out", type=Path, metavar="FILE.jsonl", help="append a line for each run")
    shared.add_argument("--results", type=Path, metavar="RESULTS.md", help="rewrite its comparison at the end")
    swarms = commands.add_parser("swarm", parents=[shared], help="one seed, several leechers, shaped links")
    swarms.add_argument("--scenario", action="append", default=[], choices=SCENARIOS, help="repeatable [all]")
    swarms.add_argument("--nodes", type=int)
    swarms.add_argument("--mib", type=float)
    swarms.add_argument("--mbit", type=float)
    swarms.add_argument("--delay-ms", type=float)
    swarms.add_argument("--loss", type=float, metavar="PERCENT")
    swarms.add_argument("--queue-ms", type=float)
    swarms.add_argument("--cc", metavar="NAME", help="cubic, bbr: what the kernel has")
    swarms.add_argument("--slow", type=int, metavar="HOST", help="has a slow link")
    swarms.add_argument("--victim", type=int, metavar="HOST", help="is killed on the way")
    swarms.add_argument("--killed-at", type=float, metavar="SHARE", help="of the blob, received by the killed one")
    swarms.add_argument("--slow-mbit", type=float)
    swarms.add_argument("--fast-only", action="store_true", help="do not wait for the slow leecher")
    swarms.add_argument("--limit", type=float, default=LIMIT, metavar="SECONDS", help="of one run")
    swarms.add_argument("--logs", type=Path, metavar="DIR", help="keep the agents' logs")
    singles = commands.add_parser("single", parents=[shared], help="one source, one sink, loopback")
    singles.add_argument("--mib", type=float, default=256)
    singles.add_argument("--cc", default="cubic", metavar="NAME")
    singles.add_argument("--limit", type=float, default=LIMIT, metavar="SECONDS", help="of one run")
    smalls = commands.add_parser("small", parents=[shared], help="small requests, one at a time and 16 in flight")
    smalls.add_argument("--requests", type=int, default=1000)
    idles = commands.add_parser("idle", parents=[shared], help="memory and CPU of daemons with nothing to do")
    idles.add_argument("--seconds", type=float, default=15)
    reports = commands.add_parser("report", help="tables and plots of stored rows")
    reports.add_argument("rows", nargs="+", type=Path, metavar="FILE.jsonl")
    reports.add_argument("--results", type=Path, metavar="RESULTS.md")
    return whole


def _able(given: argparse.Namespace, needed: Mapping[str, Lacking]) -> list[str]:
    names, left_out = able(needed, given.contestant, given.peers_python)
    for line in left_out:
        print(line, file=sys.stderr)
    return names


def swarm_rows(given: argparse.Namespace, held: Sequence[str]) -> Iterator[Row]:
    """Run after run, scenario after scenario, each contestant in turn."""
    names = _able(given, needs(SWARM))
    for _ in range(given.runs):
        for scenario_name in given.scenario or SCENARIOS:
            scenario = varied(
                scenario_name, nodes=given.nodes, mib=given.mib, mbit=given.mbit, delay_ms=given.delay_ms,
                loss_percent=given.loss, queue_ms=given.queue_ms, congestion=given.cc, killed_at=given.killed_at,
                slow=given.slow, slow_mbit=given.slow_mbit, victim=given.victim,
                wait_slow=False if given.fast_only else None,
            )  # fmt: skip
            for name in names:
                yield swarm(
                    name, scenario, limit=given.limit, peers_python=given.peers_python, held=held, logs=given.logs
                )


def single_rows(given: argparse.Namespace, held: Sequence[str]) -> Iterator[Row]:
    """Each in turn."""
    names = _able(given, needs(SINGLE))
    for _ in range(given.runs):
        for name in names:
            yield single(
                name, given.mib, limit=given.limit, peers_python=given.peers_python, congestion=given.cc, held=held
            )


def small_rows(given: argparse.Namespace, held: Sequence[str]) -> Iterator[Row]:
    """Each in turn."""
    names = _able(given, SMALL)
    for _ in range(given.runs):
        for name in names:
            yield from small(name, given.requests, given.peers_python, held)


def idle_rows(given: argparse.Namespace, held: Sequence[str]) -> Iterator[Row]:
    """Each in turn."""
    names = _able(given, needs(IDLE))
    for _ in range(given.runs):
        for name in names:
            yield idle(name, given.seconds, peers_python=given.peers_python, held=held)


RUNS: Mapping[str, Callable[[argparse.Namespace, Sequence[str]], Iterable[Row]]] = {
    "swarm": swarm_rows, "single": single_rows, "small": small_rows, "idle": idle_rows,
}  # fmt: skip


def main() -> None:
    """Run it."""
    words = parser()
    given = words.parse_args()
    if given.command != "report" and given.slow_wires and given.slow_core is None:
        words.error("--slow-wires goes with --slow-core")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that labs are taken down
    rows: list[Row] = []
    try:
        if given.command == "report":
            rows = load(given.rows)
        else:
            if os.geteuid() != 0:
                sys.exit("network namespaces need root")
            with slow_core(given.slow_core, wires=given.slow_wires) as held:
                for row in RUNS[given.command](given, held):
                    row.core_percent, row.slow_wires = given.slow_core, given.slow_wires
                    rows.append(row)
                    print(row.line(), file=sys.stderr, flush=True)
                    if given.out is not None:
                        append(given.out, row)
    except (ValueError, Failed) as error:
        sys.exit(str(error))
    print(markdown(rows))
    if given.results is not None:
        rewrite(given.results, rows)


if __name__ == "__main__":
    main()
