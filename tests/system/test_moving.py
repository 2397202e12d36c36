"""A device gets another address in the middle of a transfer."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.agents import Following, eventually, sample
from tests.lab.netlab import NetLab
from tests.system.conftest import Figure, MakeMesh

pytestmark = [pytest.mark.system, pytest.mark.slow]

MIB = 1024 * 1024
SOURCE, ASKER = 0, 1
FOUND = 45.0
"""A dead link is noticed within 10 s, and whoever has moved is found by multicast or redialled within 20 s."""


@pytest.mark.parametrize("who", [SOURCE, ASKER], ids=["source", "asker"])
def test_a_fetch_goes_on_at_the_new_address(make_mesh: MakeMesh, tmp_path: Path, figure: Figure, who: int) -> None:
    content = sample(81, 16 * MIB)
    with NetLab(2) as lab:
        for node in (SOURCE, ASKER):
            lab.only_ipv4(node)
        mesh = make_mesh(lab, range(2), limits={"upload": "20Mbit/s"})
        mesh.start()
        mesh.meet()
        path = tmp_path / "content"
        path.write_bytes(content)
        blob = mesh[SOURCE].put(path)
        get = Following(mesh[ASKER], blob)
        eventually("it has some of it", lambda: get.have > 8, 20.0)

        lab.readdress(who, 99)
        had = get.have
        eventually("it says what it waits for", lambda: get.progress["stalled"], 20.0)
        seconds = eventually("it goes on", lambda: get.have > had + 4, FOUND)
        figure("went on", f"{seconds:.1f} s after it said so")
        get.done(FOUND)
        assert mesh[ASKER].content(blob) == content
