"""Real multicast: on this machine, on a machine with nothing but loopback, between two hosts, beside avahi."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edgecache.adapters.mdns.discovery import MdnsDiscovery
from edgecache.adapters.mdns.sockets import multicast_selftest
from edgecache.adapters.system.addresses import own_addresses
from edgecache.core.vocabulary import Identity, PeerSighted
from edgecache.model.ids import node_id_from_bytes
from edgecache.model.peer import Address, SeenVia
from tests.lab.netlab import NetLab
from tests.lab.tools import lacking, require_namespaces, require_tool

ROOT = Path(__file__).parents[3]
AGENT = [sys.executable, "-m", "tests.integration.mdns.agent"]
MESH = f"t{os.getpid()}"


async def until(condition: Callable[[], bool], timeout: float = 6.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.02)


def identity(seed: int, mesh: str = MESH) -> Identity:
    node = node_id_from_bytes(os.getpid().to_bytes(8, "big") + seed.to_bytes(8, "big"))
    return Identity(node, mesh, "default", f"pi {seed}", 1, own_addresses(7000 + seed))


def discovery(me: Identity, seen: list[PeerSighted], addresses: tuple[Address, ...] | None = None) -> MdnsDiscovery:
    return MdnsDiscovery(me, me.addresses if addresses is None else addresses, seen.append, retry=0.1)


def test_neighbours_of_one_mesh_see_each_other_and_say_goodbye() -> None:
    async def scenario() -> None:
        one, two, other = identity(1), identity(2), identity(3, "another")
        seen_one: list[PeerSighted] = []
        seen_two: list[PeerSighted] = []
        agents = [discovery(one, seen_one), discovery(two, seen_two), discovery(other, [])]
        for agent in agents:
            agent.start()
        await until(lambda: bool(seen_one and seen_two))
        assert {s.node for s in seen_one} == {two.node}
        assert {s.node for s in seen_two} == {one.node}
        assert seen_one[0].via is SeenVia.MDNS
        assert seen_one[0].site == "default"
        assert two.addresses[0] in seen_one[0].addresses

        began = time.monotonic()
        await agents[1].stop()
        assert time.monotonic() - began < 0.5
        returned = discovery(two, seen_two)
        count = len(seen_one)
        returned.start()
        await until(lambda: len(seen_one) > count)
        for agent in (agents[0], agents[2], returned):
            await agent.stop()

    asyncio.run(scenario())


def test_an_address_that_comes_later_is_announced() -> None:
    async def scenario() -> None:
        one, two = identity(4), identity(5)
        seen: list[PeerSighted] = []
        watcher, late = discovery(one, seen), discovery(two, [], addresses=())
        watcher.start()
        late.start()
        await until(lambda: bool(late.failure))
        late.update(two.addresses)
        await until(lambda: bool(seen))
        assert not late.failure
        moved = tuple(Address(a.host, a.port + 1000) for a in two.addresses)
        late.update(moved)
        await until(lambda: seen[-1].addresses[0].port == moved[0].port)
        await asyncio.gather(watcher.stop(), late.stop())

    asyncio.run(scenario())


def test_selftest_on_this_machine() -> None:
    assert asyncio.run(multicast_selftest([a.host for a in own_addresses(1)])) == ""


def test_selftest_says_why_not() -> None:
    assert "no network interface" in asyncio.run(multicast_selftest([]))
    assert asyncio.run(multicast_selftest(["203.0.113.9"])) != ""


@pytest.mark.parametrize("loopback_up", [True, False])
def test_a_machine_with_nothing_but_loopback(loopback_up: bool) -> None:
    for tool in ("unshare", "setpriv"):
        require_tool(tool)
    up = "ip link set lo up; " if loopback_up else ""
    command = f"{up}exec setpriv --bounding-set=-all --inh-caps=-all {' '.join(AGENT)} selftest"
    done = subprocess.run(
        ["unshare", "-n", *([] if os.geteuid() == 0 else ["-r"]), "sh", "-c", command],
        capture_output=True, text=True, timeout=20, cwd=ROOT, check=False,
    )  # fmt: skip
    if done.returncode and "unshare" in done.stderr:
        lacking(f"no network namespace: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    assert result["hosts"] == (["127.0.0.1"] if loopback_up else [])
    assert bool(result["reason"]) is not loopback_up


@pytest.mark.parametrize("families", ["both", "ipv6 link-local only"])
def test_two_hosts_find_each_other(families: str) -> None:
    require_namespaces()
    with NetLab(2) as lab:
        if families != "both":
            for node in (0, 1):
                assert lab.run(node, ["ip", "-4", "addr", "flush", "dev", "eth0"]).returncode == 0
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": ROOT}
        agents = [lab.popen(n, [*AGENT, f"{n}", MESH, str(6001 + n)], **pipes) for n in (0, 1)]
        for n, agent in enumerate(agents):
            assert agent.stdout is not None
            sighting = json.loads(agent.stdout.readline())
            other = 1 - n
            expected = lab.address(other) if families == "both" else f"[{lab.link_local(other)}]"
            assert sighting["addresses"][0] == f"{expected}:{6001 + other}"
        for agent in agents:
            assert agent.stdin is not None
            agent.stdin.close()
            assert agent.wait(5) == 0


AVAHI = """
mount -t tmpfs tmpfs /run && mkdir /run/dbus
cat >/run/bus.conf <<END
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path=/run/dbus/system_bus_socket</listen><auth>EXTERNAL</auth>
<policy context="default"><allow user="*"/><allow own="*"/><allow send_type="method_call"/>
<allow send_destination="*"/><allow receive_sender="*"/></policy></busconfig>
END
dbus-daemon --config-file=/run/bus.conf --nofork >/run/dbus.log 2>&1 & bus=$!
for attempt in 1 2 3 4 5 6 7 8 9 10; do [ -S /run/dbus/system_bus_socket ] && break; sleep 0.2; done
avahi-daemon --no-drop-root --no-chroot --no-rlimits >/run/avahi.log 2>&1 & avahi=$!
for attempt in 1 2 3 4 5 6 7 8 9 10; do grep -q 'startup complete' /run/avahi.log && break; sleep 0.2; done
for attempt in 1 2 3 4 5 6 7 8; do
    timeout --kill-after=1 2 avahi-browse --parsable --resolve --terminate _edgecache._tcp >/run/found 2>/run/error
    if grep -q '^=.*IPv4' /run/found; then break; fi
    sleep 0.3
done
cat /run/found
cat /run/error /run/avahi.log /run/dbus.log >&2
kill $avahi $bus
"""
"""avahi with a system bus of its own, in a mount namespace, so that those of the machine are not touched."""


def test_avahi_shows_us() -> None:
    require_namespaces()
    for tool in ("avahi-daemon", "avahi-browse", "dbus-daemon", "unshare"):
        require_tool(tool)
    with NetLab(2) as lab:
        lab.popen(0, [*AGENT, "0", MESH, "6001"], stdin=subprocess.PIPE, cwd=ROOT)
        done = lab.run(1, ["unshare", "--mount", "sh", "-c", AVAHI], timeout=40)
        resolved = [line.split(";") for line in done.stdout.splitlines() if line.startswith("=") and ";IPv4;" in line]
        assert resolved, done.stderr
        assert resolved[0][7:9] == [lab.address(0), "6001"]
        for key in ("txtvers=1", f"mesh={MESH}", "site=default", "id=n", "v=1"):
            assert f'"{key}' in resolved[0][9]
