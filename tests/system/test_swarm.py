"""A blob is fetched by several at once; and what becomes of it when the publisher's cable is cut."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecache.model.content import CHUNK_BYTES
from tests.lab.agents import Following, LabAgent, Mesh, eventually, given_by, sample, sha256
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
