"""Hold contestants to a part of one core: what a small device has."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.compare.process import Failed

PERIOD = 10_000
"""Microseconds over which the share is kept: short, so that a slow core is slow rather than absent now and then."""
QUOTA_MIN = 1000
"""The kernel's own, microseconds."""
LEAVE_TIMEOUT = 2.0
"""For killed contestants to be gone from their group."""

_V1 = Path("/sys/fs/cgroup/cpu")
_V2 = Path("/sys/fs/cgroup")


@contextmanager
def slow_core(percent: float | None, *, wires: bool = False) -> Iterator[Sequence[str]]:
    """The words that start a command on the slow core; None: all cores as they are.

    The network between contestants, which is a program of the lab, and this harness stay on the other cores, as no
    device carries the packets of all others; what the kernel does with a packet that comes in is done there too. With
    `wires` they are held too, all on the one core.
    Raises Failed where there is no cpu controller, or no other core.
    """
    if percent is None:
        yield ()
        return
    cores = os.sched_getaffinity(0)
    slow = min(cores)
    others = cores - {slow}
    if not (wires or others):
        raise Failed("one core only: --slow-core needs another one for the network, or --slow-wires")
    group, home = _group(percent)
    try:
        os.sched_setaffinity(0, {slow} if wires else others)
        if wires:
            (group / "cgroup.procs").write_text(str(os.getpid()))
        yield () if wires else ("sh", "-c", _ENTER, str(group / "cgroup.procs"), str(slow))
    finally:
        os.sched_setaffinity(0, cores)
        if wires:
            (home / "cgroup.procs").write_text(str(os.getpid()))
        _remove(group)


_ENTER = 'echo 0 >"$0" && core=$1 && shift && exec taskset -c "$core" "$@"'
"""Goes to the group and to the core, and becomes the command: all that this starts is there from the beginning."""


def _remove(group: Path) -> None:
    deadline = time.monotonic() + LEAVE_TIMEOUT
    while (group / "cgroup.procs").read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    with suppress(OSError):  # somebody is stuck in it: not worth the rows that were measured
        group.rmdir()


def _group(percent: float) -> tuple[Path, Path]:
    """A new group with its share, and the group that we are in now."""
    quota = round(PERIOD * percent / 100)
    if quota < QUOTA_MIN:
        raise Failed(f"--slow-core takes at least {100 * QUOTA_MIN / PERIOD:g} %: the kernel holds nobody to less")
    if (_V1 / "cpu.cfs_quota_us").exists():
        home, limits = _V1 / _own("cpu"), {"cpu.cfs_period_us": str(PERIOD), "cpu.cfs_quota_us": str(quota)}
    elif "cpu" in _words(_V2 / "cgroup.subtree_control"):
        home, limits = _V2 / _own(""), {"cpu.max": f"{quota} {PERIOD}"}
    else:
        raise Failed("no cgroup with a cpu controller: --slow-core cannot slow a core here")
    group = (_V1 if "cpu.cfs_quota_us" in limits else _V2) / f"edgecache-compare-{os.getpid()}"
    group.mkdir()
    for name, value in limits.items():
        (group / name).write_text(value)
    return group, home


def _own(controller: str) -> str:
    """Our group's path below the mount of a controller."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return path.lstrip("/")
    return ""


def _words(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []
