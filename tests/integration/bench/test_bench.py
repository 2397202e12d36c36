"""`edgecache bench`: what is shown, the clients that ask, and short runs of the real thing."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgecache.adapters.pki.credentials import load_credentials
from edgecache.adapters.pki.files import IdentityFiles
from edgecache.bench.idle import idle
from edgecache.bench.leaf import LeafClient
from edgecache.bench.measure import usage
from edgecache.bench.small import small
from edgecache.bench.swarm import MIB, swarm
from edgecache.fleet.agents import Agent, enrol
from edgecache.model.errors import TransportError
from tests.integration.cli.running import edgecache

WAY = {"p50_ms": 0.5, "p99_ms": 1.5, "per_s": 1800.0, "per_s_16": 2500.0, "n": 100}
AGENT = {"name": "n0", "seconds": 6.5, "gave_bytes": 33554432, "cpu_s": 0.4, "rss_peak_mib": 58.6}
IDLE = {
    "name": "n0", "rss_mib": 54.0, "cpu_percent": 0.2, "sent_bytes_per_s": 16.0, "received_bytes_per_s": 17.0,
    "written_bytes_per_h": 4096, "syncs_per_h": 1.0,
}  # fmt: skip
RESULTS: dict[str, dict[str, Any]] = {
    "swarm": {"last_s": 6.5, "bound_s": 5.37, "bound_ratio": 1.21, "publisher_copies": 1.05, "agents": [AGENT]},
    "small": {"leaf": WAY, "link": WAY, "control": WAY, "reading_ms": {**WAY, "max_ms": 2.0}},
    "idle": {"agents": [IDLE], "loopback": {"packets_per_s": 1.7, "bytes_per_s": 125.6}, "ok": False},
    "single": {
        "edgecache": {"mb_s": 200.0, "written_ratio": 1.0}, "aiocoap": {"mb_s": 250.0}, "speed_ratio": 0.8,
        "cpu_ratio": 1.1, "profile": {"source": ["ncalls"]},
    },
}  # fmt: skip
SHOWN = {
    "swarm": ("6.50 s, 1.21 x the 5.37 s", "1.05 copies", "33554432"),
    "small": ("TLS link", "1800", "2500", "0.5 ms (p99 1.5 ms)"),
    "idle": ("54", "4096", "1.7 packets/s", "above the limits"),
    "single": ("mb_s", "200", "250", "speed 0.80", "ncalls"),
}


@pytest.mark.parametrize("name", RESULTS)
def test_results_for_people_and_as_json(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"edgecache.bench.{name}.{name}", lambda *_, **__: RESULTS[name])
    code = 1 if name == "idle" else 0
    shown = edgecache("bench", name)
    assert shown.code == code
    assert all(text in shown.out for text in SHOWN[name]), shown.out
    told = edgecache("bench", name, "--json")
    assert told.code == code
    assert told.json["bench"] == name
    assert told.json["machine"]["cores"] == os.cpu_count()
    assert RESULTS[name].items() <= told.json.items()


def test_a_rate_that_is_none() -> None:
    done = edgecache("bench", "swarm", "--rate", "fast", "--json")
    assert done.code == 2
    assert "50Mbit/s" in done.json_error["hint"]
    assert edgecache("bench", "swarm", "--nodes", "1").code == 2


class LeafServer(threading.Thread):
    """Answers 2.05 until told otherwise."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.requests: list[bytes] = []
        self.code = 0x45
        self.start()

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def run(self) -> None:
        while True:
            request, source = self.socket.recvfrom(2048)
            if not request:
                return
            self.requests.append(request)
            self.socket.sendto(bytes((0x64, self.code)) + request[2:8] + b"\xff22.5", source)


@pytest.fixture
def leaf_server() -> Iterator[LeafServer]:
    server = LeafServer()
    yield server
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
        end.sendto(b"", ("127.0.0.1", server.port))
    server.join(10)
    server.socket.close()


def test_the_leaf_client_speaks_coap(leaf_server: LeafServer) -> None:
    with LeafClient(leaf_server.port, ("reading", "n1", "host", "load1")) as client:
        assert client.get() > 0
        assert client.many(40, 16) > 0
        assert len(leaf_server.requests) == 41
        assert leaf_server.requests[0] == b"\x44\x01\x00\x01\x00\x00\x00\x01\xb7reading\x02n1\x04host\x05load1"
        leaf_server.code = 0x84
        with pytest.raises(TransportError, match=r"4\.04"):
            client.get()


def test_enrolled_without_the_command_line(tmp_path: Path) -> None:
    agents = [Agent(f"n{number}", tmp_path / f"n{number}") for number in range(3)]
    enrol(agents)
    credentials = [load_credentials(IdentityFiles(agent.directory / "data")) for agent in agents]
    assert len({one.mesh for one in credentials}) == 1
    assert len({one.node for one in credentials}) == 3
    assert [IdentityFiles(agent.directory / "data").ca_key.exists() for agent in agents] == [True, False, False]


def test_usage_is_of_the_process() -> None:
    own = usage(os.getpid())
    assert own.rss_peak >= own.rss > 10 * MIB
    assert own.cpu > 0


@pytest.mark.slow
def test_a_short_swarm() -> None:
    result = swarm(3, 1, 2_000_000)
    assert result["last_s"] >= result["first_s"] > 0
    assert result["bound_s"] == pytest.approx(MIB / 2_000_000, abs=0.001)
    assert sum(agent["gave_bytes"] for agent in result["agents"]) >= 2 * MIB
    assert result["agents"][0]["seconds"] is None


@pytest.mark.slow
def test_short_runs_of_the_others() -> None:
    found = small(2, 20, 3)
    assert all(found[way]["per_s_16"] > 0 for way in ("leaf", "link", "control"))
    assert found["reading_ms"]["n"] >= 3
    idling = idle(2, 1.0)
    assert len(idling["agents"]) == 2
    assert idling["loopback"]["packets_per_s"] >= 0
