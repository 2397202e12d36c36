"""How commands talk to the agent of this device, and how they show sizes, rates and times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecache.cli.command import Session

if TYPE_CHECKING:
    from edgecache.adapters.control.client import ControlClient


def agent_of(session: Session) -> ControlClient:
    """A connection to the agent that the configuration names; raises Unreachable when none runs."""
    from edgecache.adapters.control.client import ControlClient

    return ControlClient(session.config().control_socket)


def size_text(count: float) -> str:
    """Bytes in the largest binary unit that keeps the number above 1."""
    for unit, digits in (("B", 0), ("KiB", 1), ("MiB", 1), ("GiB", 1)):
        if abs(round(count, digits)) < 1024:
            return f"{count:.{digits}f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def span_text(seconds: float) -> str:
    """A span of time in its two largest units."""
    if seconds < 0.99995:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {seconds} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"
