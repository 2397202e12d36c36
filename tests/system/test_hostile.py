"""Strangers do their worst, and the mesh goes on."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pytest

from edgecache.adapters.coap.bounds import LinkBounds
from edgecache.adapters.system.journal import CAUSE_INTERVAL
from tests.lab.agents import PORT, Enrolment, Following, LabAgent, eventually, sample
from tests.lab.netlab import NetLab
from tests.lab.tools import require_tool
from tests.system.conftest import Figure, MakeMesh

pytestmark = pytest.mark.system

MIB = 1024 * 1024
SLOWER = 1.3
"""Longest that a get may take under attack, in times of its control."""
SOURCES = [f"10.77.0.{number}" for number in range(101, 109)]
ATTACKER = 3
CAUSES = 8
"""Kinds of complaints about all of this together, at most."""


@contextmanager
def under_attack(lab: NetLab, targets: Sequence[LabAgent], identity: Path) -> Iterator[None]:
    """Each target has an attacker of its own, at full strength."""
    script = Path(__file__).with_name("attacker.py")
    attackers = []
    for target in targets:
        command: list[str | Path] = [sys.executable, script, lab.address(target.host), identity, *SOURCES]
        attackers.append(lab.popen(ATTACKER, command, stdout=subprocess.PIPE, text=True))
    try:
        for attacker in attackers:
            assert attacker.stdout is not None
            assert attacker.stdout.readline() == "at full strength\n"
        yield
        assert all(attacker.poll() is None for attacker in attackers), "an attack ended by itself"
    finally:
        for attacker in attackers:
            attacker.kill()
            attacker.wait()


def connections(agent: LabAgent) -> int:
    """What it has accepted on its port; what waits in the kernel to be accepted has no user."""
    shown = agent.lab.run(agent.host, [require_tool("ss"), "-Htnp", "state", "established", f"sport = :{PORT}"])
    return shown.stdout.count("users:")


def fetched(agent: LabAgent, blob: str, content: bytes) -> float:
    """Seconds that a get takes of a blob that is not here; nor is it afterwards."""
    get = Following(agent, blob)
    get.done(60)
    assert agent.content(blob) == content
    agent.command("rm", blob)
    return get.seconds


def complaints(agent: LabAgent) -> Counter[str]:
    """Warnings and worse, by their words without what varies."""
    found: Counter[str] = Counter()
    for line in agent.log():
        entry = re.fullmatch(r"\d\d:\d\d:\d\d ([A-Z]+) +(.*)", line)
        assert entry is not None, f"{agent.name} logged {line!r}"
        assert entry[1] in ("INFO", "WARNING"), line
        if entry[1] == "WARNING":
            found[re.sub(r"n[a-z2-7]{26}|[0-9a-f.:\[\]]*[0-9]+[0-9a-f.:\[\]]*| \(\d+ more .*\)", "#", entry[2])] += 1
    return found


def lost_links(agent: LabAgent) -> list[str]:
    """Lines about links that ended, but for the one of two that is given up when both have dialled."""
    return [line for line in agent.log() if "link with" in line and "closed: " in line and "duplicate" not in line]


@pytest.mark.parametrize("pairs", [3, pytest.param(20, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_a_get_under_attack(
    make_mesh: MakeMesh, enrolment: Enrolment, tmp_path: Path, figure: Figure, pairs: int
) -> None:
    """Hundreds of connections from eight addresses to both ends of a transfer."""
    content = sample(7, 20 * MIB)
    enrolment.give(-1, tmp_path / "stranger")
    with NetLab(4, up_mbit=100, down_mbit=100) as lab:
        for source in SOURCES:
            lab.run(ATTACKER, ["ip", "addr", "add", f"{source}/24", "dev", "eth0"])
        mesh = make_mesh(lab, range(3), coap={"enabled": True})
        mesh.start()
        mesh.meet()
        began = time.monotonic()
        holder, getter, _ = mesh
        path = tmp_path / "content"
        path.write_bytes(content)
        blob = holder.put(path)
        settled = [lost_links(agent) for agent in mesh]

        calm, attacked, held = [], [], []
        for _ in range(pairs):
            calm.append(fetched(getter, blob, content))
            with under_attack(lab, [holder, getter], tmp_path / "stranger"):
                attacked.append(fetched(getter, blob, content))
                held += [connections(holder), connections(getter)]

        ratio = median(attacked) / median(calm)
        figure("get under attack", f"{ratio:.2f} of its control ({median(attacked):.2f} s, {median(calm):.2f} s)")
        figure("connections held", f"{min(held)} to {max(held)} of more than 300 attempted")
        assert ratio <= SLOWER
        bounds = LinkBounds()
        assert bounds.handshakes_per_source < min(held), "the attack was weak"
        assert max(held) <= bounds.handshakes + len(mesh.agents) * 2
        assert [lost_links(agent) for agent in mesh] == settled
        lines = 1 + (time.monotonic() - began) // CAUSE_INTERVAL
        for agent in (holder, getter):
            said = complaints(agent)
            assert 0 < len(said) <= CAUSES, said
            assert max(said.values()) <= lines, said
        assert not complaints(mesh[2]), "whom nobody attacked has nothing to say"


def test_a_node_of_another_mesh(make_mesh: MakeMesh, enrolment: Enrolment, tmp_path: Path) -> None:
    """It gets a TLS handshake and nothing else, and the reason is in the logs of both."""
    content = sample(8, MIB)
    with NetLab(3) as lab:
        mesh = make_mesh(lab, range(2))
        stranger = LabAgent(lab, 2, "stranger", tmp_path / "stranger")
        enrolment.give(-1, stranger.directory / "data")
        stranger.configure({"discovery": {"seeds": [f"{lab.address(agent.host)}:{PORT}" for agent in mesh]}})
        mesh.start()
        mesh.meet()
        settled = [lost_links(agent) for agent in mesh]
        stranger.start()
        stranger.up()

        eventually("both have refused it", lambda: all(complaints(agent) for agent in mesh), 10.0)
        eventually("it knows that it was", lambda: complaints(stranger), 10.0)

        path = tmp_path / "content"
        path.write_bytes(content)
        assert mesh[1].content(mesh[0].put(path)) == content
        assert not stranger.linked()
        for agent in mesh:
            assert set(agent.peers()) == {other.name for other in mesh if other is not agent}
            assert max(complaints(agent).values()) == 1, complaints(agent)
        assert [lost_links(agent) for agent in mesh] == settled
