"""How the agent lives on its device: what it asks of the kernel's scheduler and of the C library's allocator, and how
long the first of them lets it wait."""

from __future__ import annotations

import contextlib
import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
"""Of mallopt(3); glibc only."""

FREE_KEPT_BYTES = 4 * 1024 * 1024
"""Freed memory at the end of a heap (each thread may have one) that is not given back to the kernel: a link's window,
16 chunks of 256 KiB. Less: each chunk's pages are given back and faulted in anew, which cost a seventh of what
receiving it did; more: nothing was gained (8 MiB)."""

MAPPED_BYTES = 1024 * 1024
"""What is larger has pages of its own, which go back to the kernel at once. A chunk must not be, nor what is encrypted
at a time (512 KiB)."""


def settle() -> None:
    """Ask once, before any thread is started; what is refused or unknown is done without."""
    _run_as_batch()
    _keep_freed_memory()


def _run_as_batch() -> None:
    """Have a thread of ours that wakes up wait until whoever runs has had its turn (SCHED_BATCH, sched(7)): neither the
    device's own work nor our own threads are interrupted at each packet. Whoever gave us another policy knows better.
    """
    with contextlib.suppress(OSError):  # a sandbox that does not let us ask: the service file asks there
        if os.sched_getscheduler(0) == os.SCHED_OTHER:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _keep_freed_memory() -> None:
    with contextlib.suppress(AttributeError, OSError):  # another C library
        allocator = ctypes.CDLL(None)
        if allocator.mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES):  # each alone would end glibc's own adaptation
            allocator.mallopt(_M_TRIM_THRESHOLD, FREE_KEPT_BYTES)


class SchedulerQueue:
    """How long the thread that makes this waits for a processor (proc_pid_schedstat(5)); never, where the kernel does
    not count it."""

    def __init__(self) -> None:
        self._file: int | None = None
        with contextlib.suppress(OSError):
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY | os.O_CLOEXEC)
        self._waited, self._turns = self._read()

    def wait(self) -> float:
        """Mean seconds before each turn on a processor since the last call."""
        waited, turns = self._read()
        seconds, count = waited - self._waited, turns - self._turns
        self._waited, self._turns = waited, turns
        return seconds / count if count > 0 else 0.0

    def _read(self) -> tuple[float, int]:
        """Seconds waited and turns taken since the thread began."""
        if self._file is None:
            return 0.0, 0
        try:
            _, waited, turns = map(int, os.pread(self._file, 100, 0).split())
        except (OSError, ValueError):
            return 0.0, 0
        return waited / 1e9, turns
