"""A disk that is full, and has room again."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edgecache.model.errors import EdgecacheError, ExitCode
from tests.lab.agents import Enrolment, Following, LabAgent, eventually, sample, sha256
from tests.lab.netlab import NetLab
from tests.system.conftest import Figure, MakeMesh

pytestmark = pytest.mark.system

MIB = 1024 * 1024
DISK = 64 * MIB
KITCHEN = 1


@contextmanager
def small_disk(agent: LabAgent, enrolment: Enrolment, number: int) -> Iterator[Path]:
    """The agent's data directory is a file system of its own."""
    data = agent.directory / "data"
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "edgecache-test", data], check=True)
    try:
        enrolment.give(number, data)
        yield data
    finally:
        agent.stop()
        subprocess.run(["umount", data], check=True)


def fill(path: Path) -> None:
    """Somebody else takes what is left."""
    with path.open("wb") as stream:
        try:
            while True:
                stream.write(bytes(MIB))
                stream.flush()
        except OSError:
            pass


def test_full_disk(make_mesh: MakeMesh, enrolment: Enrolment, tmp_path: Path, figure: Figure) -> None:
    with NetLab(3) as lab:
        mesh = make_mesh(lab, range(3), store={"reserve_min": "4MiB"}, limits={"download": "50Mbit/s"})
        with small_disk(mesh[1], enrolment, 1) as disk:
            mesh.start()
            mesh.meet()
            hall, kitchen, attic = mesh
            path = tmp_path / "content"
            own = sample(11, 8 * MIB)
            path.write_bytes(own)
            owned = kitchen.put(path)
            path.write_bytes(sample(12, 80 * MIB))
            huge = hall.put(path)
            path.write_bytes(sample(13, 32 * MIB))
            blob = hall.put(path)

            done = subprocess.run(["/tmp/v/bin/python","-m","edgecache","-c",str(kitchen.config),"get",huge],capture_output=True,text=True)
            print(done)

            get = Following(kitchen, blob)
            eventually("x", lambda: get.have > 20, 20)
            fill(disk / "ballast")
            import time
            for _ in range(12):
                time.sleep(1); print(get.progress, get.error)
            assert attic.content(owned) == own
            print(kitchen.linked(), kitchen.ask("status")["store"])
            p=subprocess.run(["/tmp/v/bin/python","-m","edgecache","-c",str(kitchen.config),"put",str(path)],capture_output=True,text=True); print(p)
            (disk / "ballast").unlink()
            t=time.monotonic()
            print(get.done(60), time.monotonic()-t)
            print("\n".join(kitchen.log()))
