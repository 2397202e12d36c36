"""What one run of one contestant gave: a line of JSON each, so that runs can be gathered and shown later."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.compare.scenario import Scenario


@dataclass
class NodeRow:
    """One host; bytes are whole Ethernet frames on its interface, from the start to the end of the run."""

    node: int
    finished_s: float | None
    sent: int
    received: int
    cpu_s: float
    rss_peak: int


@dataclass(kw_only=True)
class Run:
    """What rows of all kinds say."""

    error: str | None = None
    core_percent: float | None = None
    """Of the one core that contestants were held to; None: the whole machine."""
    slow_wires: bool = False
    """The network between them, and the harness, were held to it too."""


@dataclass
class SwarmRow(Run):
    """One contestant at one scenario."""

    contestant: str
    scenario: str
    settings: dict[str, Any]
    bound_s: float
    slow_bound_s: float | None = None
    fast_s: float | None = None
    """When the last of the fast ones was done."""
    slow_s: float | None = None
    killed_at_s: float | None = None
    seed_copies_fast: float | None = None
    """What the seed's interface had sent when the fast ones were done, over the blob's size; and in all."""
    seed_copies: float | None = None
    unfinished: list[int] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    nodes: list[NodeRow] = field(default_factory=list)
    kind: str = "swarm"

    @classmethod
    def empty(cls, contestant: str, scenario: Scenario) -> SwarmRow:
        """Before the run."""
        slow = round(scenario.slow_bound(), 3) if scenario.slow is not None else None
        return cls(contestant, scenario.name, asdict(scenario), round(scenario.bound(), 3), slow)

    def line(self) -> str:
        """For whoever watches."""
        if self.error is not None or self.fast_s is None:
            return f"{self.scenario} {self.contestant}: {self.error or f'not finished: {self.unfinished}'}"
        slow = "" if self.slow_s is None else f", slow one {self.slow_s:.1f} s"
        copies = "" if self.seed_copies_fast is None else f", seed sent {self.seed_copies_fast:.2f} copies"
        times = f"{self.fast_s:.2f} s, {self.fast_s / self.bound_s:.2f} x bound"
        return f"{self.scenario} {self.contestant}: {times}{slow}{copies}"


@dataclass
class SingleRow(Run):
    """One source, one sink."""

    contestant: str
    mib: float
    congestion: str
    seconds: float | None = None
    mb_s: float | None = None
    cpu_s_per_gb: float | None = None
    """Of both ends."""
    source_rss_peak: int | None = None
    sink_rss_peak: int | None = None
    kind: str = "single"

    def line(self) -> str:
        """For whoever watches."""
        return f"single {self.contestant}: {self.error or f'{self.mb_s} MB/s, {self.cpu_s_per_gb} CPU s/GB'}"


@dataclass
class SmallRow(Run):
    """Small requests, one after the other and 16 in flight."""

    contestant: str
    p50_us: float | None = None
    p99_us: float | None = None
    rate_1: float | None = None
    rate_16: float | None = None
    kind: str = "small"

    def line(self) -> str:
        """For whoever watches."""
        return f"small {self.contestant}: {self.error or f'p50 {self.p50_us} us, {self.rate_1}/s, {self.rate_16}/s'}"


@dataclass
class IdleRow(Run):
    """A daemon with nothing to do."""

    contestant: str
    seconds: float
    rss: int | None = None
    cpu_percent: float | None = None
    kind: str = "idle"

    def line(self) -> str:
        """For whoever watches."""
        return f"idle {self.contestant}: {self.error or f'{(self.rss or 0) / 2**20:.1f} MiB, {self.cpu_percent} %'}"


Row = SwarmRow | SingleRow | SmallRow | IdleRow

_KINDS: dict[str, type[Row]] = {"swarm": SwarmRow, "single": SingleRow, "small": SmallRow, "idle": IdleRow}


def append(path: Path, row: Row) -> None:
    """One more line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as stream:
        stream.write(json.dumps(asdict(row)) + "\n")


def load(paths: Iterable[Path]) -> list[Row]:
    """All rows of some files, in order; raises ValueError for a line that is none."""
    return [parse(line) for path in paths for line in path.read_text().splitlines() if line.strip()]


def parse(line: str) -> Row:
    """The row in a line of JSON; raises ValueError."""
    try:
        fields = json.loads(line)
        kind = _KINDS[fields["kind"]]
        # Before there was a choice, all were held.
        fields.setdefault("slow_wires", fields.get("core_percent") is not None)
        if kind is SwarmRow:
            fields["nodes"] = [NodeRow(**node) for node in fields["nodes"]]
        return kind(**fields)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"not a row of a comparison: {line[:80]}") from error
