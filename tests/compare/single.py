"""One source, one sink, over loopback: MB/s until the copy is checked, CPU seconds, peak memory."""

from __future__ import annotations

import time
from collections.abc import Sequence

from edgecache.bench.stage import warm
from edgecache.model.errors import EdgecacheError
from tests.compare.catalogue import SINGLE
from tests.compare.entrant import Entrant, Task
from tests.compare.ground import loopback, make_content, scratch
from tests.compare.process import Failed
from tests.compare.rows import SingleRow
from tests.compare.scenario import MIB, SEED

SINK = 1
LOOK_PAUSE = 0.002
SAMPLE_PAUSE = 0.1
SETTLE = 0.5


def single(
    name: str, mib: float, *, limit: float, peers_python: str, congestion: str = "cubic", held: Sequence[str] = ()
) -> SingleRow:
    """One contestant, once; what goes wrong is in the row."""
    row = SingleRow(name, mib, congestion)
    try:
        with scratch() as directory, loopback(congestion, held) as ground:
            content = make_content(directory / "source" / "blob", round(mib * MIB))
            entrant = SINGLE[name].make(Task(ground, 2, content, directory, peers_python))
            entrant.prepare()
            warm(directory, 2 * content.size)
            time.sleep(SETTLE)
            _measure(row, entrant, limit)
            if entrant.digest(SINK) != content.sha256:
                raise Failed("the sink has something else than the blob")
    except (Failed, EdgecacheError, OSError, RuntimeError) as error:
        row.error = f"{type(error).__name__}: {error}"[:300]
    return row


def _measure(row: SingleRow, entrant: Entrant, limit: float) -> None:
    entrant.sample()
    before = entrant.cpu(SEED) + entrant.cpu(SINK)
    entrant.begin()
    sampled = entrant.began
    while SINK not in entrant.finished:
        if SINK in entrant.failed:
            raise Failed(entrant.failed[SINK])
        if time.monotonic() - entrant.began > limit:
            raise Failed(f"not done within {limit:.0f} s")
        time.sleep(LOOK_PAUSE)
        entrant.look()
        if time.monotonic() - sampled > SAMPLE_PAUSE:
            entrant.sample()
            sampled = time.monotonic()
    entrant.sample()
    size, seconds = entrant.task.content.size, entrant.finished[SINK] - entrant.began
    row.seconds, row.mb_s = round(seconds, 3), round(size / seconds / 1e6, 1)
    row.cpu_s_per_gb = round((entrant.cpu(SEED) + entrant.cpu(SINK) - before) / size * 1e9, 2)
    row.source_rss_peak, row.sink_rss_peak = entrant.rss_peak(SEED), entrant.rss_peak(SINK)
