"""Where contestants run: shaped links between namespaces, or the loopback of one; and the file that they carry."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.compare.process import Failed, Program
from tests.compare.scenario import Scenario
from tests.lab.netlab import Argument, NetLab

_PART = 2**20


class Ground(Protocol):
    """Some hosts, numbered from 0."""

    lab: NetLab
    multicast: bool

    def address(self, host: int) -> str:
        """Its IPv4 address."""

    def start(self, host: int, argv: Sequence[Argument], **options: Any) -> Program:
        """Run a program there; it is killed at the end."""


class Wires:
    """Hosts on a LAN of shaped links."""

    multicast = True

    def __init__(self, lab: NetLab) -> None:
        self.lab = lab
        self.address = lab.address

    def start(self, host: int, argv: Sequence[Argument], **options: Any) -> Program:
        return Program(self.lab.popen(host, argv, **options))


class Loopback:
    """Every host is an address of one namespace's loopback, which has no limit but the machine."""

    multicast = False

    def __init__(self, lab: NetLab, congestion: str) -> None:
        self.lab = lab
        # By route, as in NetLab: the host's own default may be another.
        local = "dev lo table local proto kernel scope host src 127.0.0.1 congctl"
        for prefix in ("127.0.0.0/8", "127.0.0.1"):
            done = lab.run(0, ["ip", "route", "change", "local", prefix, *local.split(), congestion])
            if done.returncode:
                raise Failed(f"congestion control {congestion}: {done.stderr.strip()}")

    def address(self, host: int) -> str:
        return f"127.0.0.{host + 1}"

    def start(self, host: int, argv: Sequence[Argument], **options: Any) -> Program:
        return Program(self.lab.popen(0, argv, **options))


@dataclass(frozen=True, slots=True)
class Content:
    """A file of random bytes."""

    path: Path
    size: int
    sha256: str


def make_content(path: Path, size: int) -> Content:
    """Write it; no two parts of it are alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for begin in range(0, size, _PART):
            part = os.urandom(min(_PART, size - begin))
            digest.update(part)
            stream.write(part)
    return Content(path, size, digest.hexdigest())


def sha256_of(path: Path) -> str:
    """Of a whole file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory in memory where there is one, so that no disk is measured; removed at the end."""
    memory = Path("/dev/shm")
    base = memory if os.access(memory, os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="edgecache-compare-", dir=base))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def wires(scenario: Scenario, held: Sequence[str] = ()) -> Iterator[Wires]:
    """The hosts of a scenario, all links alike. `held`: the words of `slow_core`."""
    with NetLab(scenario.nodes, tap=True, congestion=scenario.congestion, wrapper=held, **scenario.links) as lab:
        yield Wires(lab)


@contextmanager
def loopback(congestion: str = "cubic", held: Sequence[str] = ()) -> Iterator[Loopback]:
    """One namespace. `held`: the words of `slow_core`."""
    with NetLab(1, congestion=congestion, wrapper=held) as lab:
        yield Loopback(lab, congestion)
