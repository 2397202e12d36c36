"""A peer goes without a word, or says goodbye; and comes back."""

from __future__ import annotations

import signal
import time

import pytest

from tests.lab.agents import LabAgent, eventually
from tests.lab.netlab import NetLab
from tests.system.conftest import Figure, MakeMesh

pytestmark = pytest.mark.system

NOTICED = 10.0
"""Promised for a peer that goes without a FIN."""
DECLARED = 16.0
"""Noticed, suspected, and not refuted."""
REJOINED = 25.0
"""The longest pause between two dials is 20 s."""
TOLD = 1.0
STOPPED = 2.0


def statuses(agents: list[LabAgent], of: str) -> set[str]:
    return {agent.peers()[of]["status"] for agent in agents}


def test_a_cable_is_pulled_and_put_back(make_mesh: MakeMesh, figure: Figure) -> None:
    with NetLab(3) as lab:
        mesh = make_mesh(lab, range(3))
        mesh.start()
        mesh.meet()
        *others, lost = mesh

        lab.carrier(lost.host, up=False)
        cut = time.monotonic()

        eventually("both have noticed", lambda: all(lost.name not in agent.linked() for agent in others), NOTICED)
        figure("noticed", f"{time.monotonic() - cut:.1f} s after the cable was pulled")
        eventually("it has noticed too", lambda: not lost.linked(), NOTICED - (time.monotonic() - cut))
        assert statuses(others, lost.name) <= {"suspect", "dead"}
        eventually("both say it is dead", lambda: statuses(others, lost.name) == {"dead"}, DECLARED)
        figure("declared dead", f"{time.monotonic() - cut:.1f} s after it was pulled")
        assert all(len(agent.linked()) == 1 for agent in others), "the others' link has stayed"

        lab.carrier(lost.host, up=True)
        back = time.monotonic()
        mesh.meet(REJOINED)
        figure("linked again", f"{time.monotonic() - back:.1f} s after it was put back")
        eventually("it is alive to both", lambda: statuses(others, lost.name) == {"alive"}, TOLD)


def test_goodbye(make_mesh: MakeMesh, figure: Figure) -> None:
    """Whoever is stopped says so: nobody suspects it, and nobody waits for it."""
    with NetLab(3) as lab:
        mesh = make_mesh(lab, range(3))
        mesh.start()
        mesh.meet()
        *others, leaver = mesh
        assert leaver.process is not None

        leaver.process.send_signal(signal.SIGTERM)
        told = eventually("both say it left", lambda: statuses(others, leaver.name) == {"left"}, TOLD, pause=0.01)
        figure("known to have left", f"{told:.2f} s after SIGTERM")
        assert leaver.process.wait(STOPPED) == 0

        leaver.start()
        mesh.meet()
        eventually("it is alive to both", lambda: statuses(others, leaver.name) == {"alive"}, TOLD)
