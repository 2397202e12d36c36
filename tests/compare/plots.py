"""A picture for each scenario: when each node had its copy, and what each node has sent. Needs matplotlib."""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.compare.rows import SwarmRow
from tests.compare.scenario import MIB

WITHOUT = " No plots: matplotlib is not installed (`pip install edgecache[compare]`)."
SIZE, DPI = (10.0, 3.6), 80
"""Inches, and dots in one: a file of some 30 kB."""


def draw(directory: Path, groups: Mapping[str, Sequence[SwarmRow]]) -> tuple[dict[str, str], str]:
    """Paths of the pictures by title, relative to the directory's parent; and a note when there are none."""
    try:
        pyplot: Any = importlib.import_module("matplotlib.pyplot")
    except ImportError:
        return {}, WITHOUT
    pyplot.switch_backend("Agg")
    pictures: dict[str, str] = {}
    for old in directory.glob("[0-9]*-*.png"):
        old.unlink()
    for title, rows in groups.items():
        if any(row.nodes for row in rows):
            directory.mkdir(parents=True, exist_ok=True)
            path = directory / f"{file_name(rows[0], len(pictures) + 1)}.png"
            _draw_group(pyplot, title, rows, path)
            pictures[title] = f"{directory.name}/{path.name}"
    return pictures, ""


def file_name(row: SwarmRow, number: int) -> str:
    """Its number tells pictures apart; the rest is for people."""
    settings = row.settings
    return f"{number}-{settings['name']}-{settings['mbit']:g}mbit-{settings['congestion']}"


def finish_times(rows: Sequence[SwarmRow]) -> list[float]:
    """The n-th copy's time, median over the runs, for as many copies as every run has."""
    runs = [sorted(n.finished_s for n in row.nodes if n.finished_s is not None) for row in rows if row.nodes]
    return [statistics.median(at) for at in zip(*runs, strict=False)]


def uploads(rows: Sequence[SwarmRow]) -> list[float]:
    """MiB that each node has sent, median over the runs."""
    runs = [[node.sent / MIB for node in row.nodes] for row in rows if row.nodes]
    return [statistics.median(of_node) for of_node in zip(*runs, strict=True)]


def _draw_group(pyplot: Any, title: str, rows: Sequence[SwarmRow], path: Path) -> None:
    figure, (times, sent) = pyplot.subplots(1, 2, figsize=SIZE, layout="constrained")
    names = list(dict.fromkeys(row.contestant for row in rows))
    width = 0.8 / len(names)
    for number, name in enumerate(names):
        own = [row for row in rows if row.contestant == name]
        if copies := finish_times(own):
            times.plot(range(1, len(copies) + 1), copies, marker="o", markersize=3, label=name)
        if amounts := uploads(own):
            places = [node + (number - (len(names) - 1) / 2) * width for node in range(len(amounts))]
            sent.bar(places, amounts, width, label=name)
    times.axhline(rows[0].bound_s, color="grey", linestyle=":", label="bound")
    times.text(1, rows[0].bound_s, "bound", fontsize="x-small", va="bottom")
    times.set(xlabel="copies complete", ylabel="seconds", ylim=(0, None))
    sent.axhline(rows[0].settings["mib"], color="grey", linestyle=":", label="the blob")
    sent.legend(fontsize="x-small", loc="upper right")
    sent.set(xlabel="node (0 is the seed)", ylabel="MiB sent")
    figure.suptitle(title, fontsize="small")
    figure.savefig(path, dpi=DPI)
    pyplot.close(figure)
