"""The wall clock of one process, which a test steps while it runs; the machine's own is left alone."""

from __future__ import annotations

import os
import struct
import subprocess
import time
from pathlib import Path

from tests.lab.tools import require_tool

_SOURCE = Path(__file__).with_suffix(".c")


class WallClock:
    """Right and trusted until a test sets it."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._library, self._setting = directory / "wallclock.so", directory / "setting"
        gcc = require_tool("gcc")
        subprocess.run([gcc, "-shared", "-fPIC", "-o", self._library, _SOURCE, "-ldl"], check=True, timeout=60)
        self._write(0, trusted=True)

    def set(self, seconds: float, *, trusted: bool) -> None:
        """Step it to so many seconds since 1970; `trusted`: the kernel says that this is right."""
        self._write(int(seconds - time.time()), trusted=trusted)

    def _write(self, offset: int, *, trusted: bool) -> None:
        # In place and in one piece: the process has it mapped, and reads it at any moment.
        descriptor = os.open(self._setting, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, struct.pack("=qq", offset, trusted), 0)
        finally:
            os.close(descriptor)

    @property
    def wrapper(self) -> list[str]:
        """Before the command of the process that is to have this clock."""
        return ["env", f"LD_PRELOAD={self._library}", f"WALL_CLOCK={self._setting}"]
