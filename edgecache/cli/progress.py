"""One line of progress: a bar with rate, sources and time left at a terminal, a line now and then elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from edgecache.cli.agent import size_text, span_text
from edgecache.cli.output import Output

LINE_INTERVAL = 5.0
"""Seconds between two lines when nobody watches a terminal: a log should not fill up."""
DRAW_INTERVAL = 0.1
RATE_WEIGHT = 0.3
"""Of the newest sample in the shown rate: steady to the eye, and follows within a second or two."""
BAR_CELLS = 24


class Progress:
    """Shows how far something is on standard error; silent with `--json`."""

    def __init__(self, output: Output, verb: str, total: int | None) -> None:
        self._silent, self._drawn = output.as_json, sys.stderr.isatty() and not output.as_json
        self._verb, self._total = verb, total
        self._began = self._shown = self._sampled = time.monotonic()
        self._done = 0
        self._first: int | None = None
        self._rate: float | None = None
        self._closed = False

    def show(self, done: int, total: int | None, remark: str) -> None:
        """`done` of `total` bytes (None: as before) are there; `remark` says where from or what is waited for."""
        now = time.monotonic()
        self._total = total or self._total
        if self._first is None:
            self._first = self._done = done
        if now - self._sampled >= DRAW_INTERVAL:
            sample = (done - self._done) / (now - self._sampled)
            self._rate = sample if self._rate is None else self._rate + RATE_WEIGHT * (sample - self._rate)
            self._sampled, self._done = now, done
        if self._silent or self._closed or now - self._shown < (DRAW_INTERVAL if self._drawn else LINE_INTERVAL):
            return
        self._shown = now
        text = self._text(done, remark)
        if self._drawn:
            room = shutil.get_terminal_size().columns - 1
            print(f"\r\x1b[2K{text[:room]}", end="", file=sys.stderr, flush=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def _text(self, done: int, remark: str) -> str:
        rate = self._rate or 0.0
        parts = [self._verb]
        if self._total:
            done = min(done, self._total)
            cells = BAR_CELLS * done // self._total
            parts.append(f"[{'#' * cells}{'-' * (BAR_CELLS - cells)}] {100 * done // self._total:3d} %")
            parts.append(f"{size_text(done)} of {size_text(self._total)}")
        else:
            parts.append(size_text(done))
        parts.append(f"{size_text(rate)}/s")
        if self._total and rate > 0:
            parts.append(f"{span_text((self._total - done) / rate)} left")
        if remark:
            parts.append(remark)
        return "  ".join(parts)

    def clear(self) -> None:
        """Make room for a line of output; progress is drawn again below it."""
        if self._drawn and not self._closed:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        """Clear the line, for good."""
        self.clear()
        self._closed = True


@contextmanager
def progress(output: Output, verb: str, total: int | None) -> Iterator[Progress]:
    """Progress that clears its line at the end."""
    bar = Progress(output, verb, total)
    try:
        yield bar
    finally:
        bar.close()
