"""Hold this process and all that it starts to a part of one core: what a small device has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.compare.process import Failed

PERIOD = 10_000
"""Microseconds over which the share is kept: short, so that a slow core is slow rather than absent now and then."""

_V1 = Path("/sys/fs/cgroup/cpu")
_V2 = Path("/sys/fs/cgroup")


@contextmanager
def slow_core(percent: float | None) -> Iterator[None]:
    """None: all cores as they are. Raises Failed where there is no cpu controller."""
    if percent is None:
        yield
        return
    cores = os.sched_getaffinity(0)
    group, home = _group(percent)
    os.sched_setaffinity(0, {min(cores)})
    (group / "cgroup.procs").write_text(str(os.getpid()))
    try:
        yield
    finally:
        (home / "cgroup.procs").write_text(str(os.getpid()))
        os.sched_setaffinity(0, cores)
        group.rmdir()


def _group(percent: float) -> tuple[Path, Path]:
    """A new group with its share, and the group that we are in now."""
    quota = round(PERIOD * percent / 100)
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
