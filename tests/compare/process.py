"""A contestant's program: what it and its descendants have used, what it says, whether it still runs."""

from __future__ import annotations

import os
import re
import select
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.lab.switches import INTERFACE

_TICKS = os.sysconf("SC_CLK_TCK")
_LISTENING = "0A"


class Failed(RuntimeError):
    """A contestant did not do its part."""


class Program:
    """A started process. Its usage is what was seen last: call `sample` now and then."""

    def __init__(self, process: subprocess.Popen[Any]) -> None:
        self.process = process
        self.cpu = 0.0
        """Seconds, user and system, with descendants."""
        self.rss = 0
        """Bytes, of all its processes together; the peak is of the largest one."""
        self.rss_peak = 0
        self._unread = b""

    @property
    def pid(self) -> int:
        return self.process.pid

    def sample(self) -> None:
        """Read what it has used so far; what has ended meanwhile keeps its last figures."""
        pids = tree(self.pid)
        self.cpu = max(self.cpu, sum(map(_cpu, pids)))
        self.rss_peak = max([self.rss_peak, *(_memory(pid, "VmHWM") for pid in pids)])
        self.rss = sum(_memory(pid, "VmRSS") for pid in pids)

    def ended(self) -> int | None:
        """Its exit code, once it has ended; its figures are complete then."""
        if self.process.returncode is None and _state(self.pid) in "ZX":
            self.sample()
            self.process.wait()
        return self.process.returncode

    def line(self, word: str, timeout: float) -> str:
        """The rest of the next line on its standard output that begins with `word`; raises Failed."""
        deadline = time.monotonic() + timeout
        while (found := self.said(word, wait=0.05)) is None:
            if time.monotonic() > deadline or self.ended() is not None:
                raise Failed(f"a program does not say {word}: {self.process.args!r}")
        return found

    def said(self, word: str, *, wait: float = 0.0) -> str | None:
        """The same without more patience than `wait` seconds; None: not yet."""
        output = self.process.stdout
        assert output is not None, "its standard output was piped"
        if select.select([output], [], [], wait)[0]:
            self._unread += os.read(output.fileno(), 65536)
        while b"\n" in self._unread:
            line, _, self._unread = self._unread.partition(b"\n")
            if line.startswith(word.encode()):
                return line[len(word) :].decode().strip()
        return None

    def tell(self, word: str) -> None:
        """A line on its standard input."""
        stdin = self.process.stdin
        assert stdin is not None, "its standard input was piped"
        stdin.write(word.encode() + b"\n")
        stdin.flush()

    def received(self) -> int:
        """Bytes that have come in over the interface of the namespace it runs in; cheaper than asking `ip`."""
        with suppress(OSError):
            if found := re.search(rf"{INTERFACE}:\s*(\d+)", Path(f"/proc/{self.pid}/net/dev").read_text()):
                return int(found[1])
        return 0

    def listens(self, port: int) -> bool:
        """Whether a TCP socket of its namespace, once it is in one of its own, listens on this port."""
        with suppress(OSError):
            if Path(f"/proc/{self.pid}/ns/net").readlink() == Path("/proc/self/ns/net").readlink():
                return False
        local = f":{port:04X}"
        for family in ("tcp", "tcp6"):
            with suppress(OSError):
                rows = Path(f"/proc/{self.pid}/net/{family}").read_text().splitlines()[1:]
                if any(row.split()[1].endswith(local) and row.split()[3] == _LISTENING for row in rows):
                    return True
        return False

    def kill(self) -> None:
        """SIGKILL, by id, with all that it has started."""
        self.sample()
        for pid in tree(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, 9)
        self.process.wait()


def tree(pid: int) -> list[int]:
    """A process and its descendants."""
    found, left = [], [pid]
    while left:
        found.append(one := left.pop())
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                left += map(int, (task / "children").read_text().split())
    return found


def _stat(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _state(pid: int) -> str:
    return (_stat(pid) or ["X"])[0]


def _cpu(pid: int) -> float:
    """With children that it has waited for."""
    return sum(map(int, _stat(pid)[11:15])) / _TICKS


def _memory(pid: int, name: str) -> int:
    with suppress(OSError):
        if found := re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text()):
            return int(found[1]) * 1024
    return 0


def wait_for(what: str, check: Callable[[], object], timeout: float, *, pause: float = 0.02) -> None:
    """Until `check` holds; raises Failed."""
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {timeout:.0f} s")
        time.sleep(pause)
