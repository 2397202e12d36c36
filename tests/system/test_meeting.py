"""Agents find each other by mDNS and link, within three seconds of the last one's start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab.netlab import NetLab
from tests.system.conftest import MakeMesh

pytestmark = pytest.mark.system

PROMISED = 3.0


def test_four_hosts(make_mesh: MakeMesh, record_property: object) -> None:
    with NetLab(4) as lab:
        mesh = make_mesh(lab, range(4))
        mesh.start()
        seconds = mesh.meet()
        print(f"FIGURE four hosts linked {seconds:.2f} s")
        for agent in mesh:
            shown = json.loads(agent.command("peers", "--json"))["peers"]
            print([(p["name"], p["linked"], p["seen_via"]) for p in shown])
