"""Time from the kernel: an instant that also counts sleep, wall time, and whether the kernel trusts the latter."""

from __future__ import annotations

import ctypes
import functools
import os
import time
from collections.abc import Callable
from pathlib import Path

from edgecache.model.instant import Instant, WallTime

_TIME_ERROR = 5
"""adjtimex(2): the clock is not synchronised."""

_STA_UNSYNC = 0x0040

_TIMEX_BYTES = 512
"""struct timex has 208 bytes on 64-bit Linux, 128 on 32-bit; the kernel writes no more than its own."""

_SYNC_MARKS = (Path("/run/systemd/timesync/synchronized"),)
"""Files that a time service makes once the clock is right."""


class SystemClock:
    """ports.Clock on Linux. The instant is CLOCK_BOOTTIME, so a laptop's or a board's sleep counts as time."""

    def __init__(self) -> None:
        self._now = _instant_source()

    def now(self) -> Instant:
        """Seconds; never goes back."""
        return self._now()

    def wall(self) -> WallTime:
        """Seconds since 1970 as this device believes."""
        return WallTime(time.time())

    def wall_trusted(self) -> bool:
        """The kernel says that its clock is synchronised; False whenever it cannot be asked."""
        if _may_ask_kernel() and (synchronised := kernel_synchronised()) is not None:
            return synchronised
        return any(mark.exists() for mark in _SYNC_MARKS)


def _instant_source() -> Callable[[], float]:
    boottime = getattr(time, "CLOCK_BOOTTIME", None)
    if boottime is None:
        return time.monotonic
    try:
        time.clock_gettime(boottime)
    except OSError:
        return time.monotonic
    return functools.partial(time.clock_gettime, boottime)


def kernel_synchronised() -> bool | None:
    """The sync flag of adjtimex(2), read only; None when the kernel or a sandbox does not answer."""
    try:
        adjtimex = ctypes.CDLL(None, use_errno=True).adjtimex
    except (OSError, AttributeError):
        return None
    # struct timex: unsigned modes (0 reads), longs offset, freq, maxerror and esterror, then int status.
    buffer = (ctypes.c_byte * _TIMEX_BYTES)()
    state = int(adjtimex(ctypes.byref(buffer)))
    if state < 0:
        return None
    at = 5 * ctypes.sizeof(ctypes.c_long)
    status = ctypes.c_int.from_buffer(buffer, at).value
    return state != _TIME_ERROR and not status & _STA_UNSYNC


@functools.cache
def _may_ask_kernel() -> bool:
    """False under a systemd system call filter: a filter without SystemCallErrorNumber= kills for a clock call."""
    if "INVOCATION_ID" not in os.environ:
        return True
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    return "\nSeccomp:\t2" not in status
