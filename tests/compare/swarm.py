"""One swarm: a contestant's programs on shaped links, from the start of all leechers to the last copy."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edgecache.bench.stage import warm
from edgecache.model.errors import EdgecacheError
from tests.compare.catalogue import SWARM
from tests.compare.entrant import Entrant, Task
from tests.compare.ground import Wires, make_content, scratch, wires
from tests.compare.process import Failed
from tests.compare.rows import NodeRow, SwarmRow
from tests.compare.scenario import SEED, Scenario
from tests.lab.netlab import Counters

LOOK_PAUSE = 0.01
SAMPLE_PAUSE = 0.25
SETTLE = 1.0


@dataclass
class Course:
    """What happens while the leechers fetch."""

    scenario: Scenario
    ground: Wires
    entrant: Entrant
    limit: float
    began: float = 0.0
    before: list[Counters] = field(default_factory=list)
    cpu_before: dict[int, float] = field(default_factory=dict)
    seed_sent_fast: int | None = None
    killed_at: float | None = None

    def run(self) -> None:
        """Until all that are waited for have it, or the limit."""
        lab, scenario = self.ground.lab, self.scenario
        if scenario.slow is not None:
            lab.shape(scenario.slow, up_mbit=scenario.slow_mbit, down_mbit=scenario.slow_mbit)
        self.entrant.sample()
        self.cpu_before = {host: self.entrant.cpu(host) for host in range(scenario.nodes)}
        self.before = [lab.counters(host) for host in range(scenario.nodes)]
        self.entrant.begin()
        self.began = sampled = self.entrant.began
        while time.monotonic() - self.began < self.limit and not self.over():
            time.sleep(LOOK_PAUSE)
            self.entrant.look()
            if scenario.victim is not None and self.killed_at is None:
                self.perhaps_kill(scenario.victim)
            if self.seed_sent_fast is None and all(host in self.entrant.finished for host in scenario.fast):
                self.seed_sent_fast = lab.counters(SEED).sent_bytes - self.before[SEED].sent_bytes
            if time.monotonic() - sampled > SAMPLE_PAUSE:
                self.entrant.sample()
                sampled = time.monotonic()
        self.entrant.sample()

    def over(self) -> bool:
        """Nobody is left to wait for."""
        waited = [*self.scenario.fast]
        if self.scenario.slow is not None and self.scenario.wait_slow:
            waited.append(self.scenario.slow)
        return all(host in self.entrant.finished or host in self.entrant.failed for host in waited)

    def perhaps_kill(self, victim: int) -> None:
        """When it has so much of the blob."""
        programs = self.entrant.programs[victim]
        if not programs or victim in self.entrant.finished:
            return
        received = programs[0].received() - self.before[victim].received_bytes
        if received > self.scenario.killed_at * self.scenario.size:
            self.killed_at = time.monotonic() - self.began
            self.entrant.kill(victim)
            self.entrant.failed[victim] = "killed, as the scenario has it"

    def node(self, host: int) -> NodeRow:
        """A host's figures."""
        after, before = self.ground.lab.counters(host), self.before[host]
        finished = self.entrant.finished.get(host)
        return NodeRow(
            node=host,
            finished_s=None if finished is None else round(finished - self.began, 3),
            sent=after.sent_bytes - before.sent_bytes,
            received=after.received_bytes - before.received_bytes,
            cpu_s=round(self.entrant.cpu(host) - self.cpu_before[host], 2),
            rss_peak=self.entrant.rss_peak(host),
        )


def swarm(
    name: str, scenario: Scenario, *, limit: float, peers_python: str, held: Sequence[str] = (),
    logs: Path | None = None,
) -> SwarmRow:
    """One contestant at one scenario; what goes wrong is in the row."""
    row = SwarmRow.empty(name, scenario)
    try:
        with scratch() as directory, wires(scenario, held) as ground:
            content = make_content(directory / "source" / "blob", scenario.size)
            task = Task(ground, scenario.nodes, content, directory, peers_python)
            entrant = SWARM[name].make(task)
            try:
                entrant.prepare()
                warm(directory, scenario.nodes * scenario.size)
                time.sleep(SETTLE)
                course = Course(scenario, ground, entrant, limit)
                course.run()
                _record(row, course)
                _check(entrant)
            finally:
                if logs is not None:
                    _keep_logs(directory, logs)
    except (Failed, EdgecacheError, OSError, RuntimeError) as error:
        row.error = f"{type(error).__name__}: {error}"[:300]
    return row


def _record(row: SwarmRow, course: Course) -> None:
    scenario, entrant = course.scenario, course.entrant
    row.nodes = [course.node(host) for host in range(scenario.nodes)]
    times = {node.node: node.finished_s for node in row.nodes if node.finished_s is not None}
    if all(host in times for host in scenario.fast):
        row.fast_s = max(times[host] for host in scenario.fast)
    row.slow_s = times.get(scenario.slow) if scenario.slow is not None else None
    row.killed_at_s = None if course.killed_at is None else round(course.killed_at, 3)
    row.unfinished = [host for host in scenario.fast if host not in times]
    row.failures = {str(host): why for host, why in entrant.failed.items() if host != scenario.victim}
    row.seed_copies = round(row.nodes[SEED].sent / scenario.size, 3)
    if course.seed_sent_fast is not None:
        row.seed_copies_fast = round(course.seed_sent_fast / scenario.size, 3)


def _check(entrant: Entrant) -> None:
    """Every copy that was called finished is the blob."""
    for host in entrant.finished:
        if entrant.digest(host) != entrant.task.content.sha256:
            raise Failed(f"host {host} has something else than the blob")


def _keep_logs(directory: Path, logs: Path) -> None:
    logs.mkdir(parents=True, exist_ok=True)
    for path in directory.glob("host*/log"):
        (logs / f"{path.parent.name}.log").write_bytes(path.read_bytes())
