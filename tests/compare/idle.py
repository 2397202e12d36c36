"""What a daemon costs that has something to serve and is asked for nothing."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from edgecache.model.errors import EdgecacheError
from tests.compare.catalogue import IDLE
from tests.compare.entrant import Task
from tests.compare.ground import loopback, make_content, scratch
from tests.compare.process import Failed, Program, tree
from tests.compare.rows import IdleRow
from tests.compare.scenario import MIB, SEED

SETTLE = 5.0


def idle(name: str, seconds: float, *, peers_python: str, held: Sequence[str] = ()) -> IdleRow:
    """One contestant with a blob of 1 MiB, and one neighbour where it has such; what goes wrong is in the row."""
    row = IdleRow(name, seconds)
    try:
        with scratch() as directory, loopback(held=held) as ground:
            content = make_content(directory / "source" / "blob", MIB)
            daemon = IDLE[name].make(Task(ground, 2, content, directory, peers_python))
            daemon.prepare()
            program = daemon.programs[SEED][-1]
            time.sleep(SETTLE)
            before, began = on_processor(program), time.monotonic()
            time.sleep(seconds)
            spent = on_processor(program) - before
            row.cpu_percent = round(100 * spent / (time.monotonic() - began), 3)
            program.sample()
            row.rss = program.rss
    except (Failed, EdgecacheError, OSError, RuntimeError) as error:
        row.error = f"{type(error).__name__}: {error}"[:300]
    return row


def on_processor(program: Program) -> float:
    """Seconds of its live threads, to the nanosecond: an idle daemon uses less than a clock tick."""
    threads = (path for pid in tree(program.pid) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(path.read_text().split()[0]) for path in threads) / 1e9
