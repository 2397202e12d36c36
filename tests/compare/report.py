"""Stored rows as Markdown tables of medians, and as a section of the results file."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from edgecache.bench.measure import machine
from tests.compare.rows import Row, SingleRow, SmallRow, SwarmRow
from tests.compare.scenario import MIB

BEGIN = "<!-- comparison: begin; written by `python -m tests.compare`, do not edit -->"
END = "<!-- comparison: end -->"

R = TypeVar("R", bound=Row)
Column = tuple[str, Callable[[Sequence[Any]], str]]
"""A heading, and the text of its cell from the rows of one contestant."""


def median_text(values: Iterable[float | None], digits: int) -> str:
    """`median (min-max)` of those that are known; `-` for none."""
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    middle = f"{statistics.median(known):.{digits}f}"
    return middle if len(known) == 1 else f"{middle} ({min(known):.{digits}f}-{max(known):.{digits}f})"


def table(columns: Sequence[str], cells: Iterable[Sequence[str]]) -> str:
    """Markdown."""
    rows = [columns, ["---"] * len(columns), *cells]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _of(name: str, digits: int, scale: float = 1.0) -> Callable[[Sequence[Any]], str]:
    """The median of an attribute."""

    def text(rows: Sequence[Any]) -> str:
        values = [getattr(row, name) for row in rows]
        return median_text([None if value is None else value * scale for value in values], digits)

    return text


def _over_bound(rows: Sequence[SwarmRow]) -> str:
    times = [row.fast_s / row.bound_s for row in rows if row.fast_s is not None]
    return f"{statistics.median(times):.2f}" if times else "-"


def _cpu(rows: Sequence[SwarmRow]) -> str:
    return median_text([sum(node.cpu_s for node in row.nodes) if row.nodes else None for row in rows], 1)


def _rss(rows: Sequence[SwarmRow]) -> str:
    return median_text([max((n.rss_peak for n in row.nodes), default=0) / MIB or None for row in rows], 0)


def _runs(rows: Sequence[Row]) -> str:
    """How many runs there were, and how many of them have no figure."""
    bad = sum(row.error is not None or bool(getattr(row, "unfinished", None)) for row in rows)
    return f"{len(rows)}, {bad} of them not finished" if bad else str(len(rows))


_SWARM: Sequence[Column] = (
    ("last fast one done, s", _of("fast_s", 2)), ("x bound", _over_bound),
    ("seed sent until then, copies", _of("seed_copies_fast", 2)), ("and in all", _of("seed_copies", 2)),
    ("CPU s, all nodes", _cpu), ("peak RSS of a node, MiB", _rss), ("runs", _runs),
)  # fmt: skip
_SLOW: Column = ("slow one done, s", _of("slow_s", 1))
_SINGLE: Sequence[Column] = (
    ("MB/s", _of("mb_s", 0)), ("CPU s/GB, both ends", _of("cpu_s_per_gb", 1)),
    ("peak RSS of the source, MiB", _of("source_rss_peak", 0, 1 / MIB)),
    ("of the sink", _of("sink_rss_peak", 0, 1 / MIB)), ("runs", _runs),
)  # fmt: skip
_SMALL: Sequence[Column] = (
    ("p50 us", _of("p50_us", 0)), ("p99 us", _of("p99_us", 0)), ("requests/s, one at a time", _of("rate_1", 0)),
    ("16 in flight", _of("rate_16", 0)), ("runs", _runs),
)  # fmt: skip
_IDLE: Sequence[Column] = (
    ("RSS MiB", _of("rss", 1, 1 / MIB)), ("CPU % of a core", _of("cpu_percent", 2)), ("runs", _runs),
)  # fmt: skip
_COLUMNS: Mapping[str, Sequence[Column]] = {"single": _SINGLE, "small": _SMALL, "idle": _IDLE}


def grouped(rows: Iterable[R], key: Callable[[R], str]) -> dict[str, list[R]]:
    """In the order of their first appearance."""
    groups: dict[str, list[R]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _compared(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    cells = [
        [name, *(text(own) for _, text in columns)] for name, own in grouped(rows, lambda row: row.contestant).items()
    ]
    return table(["", *(heading for heading, _ in columns)], cells)


def swarm_groups(rows: Iterable[Row]) -> dict[str, list[SwarmRow]]:
    """Rows of alike settings, by a title."""
    swarms = [row for row in rows if isinstance(row, SwarmRow)]
    alike = grouped(swarms, lambda row: json.dumps([row.settings, held(row)], sort_keys=True))
    return {swarm_title(group[0].settings) + held(group[0]): group for group in alike.values()}


def held(row: Row) -> str:
    """The end of a title: what there was of the machine."""
    if row.core_percent is None:
        return ""
    who = "the contestants, the harness and its network" if row.slow_wires else "the contestants"
    return f", {who} held to {row.core_percent:g} % of one core"


def swarm_title(settings: Mapping[str, Any]) -> str:
    """What tells one group from another."""
    words = [
        f"{settings['name']}: {settings['nodes']} nodes", f"{settings['mib']:g} MiB",
        f"{settings['mbit']:g} Mbit/s each way", f"{settings['delay_ms']:g} ms on each uplink",
    ]  # fmt: skip
    if settings["loss_percent"]:
        words.append(f"{settings['loss_percent']:g} % loss there")
    words += [f"queues of {settings['queue_ms']:g} ms", settings["congestion"]]
    if settings["slow"] is not None:
        words.append(f"node {settings['slow']} at {settings['slow_mbit']:g} Mbit/s")
    if settings["victim"] is not None:
        words.append(f"node {settings['victim']} killed at {settings['killed_at']:.0%}")
    if settings["slow"] is not None and not settings["wait_slow"]:
        words.append("the slow one not waited for")
    return ", ".join(words)


def swarm_section(title: str, rows: Sequence[SwarmRow]) -> str:
    """One scenario."""
    columns = list(_SWARM)
    bounds = f"Bound {rows[0].bound_s:.2f} s"
    if any(row.slow_s is not None for row in rows):
        columns.insert(2, _SLOW)
    if rows[0].slow_bound_s is not None:
        bounds += f", for the slow one {rows[0].slow_bound_s:.1f} s"
    return f"### {title}\n\n{bounds}.\n\n{_compared(rows, columns)}"


def markdown(rows: Sequence[Row], plots: Mapping[str, str] | None = None) -> str:
    """All tables; `plots` names the picture of a swarm's title."""
    parts = []
    for title, group in swarm_groups(rows).items():
        picture = (plots or {}).get(title)
        parts.append(swarm_section(title, group) + (f"\n\n![{title}]({picture})" if picture else ""))
    for title, others in grouped([row for row in rows if not isinstance(row, SwarmRow)], _title).items():
        parts.append(f"### {title}\n\n{_compared(others, _COLUMNS[others[0].kind])}")
    return "\n\n".join(parts)


def _title(row: Row) -> str:
    match row:
        case SingleRow():
            what = f"One source, one sink: {row.mib:g} MiB over loopback, {row.congestion}"
        case SmallRow():
            what = "Small requests over loopback"
        case _:
            what = "Idle"
    return what + held(row)


def rewrite(results: Path, rows: Sequence[Row]) -> None:
    """Put tables and plots between the marks of a results file, at its end when it has none."""
    from tests.compare.plots import draw

    pictures, note = draw(results.parent / "results", swarm_groups(rows))
    about = machine()
    intro = (
        f"Medians (min-max); contestants take turns within a run. Machine: {about['cpu']}, {about['cores']} cores, "
        f"Linux {about['kernel']}, CPython {about['python']}.{note}"
    )
    title = "## Beside others: `python -m tests.compare`"
    section = "\n\n".join((BEGIN, title, intro, markdown(rows, pictures), END))
    text = results.read_text() if results.exists() else ""
    results.write_text(replaced(text, section))


def replaced(text: str, section: str) -> str:
    """`text` with what is between the marks, marks included, replaced; everything else as it was."""
    before, begin, rest = text.partition(BEGIN)
    if not begin:
        return f"{text.rstrip()}\n\n{section}\n".lstrip()
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{BEGIN} without {END}")
    return before + section + after
