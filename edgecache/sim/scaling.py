"""How time, messages and the seed's share grow with nodes and chunks: `python -m edgecache.sim scaling`.

Two bounds are compared with. Fluid (Kumar and Ross 2006): max(F / seed's uplink, F / least downlink, leechers F / all
uplinks). In chunks (Mundinger, Weber and Weiss 2008): with equal uplinks that send one of M chunks at a time to N
leechers, nobody can be quicker than 1 + floor(log2 N) / M times F / uplink. Neither knows headers, which take 7 %.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgecache.model.content import CHUNK_BYTES
from edgecache.sim.contest import MBIT, Contest, Showing, contend

NODES = (2, 4, 8, 16, 32, 64, 128, 256)
CHUNKS = (8, 32, 128, 512)
LINKS = {"equal": (50 * MBIT,), "mixed": (100 * MBIT, 10 * MBIT, 50 * MBIT)}
"""By name: rates that the nodes have in turn; the seed has the first."""

FULL_MOST = 33_000
"""Chunks delivered in one run of the full sweep: 64 nodes with 512 chunks, or 256 with 128. Each takes about 3 ms."""

PICTURE_INCHES, PICTURE_DPI = (10.0, 3.6), 70


@dataclass(frozen=True, slots=True)
class Row:
    """One run. Seconds; messages and events for each leecher and chunk."""

    links: str
    nodes: int
    chunks: int
    seed: int
    last: float
    """When the last leecher had it."""
    fluid: float
    discrete: float
    """Bound in chunks; the fluid one where links are not equal."""
    quick: float
    """Of the leechers whose links are the fastest, the last one's time over their own fluid bound."""
    seed_copies: float
    redundant: float
    messages: float
    requests: float
    events: float

    @property
    def over_fluid(self) -> float:
        """1 is perfect."""
        return self.last / self.fluid

    @property
    def over_discrete(self) -> float:
        """1 is perfect."""
        return self.last / self.discrete


def row(links: str, nodes: int, chunks: int, seed: int = 1) -> Row:
    """Play one."""
    contest = Contest(nodes, chunks * CHUNK_BYTES, LINKS[links], patience=20.0)
    command = f"python -m edgecache.sim scaling --links {links} --nodes {nodes} --chunks {chunks}"
    showing = contend(contest, seed, command=command, strict=False)
    fluid = contest.bound(contest.leechers)
    equal = len(LINKS[links]) == 1
    discrete = contest.size / contest.rate(0) * (1 + (contest.nodes - 1).bit_length() / chunks - 1 / chunks)
    pieces = (nodes - 1) * chunks
    return Row(
        links, nodes, chunks, seed, showing.last, fluid, max(fluid, discrete) if equal else fluid,
        _quick(contest, showing), showing.seed_payload, showing.redundant,
        showing.messages / pieces, showing.requests / pieces, showing.events / pieces,
    )  # fmt: skip


def _quick(contest: Contest, showing: Showing) -> float:
    best = max(contest.rate(node) for node in contest.leechers)
    quick = [node for node in contest.leechers if contest.rate(node) == best]
    return showing.fast[len(quick) - 1] / contest.bound(quick)


def sweep(
    links: Sequence[str], nodes: Sequence[int], chunks: Sequence[int], seed: int = 1, most: int | None = None
) -> Iterator[Row]:
    """All combinations in which at most `most` chunks are delivered, small ones first."""
    for kind in links:
        for count in nodes:
            for parts in chunks:
                if most is None or (count - 1) * parts <= most:
                    yield row(kind, count, parts, seed)


HEAD = (
    "| links | nodes | chunks | last s | / fluid | / in chunks | quickest / theirs | seed copies | sent / stored "
    "| messages | requests | events |"
)


def line(one: Row) -> str:
    """Of a Markdown table below HEAD."""
    return (
        f"| {one.links} | {one.nodes} | {one.chunks} | {one.last:.2f} | {one.over_fluid:.2f} | {one.over_discrete:.2f} "
        f"| {one.quick:.2f} | {one.seed_copies:.2f} | {one.redundant:.3f} | {one.messages:.2f} | {one.requests:.2f} "
        f"| {one.events:.1f} |"
    )


def draw(rows: Sequence[Row], path: Path) -> None:
    """Time, seed copies and messages over nodes, a line for each number of chunks; needs matplotlib."""
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    pyplot.switch_backend("Agg")
    figure, axes = pyplot.subplots(1, 3, figsize=PICTURE_INCHES, layout="constrained")
    shown: dict[str, Callable[[Row], float]] = {
        "time / bound": lambda one: one.over_discrete,
        "copies that the seed sends": lambda one: one.seed_copies,
        "messages per leecher and chunk": lambda one: one.messages,
    }
    for axis, (title, value) in zip(axes, shown.items(), strict=True):
        for kind, style in zip(LINKS, ("-", "--"), strict=True):
            for number, parts in enumerate(sorted({one.chunks for one in rows})):
                own = [one for one in rows if (one.links, one.chunks) == (kind, parts)]
                points = ([one.nodes for one in own], [value(one) for one in own])
                axis.plot(*points, style, color=f"C{number}", marker=".", label=f"{parts} chunks, {kind}")
        axis.set_xscale("log", base=2)
        axis.set_xlabel("nodes")
        axis.set_title(title, fontsize=10)
        axis.grid(alpha=0.3)
    axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=PICTURE_DPI)
    pyplot.close(figure)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(","))


def main(arguments: Sequence[str]) -> int:
    """The command; exit code 1 when matplotlib is asked for and missing."""
    parser = argparse.ArgumentParser(
        prog="python -m edgecache.sim scaling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Columns from 'messages' on are for each leecher and chunk. --full takes about a quarter of an hour.",
    )
    parser.add_argument("--nodes", type=_numbers, default=(2, 4, 8, 16, 32), help="numbers with commas, 2 to 256")
    parser.add_argument("--chunks", type=_numbers, default=(8, 32, 128), help="numbers with commas, 1 to 512")
    parser.add_argument("--links", choices=[*LINKS, "both"], default="both", help="all 50 Mbit/s; or 100, 10 and 50")
    parser.add_argument("--full", action="store_true", help=f"2 to 256 nodes, 8 to 512 chunks, {FULL_MOST} deliveries")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="a PNG; needs matplotlib (edgecache[compare])")
    wanted = parser.parse_args(arguments)
    nodes, chunks = (NODES, CHUNKS) if wanted.full else (wanted.nodes, wanted.chunks)
    if min(nodes) < 2 or min(chunks) < 1:
        parser.error("at least 2 nodes and 1 chunk")
    rows = []
    if not wanted.json:
        sys.stdout.write(f"{HEAD}\n|{'---|' * (HEAD.count('|') - 1)}\n")
    links, most = list(LINKS) if wanted.links == "both" else [wanted.links], FULL_MOST if wanted.full else None
    for one in sweep(links, nodes, chunks, wanted.seed, most):
        rows.append(one)
        if not wanted.json:
            sys.stdout.write(line(one) + "\n")
            sys.stdout.flush()
    if wanted.json:
        sys.stdout.write(json.dumps([asdict(one) for one in rows], indent=1) + "\n")
    if wanted.plot is not None:
        try:
            draw(rows, wanted.plot)
        except ImportError:
            sys.stderr.write("no plot: matplotlib is not installed (pip install edgecache[compare])\n")
            return 1
    return 0
