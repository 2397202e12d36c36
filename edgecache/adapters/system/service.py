"""Telling systemd that the agent is ready, alive and stopping (sd_notify(3)); silent where nobody listens."""

from __future__ import annotations

import os
import socket


class ServiceManager:
    """The notification socket that the service manager names in the environment, if any."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        micros = os.environ.get("WATCHDOG_USEC", "")
        ours = os.environ.get("WATCHDOG_PID", "") in ("", str(os.getpid()))
        self.watchdog_interval = int(micros) / 2e6 if micros.isdigit() and ours and self._address else None
        """Seconds between two signs of life: half of what the manager waits; None when it does not wait."""

    def ready(self, status: str) -> None:
        """Start-up is over."""
        self._tell(f"READY=1\nSTATUS={status}")

    def alive(self, status: str) -> None:
        """The event loop runs."""
        self._tell(f"WATCHDOG=1\nSTATUS={status}")

    def stopping(self) -> None:
        """Shutdown has begun."""
        self._tell("STOPPING=1")

    def _tell(self, text: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            try:
                sock.sendto(text.encode(), address)
            except OSError:
                self._address = ""
