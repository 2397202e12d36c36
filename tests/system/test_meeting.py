"""Agents find each other by mDNS and link, whatever the hosts' addresses and clocks are."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.lab.agents import Mesh, eventually
from tests.lab.netlab import NetLab
from tests.lab.wallclock import WallClock
from tests.system.conftest import Figure, MakeMesh

pytestmark = pytest.mark.system

PROMISED = 3.0
"""Seconds from the start of the last agent to all links."""
LATE = 12.0
"""Own addresses are looked at every 5 s."""
SIGHTED = 5.0
"""A peer that called us before its announcement came is shown as seen by mDNS a moment later."""


def assert_met(mesh: Mesh, figure: Figure) -> None:
    """Everybody is linked in time, and `peers --json` says so."""
    seconds = mesh.meet()
    figure("all linked", f"{seconds:.2f} s after the last start")
    assert seconds <= PROMISED, f"load of the machine: {os.getloadavg()[0]:.1f}"
    eventually("everybody seen by mDNS", lambda: all_by_mdns(mesh), SIGHTED)
    for agent in mesh:
        others = {other.node: other.name for other in mesh if other is not agent}
        shown = json.loads(agent.command("peers", "--json"))["peers"]
        assert {peer["node"]: peer["name"] for peer in shown} == others
        for peer in shown:
            assert (peer["linked"], peer["overlay"], peer["status"], peer["seen_via"]) == (True, True, "alive", "mdns")


def all_by_mdns(mesh: Mesh) -> bool:
    return all(peer["seen_via"] == "mdns" for agent in mesh for peer in agent.peers().values())


def test_four_hosts(make_mesh: MakeMesh, figure: Figure) -> None:
    with NetLab(4) as lab:
        mesh = make_mesh(lab, range(4))
        mesh.start()
        assert_met(mesh, figure)


def test_hosts_without_ipv4(make_mesh: MakeMesh, figure: Figure) -> None:
    """Link-local addresses are all that a cable between two devices gives."""
    with NetLab(3) as lab:
        for host in range(3):
            lab.run(host, ["ip", "-4", "addr", "flush", "dev", "eth0"])
        mesh = make_mesh(lab, range(3))
        mesh.start()
        assert_met(mesh, figure)
        for agent in mesh:
            for peer in agent.peers().values():
                assert all(address.startswith("[fe80::") for address in peer["addresses"])


def test_several_agents_on_a_host(make_mesh: MakeMesh, figure: Figure) -> None:
    """Three share a host and its mDNS port; a fourth is elsewhere."""
    with NetLab(2) as lab:
        mesh = make_mesh(lab, [0, 0, 0, 1], listen={"port": 0})
        mesh.start()
        assert_met(mesh, figure)
        ports = {peer["addresses"][0].rpartition(":")[2] for peer in mesh[3].peers().values()}
        assert len(ports) == 3


def test_a_network_that_comes_later(make_mesh: MakeMesh, figure: Figure) -> None:
    """Wi-Fi is up long after the agent is."""
    with NetLab(2) as lab:
        mesh = make_mesh(lab, range(2))
        lab.run(1, ["ip", "link", "set", "eth0", "down"])
        mesh.start()
        for agent in mesh:
            agent.up()
        assert not mesh[0].peers()

        lab.run(1, ["ip", "link", "set", "eth0", "up"])
        lab.run(1, ["ip", "route", "add", "10.77.0.0/24", "dev", "eth0"])
        seconds = eventually("both are linked", lambda: all(agent.linked() for agent in mesh), LATE)
        figure("linked", f"{seconds:.1f} s after the network came")


def test_a_device_without_a_clock(make_mesh: MakeMesh, tmp_path: Path) -> None:
    """A Pi has no battery: until somebody tells it the time it believes in 1970, when no certificate was valid yet."""
    clock = WallClock(tmp_path / "clock")
    clock.set(3600, trusted=False)
    with NetLab(2) as lab:
        mesh = make_mesh(lab, range(2))
        mesh[0].start()
        mesh[1].start(clock.wrapper)
        mesh.meet()
        blob = mesh[1].put(Path(__file__))
        added = mesh[1].blobs()[blob]["added"]
        assert datetime.fromtimestamp(added, UTC).year == 1970, "its clock should be wrong in this test"
        assert mesh[0].content(blob) == Path(__file__).read_bytes()
