"""What a process used: CPU seconds, peak and present memory; and what machine this is."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one process since its start; sizes in bytes."""

    cpu: float
    rss: int
    rss_peak: int


def usage(pid: int) -> Usage:
    """Read from /proc."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    return Usage(
        cpu=(int(fields[11]) + int(fields[12])) / _TICKS,
        rss=_kibibytes(status, "VmRSS"),
        rss_peak=_kibibytes(status, "VmHWM"),
    )


def _kibibytes(status: str, name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", status)
    return int(found[1]) * 1024 if found else 0


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("model name", "Model")):
            model = line.partition(":")[2].strip()
            break
    return {
        "cpu": model or platform.machine(), "cores": os.cpu_count(), "kernel": platform.release(),
        "python": platform.python_version(), "load": os.getloadavg()[0],
    }
