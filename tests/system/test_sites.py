"""Two sites with a narrow link between them: what a whole site fetches crosses it about once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.lab.agents import NAMES, Enrolment, Following, LabAgent, Mesh, eventually, sample
from tests.lab.netlab import NetLab
from tests.system.conftest import Figure

pytestmark = pytest.mark.system

MIB = 1024 * 1024
NORTH, SOUTH = range(4), range(4, 8)
CROSSINGS_MAX = 1.1
"""Of a blob, counted on the cable with all headers, requests and gossip."""


class TwoSites:
    """Four agents here, four there, and what has crossed."""

    def __init__(self, lab: NetLab, enrolment: Enrolment, directory: Path, mbit: float) -> None:
        self.lab = lab
        lab.join_sites(NORTH, SOUTH, mbit=mbit)
        self.mesh = Mesh(lab, enrolment, directory, range(8))
        for number, agent in enumerate(self.mesh):
            agent.configure({"site": "north" if number in NORTH else "south"})
        self.mesh.start()
        for agent in self.mesh:
            agent.up()
        names = set(NAMES)
        eventually("all know all", lambda: all(names <= {a.name, *a.peers()} for a in self.mesh), 20.0)
        self.directory = directory

    def put(self, content: bytes) -> str:
        """Publish in the north."""
        path = self.directory / "content"
        path.write_bytes(content)
        return self.mesh[0].put(path)

    def fetched(self, agents: Sequence[LabAgent], blob: str, timeout: float, *, pause: float = 0.0) -> float:
        """All of these fetch it, one after another; how many bytes crossed southwards until all have it."""
        before = self.lab.crossed()[0]
        gets = []
        for agent in agents:
            gets.append(Following(agent, blob))
            time.sleep(pause)  # people are not all quick
        for get in gets:
            get.done(timeout)
        return self.lab.crossed()[0] - before


@pytest.fixture(scope="session")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> Enrolment:
    """Eight members of one mesh."""
    return Enrolment(tmp_path_factory.mktemp("sites"), len(NAMES))


def test_a_blob_crosses_once(everybody: Enrolment, tmp_path: Path, figure: Figure) -> None:
    content = sample(71, 10 * MIB)
    with NetLab(8) as lab:
        sites = TwoSites(lab, everybody, tmp_path, mbit=20)
        blob = sites.put(content)
        south = [sites.mesh[number] for number in SOUTH]
        crossings = sites.fetched(south, blob, 30.0) / len(content)
        told = [agent.ask("explain", blob=blob[:12]) for agent in south]
        chunks = sum(one["crossed"] for one in told) / len(content)
        figure("crossings of one blob", f"{crossings:.3f}, of which chunks {chunks:.3f}")
        assert crossings <= CROSSINGS_MAX
        assert 1 <= chunks <= crossings, "what each says that it had from there"
        for agent, one in zip(south, told, strict=True):
            assert one["standing"]["kind"] == "ended"
            assert sum(source["bytes"] for source in one["sources"]) == len(content)
            assert {source["name"] for source in one["sources"]} <= {"hall", *(other.name for other in south)}
            assert "came from other sites" in agent.command("explain", blob)


@pytest.mark.slow
@pytest.mark.parametrize("pause", [0.0, 2.0], ids=["at once", "one after another"])
@pytest.mark.parametrize("holders", [1, 4])
def test_a_larger_blob_crosses_once(
    everybody: Enrolment, tmp_path: Path, figure: Figure, holders: int, pause: float
) -> None:
    """5 Mbit/s, with one or four holders on the other side."""
    content = sample(72, 16 * MIB)
    with NetLab(8) as lab:
        sites = TwoSites(lab, everybody, tmp_path, mbit=5)
        blob = sites.put(content)
        for number in NORTH[1:holders]:
            Following(sites.mesh[number], blob).done(30.0)
        began = time.monotonic()
        south = [sites.mesh[number] for number in SOUTH]
        crossings = sites.fetched(south, blob, 120.0, pause=pause) / len(content)
        seconds = time.monotonic() - began
        chunks = sum(agent.ask("explain", blob=blob)["crossed"] for agent in south) / len(content)
        figure("crossings of one blob", f"{crossings:.3f}, of which chunks {chunks:.3f}, in {seconds:.1f} s")
        assert crossings <= CROSSINGS_MAX


@pytest.mark.slow
def test_who_fetches_for_the_others_may_die(everybody: Enrolment, tmp_path: Path, figure: Figure) -> None:
    """What one of them had under way when its power went crosses again, and no more."""
    content = sample(73, 16 * MIB)
    with NetLab(8) as lab:
        sites = TwoSites(lab, everybody, tmp_path, mbit=5)
        blob = sites.put(content)
        south = [sites.mesh[number] for number in SOUTH]
        before = lab.crossed()[0]
        gets = [Following(agent, blob) for agent in south]
        eventually("it has begun", lambda: gets[0].have > 8, 60.0)
        south[0].kill()
        for get in gets[1:]:
            get.done(120.0)
        crossings = (lab.crossed()[0] - before) / len(content)
        figure("crossings of one blob", f"{crossings:.3f}")
        assert crossings <= CROSSINGS_MAX + 0.15
