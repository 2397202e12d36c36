"""The lab itself: its cables do what they are told, and nothing of it stays."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.lab import switches
from tests.lab.netlab import NetLab
from tests.lab.tools import require_tool

pytestmark = pytest.mark.system

SINK = """
import socket, sys, time
with socket.create_server((sys.argv[1], 4000)) as server:
    print("ready", flush=True)
    link, _ = server.accept()
    start, total = time.monotonic(), 0
    while data := link.recv(1 << 16):
        total += len(data)
    print(total * 8e-6 / (time.monotonic() - start), flush=True)
"""
SOURCE = """
import socket, sys
with socket.create_connection((sys.argv[1], 4000)) as link:
    link.sendall(bytes(int(sys.argv[2])))
"""


@pytest.fixture(params=[False, True], ids=["kernel", "tap"])
def lab(request: pytest.FixtureRequest) -> Iterator[NetLab]:
    with NetLab(4, tap=request.param) as made:
        yield made


def reaches(lab: NetLab, here: int, address: str) -> bool:
    """Whether one of a few pings comes back."""
    return lab.run(here, [require_tool("ping"), "-c", "3", "-i", "0.05", "-W", "1", address]).returncode == 0


def wait_until_reaches(lab: NetLab, here: int, there: int) -> None:
    deadline = time.monotonic() + 10
    while not reaches(lab, here, lab.address(there)):
        assert time.monotonic() < deadline, f"{here} does not reach {there}"


def rate(lab: NetLab, here: int, there: int, size: int) -> float:
    """Mbit/s of one TCP connection."""
    sink = lab.popen(there, [sys.executable, "-c", SINK, lab.address(there)], stdout=subprocess.PIPE, text=True)
    assert sink.stdout is not None
    assert sink.stdout.readline() == "ready\n"
    assert lab.run(here, [sys.executable, "-c", SOURCE, lab.address(there), str(size)]).returncode == 0
    return float(sink.stdout.readline())


def test_cables(lab: NetLab) -> None:
    assert reaches(lab, 0, lab.address(1))
    assert reaches(lab, 0, lab.link_local(2))

    lab.partition([0, 1], [2, 3])
    assert reaches(lab, 0, lab.address(1))
    assert not reaches(lab, 0, lab.address(2))
    lab.heal()
    wait_until_reaches(lab, 0, 2)

    lab.carrier(1, up=False)
    assert "NO-CARRIER" in lab.run(1, ["ip", "link", "show", switches.INTERFACE]).stdout
    assert not reaches(lab, 0, lab.address(1))
    lab.carrier(1, up=True)
    wait_until_reaches(lab, 0, 1)


def test_rates(lab: NetLab) -> None:
    lab.shape(0, up_mbit=20)
    before = lab.counters(1)
    assert 14 < rate(lab, 0, 1, 3_000_000) < 20.5
    assert lab.counters(1).received_bytes - before.received_bytes > 3_000_000
    lab.shape(0, up_mbit=0)
    lab.shape(1, down_mbit=8)
    assert 5.5 < rate(lab, 0, 1, 1_200_000) < 8.5


def test_delay_and_loss() -> None:
    with NetLab(2, delay_ms=10) as lab:
        shown = lab.run(0, [require_tool("ping"), "-c", "5", "-i", "0.05", lab.address(1)]).stdout
        (average,) = re.findall(r"= [\d.]+/([\d.]+)/", shown)
        assert 20 <= float(average) < 35
        lab.shape(0, delay_ms=0, loss_percent=20)
        lab.shape(1, delay_ms=0)
        shown = lab.run(0, [require_tool("ping"), "-q", "-c", "500", "-i", "0.002", "-W", "1", lab.address(1)]).stdout
        (lost,) = re.findall(r"([\d.]+)% packet loss", shown)
        assert 10 < float(lost) < 30


def test_delay_without_the_tap_switch_is_refused() -> None:
    with NetLab(1) as lab, pytest.raises(switches.LabError):
        lab.shape(0, delay_ms=1)


def test_nothing_stays() -> None:
    with NetLab(2) as lab:
        name = lab.namespace(0)
        sleeper = lab.popen(0, ["sleep", "1000"])
        lab.run(1, ["sh", "-c", "sleep 1001 >/dev/null 2>&1 &"])
        prefix = name.removesuffix("n0")
    assert sleeper.returncode == -signal.SIGKILL
    assert prefix not in switches.run("ip", "netns", "list") + switches.run("ip", "link")


def test_what_a_killed_lab_left_is_swept() -> None:
    leave = """if True:
        import os
        from tests.lab.netlab import NetLab
        print(NetLab(1).namespace(0), flush=True)
        os.kill(os.getpid(), 9)
    """
    left = subprocess.run([sys.executable, "-c", leave], capture_output=True, text=True, timeout=30, check=False)
    name = left.stdout.strip()
    assert name in switches.run("ip", "netns", "list")
    with NetLab(1):
        assert name not in switches.run("ip", "netns", "list")
