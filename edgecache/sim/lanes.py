"""One direction of a device's cable: what is given to it leaves in order, at its rate, after what was given before."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from edgecache.model.instant import Instant
from edgecache.sim.world import World

MTU_PAYLOAD, MTU_FRAME, ACK_FRAME = 1448, 1514, 66
"""Of a TCP segment with timestamps on Ethernet: payload, whole frame, and a bare acknowledgement."""

FRAMING = MTU_FRAME / MTU_PAYLOAD
"""Bytes on the cable for each byte of a TCP stream."""

ACKNOWLEDGING = ACK_FRAME / (2 * MTU_PAYLOAD)
"""Bytes on the way back for each byte of a TCP stream: every second segment is acknowledged (RFC 5681 section 4.2)."""

QUEUE_SECONDS = 0.05
"""A queue that is longer makes TCP send less, which is modelled as waiting: nothing is lost here. As in the lab."""


SLICE_MIN, SLICE_MAX = 2 * 1024, 16 * 1024
SLICE_SECONDS = 0.0025
"""What takes a turn on a cable: what it carries in that time, within these bytes. Smaller is truer, and slower to
simulate: a slice is stored before it is passed on, where packets would flow."""


class Feeder(Protocol):
    """Somebody who has something to send and waits for room in the queue."""

    def feed(self) -> bool:
        """Give one slice to the lane; True if there is more that may go."""
        ...


class Lane:
    """A queue before a cable of `rate` bytes a second (0: no limit)."""

    __slots__ = ("_free", "_waiting", "_waking", "_world", "bulk_bytes", "carried", "rate")

    def __init__(self, world: World, rate: float = 0.0) -> None:
        self._world = world
        self.rate = rate
        self.carried = 0
        """Bytes of payload."""
        self.bulk_bytes = 0
        """Bytes of chunks that wait before the sockets of this device, or in them."""
        self._free: Instant = 0.0
        self._waiting: deque[Feeder] = deque()
        self._waking = False

    def take(self, size: int) -> Instant:
        """When the last of `size` bytes of a TCP stream, given now, has left."""
        self.carried += size
        now = self._world.now
        if not self.rate:
            return now
        self._free = max(self._free, now) + size * FRAMING / self.rate
        return self._free

    def acknowledge(self, size: int) -> Instant:
        """When the acknowledgement of the last of so many bytes, which came to this device just now, has left it."""
        now = self._world.now
        if not self.rate:
            return now
        self._free = max(self._free, now) + size * ACKNOWLEDGING / self.rate
        return self._free

    @property
    def slice_bytes(self) -> int:
        """The most that takes one turn."""
        return min(max(int(self.rate * SLICE_SECONDS), SLICE_MIN), SLICE_MAX) if self.rate else SLICE_MAX

    @property
    def backlog(self) -> float:
        """Seconds until what was given has left."""
        return max(0.0, self._free - self._world.now)

    # ---- taking turns

    def offer(self, feeder: Feeder) -> None:
        """`feeder` has something to send: it gets its turns while the queue is short. It must not wait already."""
        self._waiting.append(feeder)
        if not self._waking:
            self._feed()

    def _feed(self) -> None:
        """One slice of each in turn, until the queue is long enough."""
        self._waking = True
        while self._waiting:
            ahead = self._free - self._world.now - QUEUE_SECONDS
            if ahead >= 0.0 and self.rate:
                self._world.after(ahead + 1e-6, self._feed)
                return
            feeder = self._waiting.popleft()
            if feeder.feed():
                self._waiting.append(feeder)
        self._waking = False

    def clear(self) -> None:
        """Power is gone, and all that waited with it."""
        self._waiting.clear()
        self.bulk_bytes = 0
        self._free = 0.0
