"""What a contestant is to the harness: programs on hosts, of which one has the blob and the others fetch it."""

from __future__ import annotations

import os
import shutil
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from tests.compare.ground import Content, Ground, sha256_of
from tests.compare.process import Program
from tests.compare.scenario import SEED

_SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")


@dataclass(frozen=True, slots=True)
class Task:
    """One transfer: host 0 has the content, the others want it."""

    ground: Ground
    nodes: int
    content: Content
    directory: Path
    peers_python: str
    """An interpreter that has the peers' Python bindings."""

    def home(self, host: int) -> Path:
        """A directory of a host's own."""
        path = self.directory / f"host{host}"
        path.mkdir(exist_ok=True)
        return path

    @property
    def leechers(self) -> list[int]:
        return [host for host in range(self.nodes) if host != SEED]


class Daemon(ABC):
    """Programs on hosts that are up and have nothing to do."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.programs: dict[int, list[Program]] = {host: [] for host in range(task.nodes)}

    @abstractmethod
    def prepare(self) -> None:
        """Start all that can run before any fetching begins, and wait until it does; raises Failed."""

    def sample(self) -> None:
        """Read what all programs have used."""
        for program in (one for programs in self.programs.values() for one in programs):
            if program.process.returncode is None:
                program.sample()

    def cpu(self, host: int) -> float:
        """Seconds that a host's programs have used, as last sampled."""
        return sum(program.cpu for program in self.programs[host])

    def rss_peak(self, host: int) -> int:
        """Bytes of its largest program."""
        return max((program.rss_peak for program in self.programs[host]), default=0)


class Entrant(Daemon):
    """A contestant at one task."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.finished: dict[int, float] = {}
        """When a host had its whole, checked copy, on this machine's monotonic clock."""
        self.failed: dict[int, str] = {}
        self.began = 0.0

    @abstractmethod
    def go(self) -> None:
        """All leechers begin."""

    @abstractmethod
    def look(self) -> None:
        """Note in `finished` and `failed` what has happened since; called every few milliseconds."""

    @abstractmethod
    def digest(self, host: int) -> str:
        """The SHA-256 of a finished copy, read again after the run."""

    def begin(self) -> None:
        """The start of the race."""
        self.began = time.monotonic()
        self.go()

    def kill(self, host: int) -> None:
        """SIGKILL to all programs of a host."""
        for program in self.programs[host]:
            program.kill()


class Check(threading.Thread):
    """The SHA-256 of a copy whose program does not check it: that belongs to its time and its CPU seconds."""

    def __init__(self, path: Path, sha256: str) -> None:
        super().__init__(daemon=True)
        self.path, self.sha256 = path, sha256
        self.right = False
        self.finished = 0.0
        self.cpu = 0.0
        self.start()

    def run(self) -> None:
        began = time.thread_time()
        self.right = sha256_of(self.path) == self.sha256
        self.cpu = time.thread_time() - began
        self.finished = time.monotonic()


def tool(name: str) -> str | None:
    """The path of a program; Debian keeps daemons where not everybody's PATH leads."""
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(_SBIN))
