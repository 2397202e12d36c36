"""Runs all sources of a node: each in a task of its own, so that a slow or broken one does not touch the others."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from edgecache.adapters.sources.attempt import Attempt
from edgecache.adapters.sources.file import SourceFailed, file_reader
from edgecache.adapters.sources.host import SERIES_OF, HostProbe, Sample
from edgecache.config.schema import FileSource, Source
from edgecache.model.errors import TimedOut
from edgecache.model.instant import WallTime
from edgecache.model.reading import TEXT_BYTES_MAX, Failure, Observation, Reading
from edgecache.ports import Clock

_log = logging.getLogger(__name__)

READ_SECONDS = 5.0
"""A 1-wire thermometer takes 0.75 s, several on one bus that much each in turn; a driver that hangs takes longer."""

FIRST_WITHIN = 0.2
"""Seconds over which the first reads are spread."""

JITTER = 0.05
"""Part of the interval by which each wait is longer or shorter, so that the nodes of a site do not speak in chorus."""


class SourceRunner:
    """Reads the configured sources, each at its interval, and hands on what they say; called on the event loop."""

    def __init__(
        self,
        sources: Iterable[Source],
        interval: float,
        data_dir: Path,
        clock: Clock,
        on_readings: Callable[[list[Observation]], None],
        *,
        read_timeout: float = READ_SECONDS,
        rng: random.Random | None = None,
    ) -> None:
        """`interval` (seconds) is of sources that name none, `data_dir` where the disk is measured."""
        self._clock = clock
        self._on_readings = on_readings
        self._timeout = read_timeout
        self._rng = rng or random.Random()
        self._tasks: list[asyncio.Task[None]] = []
        self._plans: list[tuple[str, float, Callable[[], Awaitable[list[Observation]]]]] = []
        for number, source in enumerate(sources):
            wait = source.interval or interval
            if isinstance(source, FileSource):
                self._plans.append((source.series, wait, self._file(source)))
            else:
                probe = HostProbe(source.metrics, data_dir, clock.now)
                series = [name for metric in source.metrics for name in SERIES_OF[metric]]
                self._plans.append((f"host {number}", wait, self._host(probe, series)))

    def start(self) -> None:
        """Begin to read; the first readings come at once."""
        for name, wait, take in self._plans:
            self._tasks.append(asyncio.create_task(self._run(wait, take), name=f"source {name}"))

    async def stop(self) -> None:
        """End reading; does not wait for a read that hangs. Harmless when not started."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()

    async def _run(self, wait: float, take: Callable[[], Awaitable[list[Observation]]]) -> None:
        await asyncio.sleep(self._rng.uniform(0, min(wait, FIRST_WITHIN)))
        failed = False
        while True:
            seen = await take()
            failures = [each for each in seen if isinstance(each, Failure)]
            if failures and not failed:
                _log.warning("source of %s failed: %s", failures[0].series, failures[0].reason)
            elif failed and not failures:
                _log.info("source of %s works again", seen[0].series if seen else "the host")
            failed = bool(failures)
            if seen:
                self._on_readings(seen)
            await asyncio.sleep(wait * self._rng.uniform(1 - JITTER, 1 + JITTER))

    def _file(self, source: FileSource) -> Callable[[], Awaitable[list[Observation]]]:
        attempt, read = Attempt(f"source {source.series}"), file_reader(source)

        async def take() -> list[Observation]:
            taken, wall = self._stamp()
            try:
                value = await attempt.run(read, self._timeout)
            except (SourceFailed, OSError, TimedOut, ValueError) as error:
                return [Failure(source.series, _reason(error), taken, wall)]
            taken, wall = self._stamp()
            return [Reading(source.series, value, source.unit, taken, wall)]

        return take

    def _host(self, probe: HostProbe, series: list[str]) -> Callable[[], Awaitable[list[Observation]]]:
        attempt = Attempt("source host")

        async def take() -> list[Observation]:
            try:
                samples = await attempt.run(probe.read, self._timeout)
            except TimedOut as error:
                samples = [Sample(name, None, failure=_reason(error)) for name in series]
            taken, wall = self._stamp()
            return [_observation(sample, taken, wall) for sample in samples]

        return take

    def _stamp(self) -> tuple[float, WallTime | None]:
        return self._clock.now(), self._clock.wall() if self._clock.wall_trusted() else None


def _observation(sample: Sample, taken: float, wall: WallTime | None) -> Observation:
    if sample.value is None:
        return Failure(sample.series, sample.failure, taken, wall)
    return Reading(sample.series, sample.value, sample.unit, taken, wall)


def _reason(error: Exception) -> str:
    """One printable line of bounded size."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        text = f"{error.filename}: {error.strerror}"
    else:
        text = str(error) or type(error).__name__
    line = "".join(c if c.isprintable() else " " for c in text)
    return line.encode()[:TEXT_BYTES_MAX].decode(errors="ignore")
