"""What joins the namespaces of a lab: the kernel's bridge (rates only), or tapswitch (delay, jitter and loss too)."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tests.lab.tools import lacking, require_tool

INTERFACE = "eth0"
"""The one interface of each namespace, besides its loopback."""


class LabError(RuntimeError):
    """A command of the lab itself failed."""


def run(*argv: str | Path, check: bool = True) -> str:
    """Run a command of the lab and return its output; raises LabError when it fails, unless told not to check."""
    done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, timeout=30, check=False)
    if check and done.returncode:
        raise LabError(f"{' '.join(map(str, argv))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


@dataclass(frozen=True, slots=True)
class Shape:
    """A node's link. Rates in Mbit/s, 0: no limit. Delay and loss are the uplink's: a round trip meets two."""

    up_mbit: float = 0
    down_mbit: float = 0
    delay_ms: float = 0
    jitter_ms: float = 0
    loss_percent: float = 0
    queue_ms: float = 50

    @property
    def needs_tap(self) -> bool:
        """Whether the kernel's bridge cannot do this."""
        return bool(self.delay_ms or self.jitter_ms or self.loss_percent)


class Switch(Protocol):
    """Links between namespaces, numbered from 0."""

    def shape(self, node: int, shape: Shape) -> None: ...
    def group(self, node: int, group: int) -> None: ...
    def carrier(self, node: int, up: bool) -> None: ...
    def close(self) -> None: ...


class KernelSwitch:
    """A veth pair for each node on a bridge for each group; rates by tbf on both ends."""

    def __init__(self, name: str, namespaces: Sequence[str]) -> None:
        self._name = name
        self._namespaces = namespaces
        self._bridges: list[int] = []
        self._borders: list[str] = []
        for node, namespace in enumerate(namespaces):
            port = self._port(node)
            run("ip", "link", "add", port, "type", "veth", "peer", "name", INTERFACE, "netns", namespace)
            _without_ipv6(port)
            # Whole frames, as on a wire: with segmentation offload one 64 KiB burst would overrun tbf's bucket.
            run("ip", "link", "set", port, "gso_max_segs", "1", "up")
            run("ip", "-n", namespace, "link", "set", INTERFACE, "gso_max_segs", "1")
            self.group(node, 0)

    def _port(self, node: int) -> str:
        return f"{self._name}v{node}"

    def _bridge(self, group: int) -> str:
        name = f"{self._name}b{group}"
        if group not in self._bridges:
            run("ip", "link", "add", name, "type", "bridge", "mcast_snooping", "0", "forward_delay", "0")
            _without_ipv6(name)
            run("ip", "link", "set", name, "up")
            self._bridges.append(group)
        return name

    def shape(self, node: int, shape: Shape) -> None:
        """Raises LabError for what needs the tap switch."""
        if shape.needs_tap:
            raise LabError("delay, jitter and loss need NetLab(..., tap=True)")
        inside = ("-n", self._namespaces[node])
        for rate, where, device in ((shape.up_mbit, inside, INTERFACE), (shape.down_mbit, (), self._port(node))):
            if rate:
                limit = ("rate", f"{rate}mbit", "burst", "5kb", "latency", f"{shape.queue_ms}ms")
                run("tc", *where, "qdisc", "replace", "dev", device, "root", "tbf", *limit)
            else:
                run("tc", *where, "qdisc", "del", "dev", device, "root", check=False)

    def group(self, node: int, group: int) -> None:
        """Put the node's port on that group's bridge."""
        run("ip", "link", "set", self._port(node), "master", self._bridge(group))

    def join(self, one: int, other: int, mbit: float, queue_ms: float) -> None:
        """A cable of this rate between the bridges of two groups."""
        here, there = self._border(one), self._border(other)
        run("ip", "link", "add", here, "type", "veth", "peer", "name", there)
        for port, group in ((here, one), (there, other)):
            _without_ipv6(port)
            run("ip", "link", "set", port, "gso_max_segs", "1", "master", self._bridge(group), "up")
            limit = ("rate", f"{mbit}mbit", "burst", "5kb", "latency", f"{queue_ms}ms")
            run("tc", "qdisc", "replace", "dev", port, "root", "tbf", *limit)
        self._borders += [here, there]

    def crossed(self, group: int) -> int:
        """Bytes that have left a group over its cable to another, headers included."""
        (shown,) = json.loads(run("ip", "-s", "-j", "link", "show", self._border(group)))
        return int(shown["stats64"]["tx"]["bytes"])

    def _border(self, group: int) -> str:
        return f"{self._name}j{group}"

    def carrier(self, node: int, up: bool) -> None:
        """Plug or pull the cable."""
        run("ip", "link", "set", self._port(node), "up" if up else "down")

    def close(self) -> None:
        """Remove ports and bridges; harmless when they are gone."""
        for node in range(len(self._namespaces)):
            run("ip", "link", "del", self._port(node), check=False)
        for border in self._borders[::2]:
            run("ip", "link", "del", border, check=False)
        for group in self._bridges:
            run("ip", "link", "del", f"{self._name}b{group}", check=False)


class TapSwitch:
    """A tapswitch process; it ends with us."""

    def __init__(self, namespaces: Sequence[str]) -> None:
        paths = [f"/run/netns/{name}" for name in namespaces]
        self._process = subprocess.Popen(
            [_build(), INTERFACE, *paths], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self._answer() != "ready":
            raise LabError("tapswitch did not start")

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _tell(self, *words: object) -> None:
        assert self._process.stdin is not None
        line = " ".join(map(str, words))
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        if (answer := self._answer()) != "ok":
            raise LabError(f"tapswitch: {line}: {answer or 'gone'}")

    def shape(self, node: int, shape: Shape) -> None:
        """Takes effect for the next frame."""
        micros = (round(shape.delay_ms * 1000), round(shape.jitter_ms * 1000))
        loss, queue = round(shape.loss_percent * 10_000), round(shape.queue_ms * 1000)
        self._tell("shape", node, shape.up_mbit * 1e6, shape.down_mbit * 1e6, *micros, loss, queue)

    def group(self, node: int, group: int) -> None:
        """Frames pass only within a group."""
        self._tell("group", node, group)

    def carrier(self, node: int, up: bool) -> None:
        """Plug or pull the cable."""
        self._tell("carrier", node, int(up))

    def close(self) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _without_ipv6(device: str) -> None:
    """Keep the host itself off the lab's LAN."""
    Path(f"/proc/sys/net/ipv6/conf/{device}/disable_ipv6").write_text("1")


def _build() -> Path:
    """Compile tapswitch once for each version of its source."""
    if not Path("/dev/net/tun").exists():
        lacking("/dev/net/tun is not here, so links cannot have delay or loss")
    source = Path(__file__).with_name("tapswitch.c")
    mark = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    program = Path(tempfile.gettempdir()) / f"edgecache-tapswitch-{os.getuid()}-{mark}"
    if not program.exists():
        partial = program.with_suffix(f".{os.getpid()}")
        run(require_tool("gcc"), "-O2", "-o", partial, source)
        partial.rename(program)
    return program
