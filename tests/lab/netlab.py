"""Several hosts on one LAN, on this machine: network namespaces whose cables can be shaped, cut and partitioned.

Node i is a namespace with one interface eth0, 10.77.0.(i+1)/24 and a link-local IPv6 address, a route for multicast and
no default route: nothing leaves the lab. Needs root. A lab ends with the process that made it; what a killed one left
behind is removed when the next one starts.
"""

from __future__ import annotations

import atexit
import json
import os
import re
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGKILL
from typing import Any

from tests.lab.switches import INTERFACE, KernelSwitch, LabError, Shape, Switch, TapSwitch, run

Argument = str | Path

NODES_MAX = 64

_OURS = re.compile(r"ec([0-9a-f]+)_\d+[nvbj]\d+")
"""Names of namespaces, ports and bridges: they begin with the id of the process that made them."""

_labs_made = 0


@dataclass(frozen=True, slots=True)
class Counters:
    """What a node's interface has sent and received, headers included."""

    sent_bytes: int
    received_bytes: int
    sent_packets: int
    received_packets: int


class NetLab:
    """`with NetLab(4, up_mbit=100) as lab: lab.run(0, ["ping", lab.address(1)])`."""

    def __init__(
        self, count: int, *, tap: bool = False, congestion: str = "cubic", wrapper: Sequence[str] = (), **shape: float
    ) -> None:
        global _labs_made  # noqa: PLW0603  # two labs of one process need two names
        if not 1 <= count <= NODES_MAX:
            raise ValueError(f"a lab has 1 to {NODES_MAX} nodes")
        sweep()
        self.count = count
        self._wrapper = tuple(wrapper)
        """Words before every command for a node, of a program that becomes it; outside, as a namespace hides /sys."""
        self._name = f"ec{os.getpid():x}_{_labs_made}"
        _labs_made += 1
        self._shapes = [Shape(**shape)] * count
        self._processes: list[subprocess.Popen[Any]] = []
        self._switch: Switch | None = None
        atexit.register(self.close)
        try:
            self._make(tap or self._shapes[0].needs_tap, congestion)
        except BaseException:
            self.close()
            raise

    def _make(self, tap: bool, congestion: str) -> None:
        names = [self.namespace(node) for node in range(self.count)]
        for name in names:
            run("ip", "netns", "add", name)
            # Addresses are ours alone, so there is no need to wait while the kernel looks for duplicates.
            run("ip", "netns", "exec", name, "sh", "-c", "echo 0 >/proc/sys/net/ipv6/conf/default/accept_dad")
        self._switch = TapSwitch(names) if tap else KernelSwitch(self._name, names)
        for node, name in enumerate(names):
            inside = ("ip", "-n", name)
            run(*inside, "link", "set", INTERFACE, "address", f"02:00:00:77:00:{node + 1:02x}")
            run(*inside, "link", "set", "lo", "up")
            run(*inside, "link", "set", INTERFACE, "up")
            run(*inside, "addr", "add", f"{self.address(node)}/24", "dev", INTERFACE, "noprefixroute")
            # By route: a namespace may only choose among what the host allows. A Pi has cubic, many hosts have bbr.
            how = ("dev", INTERFACE, "congctl", congestion)
            run(*inside, "route", "add", "10.77.0.0/24", "src", self.address(node), *how)
            run(*inside, "-6", "route", "replace", "fe80::/64", "proto", "kernel", "metric", "256", *how)
            run(*inside, "route", "add", "224.0.0.0/4", "dev", INTERFACE)
            self.shape(node)

    def namespace(self, node: int) -> str:
        """The name that `ip netns` knows."""
        return f"{self._name}n{node}"

    def address(self, node: int) -> str:
        """The IPv4 address of a node."""
        return f"10.77.0.{node + 1}"

    def link_local(self, node: int) -> str:
        """The IPv6 address of a node, with the zone under which the others reach it."""
        return f"fe80::ff:fe77:{node + 1:x}%{INTERFACE}"

    def readdress(self, node: int, number: int) -> str:
        """Give a node another IPv4 address, 10.77.0.`number`, instead of the one it has; as DHCP may. Returns it."""
        inside, address = ("ip", "-n", self.namespace(node)), f"10.77.0.{number}"
        run(*inside, "-4", "addr", "flush", "dev", INTERFACE)
        run(*inside, "addr", "add", f"{address}/24", "dev", INTERFACE, "noprefixroute")
        run(*inside, "route", "replace", "10.77.0.0/24", "src", address, "dev", INTERFACE)
        run(*inside, "route", "replace", "224.0.0.0/4", "dev", INTERFACE)
        return address

    def only_ipv4(self, node: int) -> None:
        """A node without IPv6."""
        setting = f"/proc/sys/net/ipv6/conf/{INTERFACE}/disable_ipv6"
        run("ip", "netns", "exec", self.namespace(node), "sh", "-c", f"echo 1 >{setting}")

    @property
    def _links(self) -> Switch:
        assert self._switch is not None, "the lab is closed"
        return self._switch

    def shape(self, node: int, **changes: float) -> None:
        """Change some of a node's `Shape`; the rest stays."""
        self._shapes[node] = replace(self._shapes[node], **changes)
        self._links.shape(node, self._shapes[node])

    def partition(self, *groups: Sequence[int]) -> None:
        """Nodes reach each other only inside a group; those that no group names stay together."""
        member = {node: number for number, group in enumerate(groups, 1) for node in group}
        for node in range(self.count):
            self._links.group(node, member.get(node, 0))

    def heal(self) -> None:
        """Everybody reaches everybody again."""
        self.partition()

    def join_sites(self, one: Sequence[int], other: Sequence[int], *, mbit: float, queue_ms: float = 100) -> None:
        """Two bridges instead of one, with a cable of this rate between them. Not with the tap switch."""
        if not isinstance(self._links, KernelSwitch):
            raise LabError("sites need the kernel's bridges")
        self.partition(one, other)
        self._links.join(1, 2, mbit, queue_ms)

    def crossed(self) -> tuple[int, int]:
        """Bytes that the cable between the sites has carried so far, from the first site and from the second."""
        if not isinstance(self._links, KernelSwitch):
            raise LabError("sites need the kernel's bridges")
        return self._links.crossed(1), self._links.crossed(2)

    def carrier(self, node: int, *, up: bool) -> None:
        """Plug or pull a node's cable: it sees the carrier go, and its addresses stay."""
        self._links.carrier(node, up)

    def counters(self, node: int) -> Counters:
        """What has crossed a node's cable so far."""
        shown = run("ip", "-n", self.namespace(node), "-s", "-j", "link", "show", INTERFACE)
        stats = json.loads(shown)[0]["stats64"]
        sent, received = stats["tx"], stats["rx"]
        return Counters(sent["bytes"], received["bytes"], sent["packets"], received["packets"])

    def inside(self, node: int, argv: Sequence[Argument]) -> list[str]:
        """The command that runs `argv` on a node; it replaces itself, so its process id is that of `argv`."""
        return [*self._wrapper, "ip", "netns", "exec", self.namespace(node), *map(str, argv)]

    def popen(self, node: int, argv: Sequence[Argument], **options: Any) -> subprocess.Popen[Any]:
        """Start a program on a node; it is killed when the lab closes."""
        process: subprocess.Popen[Any] = subprocess.Popen(self.inside(node, argv), **options)
        self._processes.append(process)
        return process

    def run(self, node: int, argv: Sequence[Argument], *, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a program on a node to its end; whether it succeeded is for the caller to look at."""
        command = self.inside(node, argv)
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)

    def close(self) -> None:
        """Kill what runs inside, by process id, and remove all that was made; harmless when repeated."""
        atexit.unregister(self.close)
        for process in self._processes:
            if process.poll() is None:
                process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        self._processes.clear()
        for node in range(self.count):
            _empty(self.namespace(node))
        if self._switch is not None:
            self._switch.close()
            self._switch = None
        for node in range(self.count):
            run("ip", "netns", "del", self.namespace(node), check=False)

    def __enter__(self) -> NetLab:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _empty(namespace: str) -> None:
    for pid in run("ip", "netns", "pids", namespace, check=False).split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), SIGKILL)


def _abandoned(name: str) -> bool:
    found = _OURS.fullmatch(name)
    return found is not None and not Path(f"/proc/{int(found[1], 16)}").exists()


def sweep() -> None:
    """Remove what labs of processes that are gone have left."""
    for line in run("ip", "netns", "list").splitlines():
        if line and _abandoned(name := line.split()[0]):
            _empty(name)
            run("ip", "netns", "del", name, check=False)
    for link in json.loads(run("ip", "-j", "link", "show") or "[]"):
        if _abandoned(link["ifname"]):
            run("ip", "link", "del", link["ifname"], check=False)
