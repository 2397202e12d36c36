"""What the kernel holds of ours, and how fast it gets rid of it."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from dataclasses import dataclass
from typing import Protocol

_TCP_INFO = struct.Struct("=68xI48xQ20xI")
"""rtt at 68, bytes_acked at 120, min_rtt at 148 of struct tcp_info (linux/tcp.h)."""

_RTT_SANE_US = 60_000_000
"""The kernel says 2**32 - 1 while it has no sample."""

_SAMPLE_SECONDS = 0.01
_FOLLOW_DOWN_SECONDS = 0.1
"""A lower goodput than before is believed after so long."""


class Goodput:
    """Bytes a second that the peer acknowledges; rises at once, falls in steps, and only while we had more to send."""

    def __init__(self) -> None:
        self.rate = 0.0
        self._at: float | None = None
        self._acked = 0

    def sample(self, now: float, acked: int, *, busy: bool) -> None:
        """`acked` so far; `busy`: there was always more to send since the last sample."""
        if self._at is None:
            self._at, self._acked = now, acked
            return
        elapsed = now - self._at
        if elapsed < _SAMPLE_SECONDS:
            return
        measured = (acked - self._acked) / elapsed
        self._at, self._acked = now, acked
        if measured > self.rate:
            self.rate = measured
        elif busy:
            self.rate += min(1.0, elapsed / _FOLLOW_DOWN_SECONDS) * (measured - self.rate)


@dataclass(frozen=True, slots=True)
class SocketState:
    """What the kernel holds of ours."""

    outstanding: int
    """Bytes not acknowledged yet, sent or not."""
    acked: int
    rtt: float
    """Smoothed, in seconds; 0 when unknown."""
    min_rtt: float


class Gauge(Protocol):
    """Reads and tunes the socket below."""

    def read(self) -> SocketState:
        """Its state now."""
        ...

    def set_low_water(self, size: int) -> None:
        """It becomes writable when less than this is unsent."""
        ...


class TcpGauge:
    """A Linux TCP socket."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def read(self) -> SocketState:
        """Two system calls, about 2 us."""
        queued = struct.unpack("i", fcntl.ioctl(self._socket.fileno(), termios.TIOCOUTQ, b"\0\0\0\0"))[0]
        raw = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        rtt, acked, min_rtt = _TCP_INFO.unpack(raw)
        return SocketState(queued, acked, rtt / 1e6, min_rtt / 1e6 if min_rtt < _RTT_SANE_US else 0.0)

    def set_low_water(self, size: int) -> None:
        """The socket becomes writable when less than this is unsent (TCP_NOTSENT_LOWAT, tcp(7))."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, size)
