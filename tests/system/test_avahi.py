"""avahi, which every Raspberry Pi OS runs, sees the agents, also the one on its own host."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.lab.agents import PORT, eventually
from tests.lab.netlab import NetLab
from tests.lab.tools import require_tool
from tests.system.conftest import MakeMesh

pytestmark = pytest.mark.system

BROWSED = 10.0

CONFIGURATION = """\
[server]
host-name=avahi-host
allow-interfaces=eth0
[publish]
publish-workstation=no
"""

DAEMONS = """\
mount -t tmpfs tmpfs /run && mkdir /run/dbus || exit 1
{dbus} --system --nofork --nopidfile &
until [ -S /run/dbus/system_bus_socket ]; do sleep 0.05; done
exec {avahi} --no-drop-root --no-chroot --no-rlimits --file {file}
"""
"""In a mount namespace: the system bus and avahi have one place each in /run, and it is not ours."""


@dataclass(frozen=True)
class Service:
    """What avahi resolved."""

    host: str
    address: str
    port: int
    txt: dict[str, str]


class Avahi:
    """avahi-daemon with a bus of its own on a host of a lab; ends with the lab."""

    def __init__(self, lab: NetLab, host: int, directory: Path) -> None:
        self._lab, self._host = lab, host
        self._browse = str(require_tool("avahi-browse"))
        file = directory / "avahi.conf"
        file.write_text(CONFIGURATION)
        script = DAEMONS.format(dbus=require_tool("dbus-daemon"), avahi=require_tool("avahi-daemon"), file=file)
        with (directory / "log").open("wb") as log:
            self._daemon = lab.popen(host, ["unshare", "--mount", "sh", "-c", script], stdout=log, stderr=log)

    def services(self, kind: str) -> dict[str, Service]:
        """The IPv4 services of a type, by instance; empty while avahi is not up."""
        assert self._daemon.poll() is None, "avahi ended"
        inside = ["nsenter", "--mount", f"--target={self._daemon.pid}"]
        command = [*inside, self._browse, "--resolve", "--terminate", "--parsable", "--no-db-lookup", kind]
        found = {}
        for line in self._lab.run(self._host, command).stdout.splitlines():
            if line.startswith("=;eth0;IPv4;"):
                _, _, _, name, _, _, host, address, port, txt = line.split(";", 9)
                pairs = (pair.split("=", 1) for pair in re.findall(r'"([^"]*)"', txt))
                found[name] = Service(host, address, int(port), dict(pairs))
        return found


def test_avahi_sees_the_agents(make_mesh: MakeMesh, tmp_path: Path) -> None:
    with NetLab(2) as lab:
        (tmp_path / "avahi").mkdir()
        avahi = Avahi(lab, 0, tmp_path / "avahi")
        mesh = make_mesh(lab, range(2), site="attic-lan")
        mesh.start()
        mesh.meet()
        found: dict[str, Service] = {}

        def both() -> bool:
            found.update(avahi.services("_edgecache._tcp"))
            return len(found) == 2

        eventually("avahi sees both", both, BROWSED)
        services = {service.txt["id"]: service for service in found.values()}
        for agent in mesh:
            status = agent.ask("status")
            service = services[agent.node]
            assert (service.address, service.port) == (lab.address(agent.host), PORT)
            assert service.txt["mesh"] == status["mesh"]
            assert service.txt["site"] == "attic-lan"
            assert service.txt["txtvers"] == "1"
            assert set(service.txt) == {"txtvers", "id", "mesh", "site", "v"}
