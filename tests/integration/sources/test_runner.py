"""Sources on real files, and on the machine that the tests run on."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from edgecache.adapters.sources.attempt import Attempt
from edgecache.adapters.sources.file import SourceFailed, locate
from edgecache.adapters.sources.host import DISK, LOAD, MEMORY, RECEIVED, SENT, HostProbe
from edgecache.adapters.sources.runner import SourceRunner
from edgecache.adapters.system.clock import SystemClock
from edgecache.config.schema import FileSource, HostSource, Source
from edgecache.model.errors import TimedOut
from edgecache.model.reading import Failure, Observation, Reading


async def collect(
    sources: Iterable[Source], enough: Callable[[list[Observation]], bool], data_dir: Path, timeout: float = 0.3
) -> list[Observation]:
    seen: list[Observation] = []
    runner = SourceRunner(sources, 0.05, data_dir, SystemClock(), seen.extend, read_timeout=timeout)
    runner.start()
    try:
        async with asyncio.timeout(10):
            while not enough(seen):
                await asyncio.sleep(0.01)
    finally:
        await runner.stop()
    return seen


def of(seen: Iterable[Observation], series: str) -> list[Observation]:
    return [each for each in seen if each.series == series]


def test_a_file_is_read_again_and_again_and_a_failure_passes(tmp_path: Path) -> None:
    sensor = tmp_path / "28-0001" / "temperature"
    source = FileSource("attic", tmp_path / "28-*" / "temperature", "Cel", 0.001)

    async def scenario() -> list[Observation]:
        async def mend() -> None:
            await asyncio.sleep(0.3)
            sensor.parent.mkdir()
            sensor.write_text("21312\n")

        task = asyncio.create_task(mend())
        seen = await collect([source], lambda seen: any(isinstance(each, Reading) for each in seen), tmp_path)
        await task
        return seen

    seen = asyncio.run(scenario())
    assert isinstance(seen[0], Failure)
    assert "no file matches" in seen[0].reason
    last = seen[-1]
    assert isinstance(last, Reading)
    assert (last.series, last.value, last.unit) == ("attic", 21.312, "Cel")
    assert last.taken > seen[0].taken


def test_a_hung_and_a_broken_source_do_not_stop_the_others(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "good").write_text("7")
    (tmp_path / "huge").write_bytes(b"1" * 5000)
    sources = [
        FileSource("hung", pipe),
        FileSource("missing", tmp_path / "none"),
        FileSource("huge", tmp_path / "huge"),
        FileSource("good", tmp_path / "good"),
    ]

    def enough(seen: list[Observation]) -> bool:
        return len(of(seen, "good")) >= 5 and len(of(seen, "hung")) >= 2

    before = threading.active_count()
    seen = asyncio.run(collect(sources, enough, tmp_path, timeout=0.2))
    assert all(isinstance(each, Reading) and each.value == 7 for each in of(seen, "good"))
    reasons = {each.series: each.reason for each in seen if isinstance(each, Failure)}
    assert reasons["missing"] == f"{tmp_path}/none: No such file or directory"
    assert "more than 4096 bytes" in reasons["huge"]
    assert reasons["hung"] == "an earlier read still hangs"
    assert threading.active_count() <= before + 1, "one hung thread, however often it was tried"
    with pipe.open("w"):
        pass


def test_the_host_tells_what_it_has(tmp_path: Path) -> None:
    wanted = {LOAD, MEMORY, DISK, RECEIVED, SENT}
    seen = asyncio.run(collect([HostSource()], lambda seen: wanted <= {each.series for each in seen}, tmp_path, 5.0))
    values = {each.series: each for each in seen if isinstance(each, Reading)}
    assert wanted <= set(values)
    for ratio in (MEMORY, DISK):
        value = values[ratio].value
        assert isinstance(value, float)
        assert 0 < value < 1
        assert values[ratio].unit == "/"
    assert not [each for each in seen if isinstance(each, Failure)]


def test_what_the_host_lost_is_a_failure_and_what_it_never_had_is_left_out(tmp_path: Path) -> None:
    probe = HostProbe(["disk", "load"], tmp_path / "data", lambda: 0.0)
    assert {sample.series for sample in probe.read()} == {LOAD}
    (tmp_path / "data").mkdir()
    assert {sample.series for sample in probe.read()} == {LOAD, DISK}
    (tmp_path / "data").rmdir()
    lost = {sample.series: sample for sample in probe.read()}
    assert lost[DISK].value is None
    assert "No such file" in lost[DISK].failure
    assert lost[LOAD].value is not None


def test_several_matches_are_not_guessed_at(tmp_path: Path) -> None:
    for name in ("28-1", "28-2"):
        (tmp_path / name).touch()
    assert locate(tmp_path / "28-2") == tmp_path / "28-2"
    assert locate(tmp_path / "28-[2-9]") == tmp_path / "28-2"
    with pytest.raises(SourceFailed, match="2 files match"):
        locate(tmp_path / "28-*")


def test_an_attempt_has_a_deadline_and_passes_errors_on() -> None:
    async def scenario() -> None:
        attempt, gate = Attempt("test"), threading.Event()
        with pytest.raises(ZeroDivisionError):
            await attempt.run(lambda: 1 // 0, 5)
        assert await attempt.run(lambda: 3, 5) == 3
        with pytest.raises(TimedOut, match="no answer"):
            await attempt.run(gate.wait, 0.05)
        with pytest.raises(TimedOut, match="still hangs"):
            await attempt.run(gate.wait, 0.05)
        gate.set()

    asyncio.run(scenario())
