"""A blob is fetched by several at once; and what becomes of it when the publisher's cable is cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecache.model.content import CHUNK_BYTES
from tests.lab.agents import Following, LabAgent, Mesh, eventually, given_by, sample
from tests.lab.netlab import NetLab
from tests.system.conftest import Figure, MakeMesh

pytestmark = pytest.mark.system

MIB = 1024 * 1024
LINK_MBIT = 100.0


def published(agent: LabAgent, directory: Path, content: bytes) -> str:
    """The id of the blob that this content is."""
    path = directory / "content"
    path.write_bytes(content)
    return agent.put(path)


def test_three_fetch_at_once(make_mesh: MakeMesh, tmp_path: Path, figure: Figure) -> None:
    content = sample(1, 64 * MIB)
    ideal = len(content) * 8 / (LINK_MBIT * 1e6)
    with NetLab(4, up_mbit=LINK_MBIT, down_mbit=LINK_MBIT) as lab:
        mesh = make_mesh(lab, range(4))
        mesh.start()
        mesh.meet()
        publisher, *others = mesh
        blob = published(publisher, tmp_path, content)

        gets = [Following(agent, blob) for agent in others]
        replies = [get.done(6 * ideal) for get in gets]

        slowest = max(get.seconds for get in gets)
        share = 1 - given_by([reply["sources"] for reply in replies], publisher.node)
        figure("slowest of three", f"{slowest / ideal:.2f} of size / rate")
        figure("given by those who did not publish", f"{share:.0%}")
        assert slowest <= 2 * ideal
        assert share >= 0.4
        assert all(sum(agent.ask("status")["served"].values()) > 0 for agent in others)
        for agent in others:
            copy = tmp_path / f"{agent.name}.copy"
            agent.command("get", blob, "-o", str(copy))
            assert copy.read_bytes() == content


class Cut:
    """Three fetch from a slow publisher, whose cable is pulled when they lack exactly `lacking` chunks together."""

    def __init__(self, mesh: Mesh, blob: str, content: bytes, lacking: int) -> None:
        self.publisher, *self.others = mesh
        self.blob, self.content = blob, content
        self.chunks = -(-len(content) // CHUNK_BYTES)
        self.gets = [Following(agent, blob) for agent in self.others]
        eventually("the moment to cut", lambda: len(self.missing()) <= lacking, 30.0, pause=0.01)
        self.publisher.lab.carrier(self.publisher.host, up=False)

    def missing(self) -> set[int]:
        """Chunks that none of the three has."""
        return set(range(self.chunks)).difference(*(agent.on_disk(self.blob, self.content) for agent in self.others))

    def finish(self, timeout: float) -> None:
        """All three get it whole."""
        for get in self.gets:
            get.done(timeout)
            assert get.agent.content(self.blob) == self.content


def test_the_publisher_is_cut_off_when_the_others_have_it_all_together(
    make_mesh: MakeMesh, tmp_path: Path, figure: Figure
) -> None:
    """None of them has all of it, but each chunk is with one of them: that is enough."""
    content = sample(2, 12 * MIB)
    with NetLab(4) as lab:
        mesh = make_mesh(lab, range(4), limits={"upload": "10Mbit/s"})
        mesh[0].configure({"limits": {"upload": "60Mbit/s"}})
        mesh.start()
        mesh.meet()

        cut = Cut(mesh, published(mesh[0], tmp_path, content), content, lacking=0)

        held = [len(agent.on_disk(cut.blob, content)) for agent in cut.others]
        figure("had when the cable was cut", f"{held} of {cut.chunks} chunks")
        assert all(count < cut.chunks for count in held), f"cut too late: {held} of {cut.chunks}"
        cut.finish(30.0)


def test_the_publisher_is_cut_off_with_the_last_chunk(make_mesh: MakeMesh, tmp_path: Path, figure: Figure) -> None:
    """They say which chunk is nowhere, wait for it, and finish when the cable is back."""
    content = sample(3, 10 * CHUNK_BYTES)
    with NetLab(4) as lab:
        mesh = make_mesh(lab, range(4))
        mesh[0].configure({"limits": {"upload": "4Mbit/s"}})
        mesh.start()
        mesh.meet()

        cut = Cut(mesh, published(mesh[0], tmp_path, content), content, lacking=1)
        (missing,) = cut.missing()

        def all_say_so() -> bool:
            return all(get.progress["missing_nowhere"] == [missing] for get in cut.gets)

        seconds = eventually(f"all say that chunk {missing} is nowhere", all_say_so, 20.0)
        figure("chunk reported as nowhere", f"{seconds:.1f} s after the cut")
        assert all(get.have == cut.chunks - 1 for get in cut.gets), "they share what they have"
        assert all(get.is_alive() for get in cut.gets), "they wait"

        mesh[0].lab.carrier(mesh[0].host, up=True)
        seconds = eventually("all are done", lambda: not any(get.is_alive() for get in cut.gets), 40.0)
        figure("done", f"{seconds:.1f} s after the cable is back")
        cut.finish(1.0)
