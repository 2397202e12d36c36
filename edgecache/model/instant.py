"""Two kinds of time that do not mix: monotonic instants order things, wall time is only shown."""

from __future__ import annotations

from typing import NewType, TypeAlias

Instant: TypeAlias = float
"""Seconds of the local monotonic clock; means nothing on another node or after a restart."""

WallTime = NewType("WallTime", float)
"""Seconds since 1970 as this device believes; never relied on for order."""
