"""A disk that is full, and has room again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from edgecache.model.errors import ExitCode
from tests.lab.agents import Enrolment, Following, LabAgent, eventually, sample
from tests.lab.netlab import NetLab
from tests.lab.tools import lacking
from tests.system.conftest import Figure, MakeMesh

pytestmark = pytest.mark.system

MIB = 1024 * 1024
DISK = 64 * MIB
PAUSED = 10.0
RESUMED = 20.0


@contextmanager
def small_disk(agent: LabAgent, enrolment: Enrolment, number: int) -> Iterator[Path]:
    """The agent's data directory is a file system of its own."""
    data = agent.directory / "data"
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "edgecache-test", str(data)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        lacking(f"a small file system cannot be mounted: {done.stderr.strip()}")
    try:
        enrolment.give(number, data)
        yield data
    finally:
        agent.stop()
        subprocess.run(["umount", data], check=True)


def fill(path: Path) -> None:
    """Somebody else takes what is left."""
    with path.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(MIB))


def published(agent: LabAgent, directory: Path, content: bytes) -> str:
    path = directory / "content"
    path.write_bytes(content)
    return agent.put(path)


def test_full_disk(make_mesh: MakeMesh, enrolment: Enrolment, tmp_path: Path, figure: Figure) -> None:
    with NetLab(3) as lab:
        mesh = make_mesh(lab, range(3), store={"reserve_min": "4MiB"}, limits={"download": "60Mbit/s"})
        hall, kitchen, attic = mesh
        with small_disk(kitchen, enrolment, 1) as disk:
            mesh.start()
            mesh.meet()
            own, content = sample(11, 8 * MIB), sample(12, 24 * MIB)
            owned = published(kitchen, tmp_path, own)
            huge = published(hall, tmp_path, sample(13, DISK + MIB))
            blob = published(hall, tmp_path, content)

            refused = kitchen.tried("get", huge)
            assert refused.returncode == ExitCode.STORE_FULL
            assert "the disk has no room" in refused.stderr

            get = Following(kitchen, blob)
            eventually("it has some of it", lambda: get.have > 10, 20.0)
            fill(disk / "ballast")
            eventually("it says that it waits for room", lambda: get.progress["store_full"], PAUSED)
            assert get.is_alive()
            refused = kitchen.tried("put", str(tmp_path / "content"))
            assert refused.returncode == ExitCode.STORE_FULL

            assert attic.content(owned) == own, "what it has it serves"
            assert kitchen.linked() == {hall.name, attic.name}
            warnings = [line for line in kitchen.log() if "WARNING" in line]
            assert 0 < len(warnings) <= 2, warnings
            assert not any("Traceback" in line or "ERROR" in line for line in kitchen.log())

            (disk / "ballast").unlink()
            seconds = eventually("it goes on by itself", lambda: not get.is_alive(), RESUMED)
            figure("done", f"{seconds:.1f} s after there was room again")
            get.done(1.0)
            assert kitchen.content(blob) == content
