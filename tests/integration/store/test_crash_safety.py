"""Power cuts and kills at every moment of a recorded run: nothing acknowledged is lost, nothing wrong is read."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edgecache.store.disk import DiskStore
from tests.integration.store.crash.promises import Promises
from tests.integration.store.crash.replay import KILLED, Fate, Operation, PaperDisk, operations, power_cuts
from tests.integration.store.crash.workload import PARTS, open_store, samples
from tests.lab.tools import require_tool

CRASH = Path(__file__).with_name("crash")
PROJECT = Path(__file__).resolve().parents[3]
MEMORY = Path("/dev/shm")


@dataclass(frozen=True)
class Run:
    """A recorded run, and the directory as it was after it."""

    operations: list[Operation]
    root: Path


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Run:
    tmp = tmp_path_factory.mktemp("recorded")
    recorder = tmp / "recorder.so"
    compiler = require_tool("gcc")
    options = ["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-ldl", "-lpthread"]
    subprocess.run([compiler, CRASH / "recorder.c", *options, "-o", recorder], check=True, timeout=60)
    root = tmp / "store"
    root.mkdir()
    logs = []
    for part in range(len(PARTS)):
        logs.append(tmp / f"log{part}")
        environment = {"LD_PRELOAD": str(recorder), "RECORD_ROOT": str(root), "RECORD_LOG": str(logs[-1])}
        subprocess.run(
            [sys.executable, "-m", "tests.integration.store.crash.workload", root, str(part)],
            check=True,
            timeout=60,
            cwd=PROJECT,
            env=os.environ | environment,
        )
    return Run(list(operations(logs, root)), root)


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory if there is one: thousands of stores are opened in it."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path / "crashed"
        return
    place = MEMORY / f"edgecache-crash-{os.getpid()}"
    place.mkdir()
    yield place / "crashed"
    shutil.rmtree(place)


def files_below(root: Path) -> dict[str, bytes]:
    found = {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    found.pop("acknowledged")
    return found


def materialise(disk: PaperDisk, fate: Fate, place: Path) -> None:
    shutil.rmtree(place, ignore_errors=True)
    for directory in disk.directories:
        (place / directory).mkdir(parents=True, exist_ok=True)
    for path, content in disk.files(fate).items():
        with (place / path).open("wb") as file:
            for at in range(0, len(content), 4096):  # holes stay holes
                block = content[at : at + 4096]
                if block.strip(b"\0"):
                    file.seek(at)
                    file.write(block)
            file.truncate(len(content))


def test_a_replay_of_everything_gives_the_directory(recorded: Run) -> None:
    disk = PaperDisk()
    for operation in recorded.operations:
        if operation.kind != "A":
            disk.apply(operation)
    assert disk.files(KILLED) == files_below(recorded.root)
    kinds = {operation.kind for operation in recorded.operations}
    assert kinds == set("CEWTSDFRUMA")


def moments(run: Run, stride: int) -> Iterator[tuple[int, PaperDisk, Promises]]:
    """Prefixes of the run: each promise, each operation that is not just one more write, and each `stride`-th write."""
    disk, promises = PaperDisk(), Promises(samples())
    for number, operation in enumerate(run.operations):
        if operation.kind == "A":
            promises.follow(operation.data)
        else:
            disk.apply(operation)
        promised = operation.kind == "A" and b'"done"' in operation.data
        if promised or operation.kind not in "AW" or (operation.kind == "W" and number % stride == 0):
            yield number, disk, promises


def goes_on(store: DiskStore) -> None:
    """What was left half-done can be finished."""
    for sample in samples().values():
        sample.fetch(store)
        store.complete(sample.blob)


def fates_of(number: int, rounds: int) -> dict[str, Fate]:
    """A kill and power cuts; in no whole round only three of these, in turn."""
    fates = {"killed": KILLED}
    for turn in range(max(1, rounds)):
        cuts = power_cuts(random.Random(number * 1000 + turn))
        kept = list(cuts) if rounds else [list(cuts)[(number + step) % len(cuts)] for step in (0, 2, 4)]
        fates |= {f"{name}, {turn}": cuts[name] for name in kept}
    return fates


def recover_everywhere(run: Run, scratch: Path, stride: int, rounds: int) -> int:
    tried = 0
    for number, disk, promises in moments(run, stride):
        for name, fate in fates_of(number, rounds).items():
            materialise(disk, fate, scratch)
            try:
                store = open_store(scratch)
                promises.check(store, killed=fate is KILLED)
                if fate is KILLED and number % 3 == 0:
                    goes_on(store)
                store.close()
            except Exception as error:
                error.add_note(f"after operation {number} ({run.operations[number].kind}), {name}")
                raise
            tried += 1
    return tried


def test_every_moment_is_survived(recorded: Run, scratch: Path) -> None:
    assert recover_everywhere(recorded, scratch, stride=7, rounds=0) > 800


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_moment_is_survived_in_many_ways(recorded: Run, scratch: Path) -> None:
    assert recover_everywhere(recorded, scratch, stride=1, rounds=20) > 30_000


def test_writes_and_syncs_are_counted_as_they_happen(recorded: Run) -> None:
    written = fsyncs = 0
    seen: list[tuple[int, int, dict[str, int]]] = []
    for operation in recorded.operations:
        fsyncs += operation.kind in "SDF"
        written += len(operation.data) if operation.kind == "W" else 0
        if operation.kind == "A" and b'"count"' in operation.data:
            seen.append((written, fsyncs, json.loads(operation.data)))
    (bytes_before, syncs_before, before), (bytes_after, syncs_after, after) = seen
    real_bytes, counted_bytes = bytes_after - bytes_before, after["written"] - before["written"]
    real_syncs, counted_syncs = syncs_after - syncs_before, after["fsyncs"] - before["fsyncs"]
    assert real_bytes <= counted_bytes <= 1.05 * real_bytes
    assert real_syncs <= counted_syncs <= 1.1 * real_syncs
