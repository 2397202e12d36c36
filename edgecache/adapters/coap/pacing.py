"""What the kernel holds of ours, and how fast it gets rid of it."""

from __future__ import annotations

import socket
import struct
from collections import deque
from typing import NamedTuple, Protocol

_TCP_INFO = struct.Struct("=16xI48xI48xQ20xI")
"""snd_mss at 16, rtt at 68, bytes_acked at 120, min_rtt at 148 of struct tcp_info (linux/tcp.h)."""

_SO_MAX_PACING_RATE = 47
"""asm-generic/socket.h; Python does not name it."""

_PACE = struct.Struct("@L")
"""An unsigned long: 4 bytes on 32-bit Linux."""

_PACE_NONE = (1 << 8 * _PACE.size) - 1

_RTT_SANE_US = 60_000_000
"""The kernel says 2**32 - 1 while it has no sample."""

WINDOW_SECONDS = 0.1
"""Goodput is what was acknowledged in so long, or in two round trips: a reader that stalls is noticed in that time."""

_WINDOWS_REMEMBERED = 10
"""After a silence of so many windows a path may be another. Less: chunks that are asked for one by one over a long path
start anew each time, and take twice as long (simulated, 200 ms at 100 Mbit/s, 1 MiB every 0.3 s)."""

_SAMPLES = 20
"""In a window; more only costs memory."""


class Rests(Protocol):
    """How the event loop looks after its sockets while chunks come in pieces."""

    def piece(self, size: int) -> None:
        """A read brought so many bytes and ended within a large message."""
        ...

    def slack(self) -> float:
        """Seconds by which bulk may be late because the processor is short: nothing need wake up sooner for it."""
        ...


class NoRests(Rests):
    """A loop that looks at every packet, on a processor that has nothing else to do."""

    def piece(self, size: int) -> None:
        """Is as good as a chunk."""

    def slack(self) -> float:
        """None."""
        return 0.0


class Goodput:
    """Bytes a second that the peer has acknowledged lately."""

    def __init__(self) -> None:
        self.rate = 0.0
        self._samples: deque[tuple[float, int]] = deque()
        self._before = self._until = 0.0
        """A rate from before a short silence, and until when it is believed."""

    def sample(self, now: float, acked: int, min_rtt: float, *, waited: bool = False) -> None:
        """`acked` bytes so far. A connection that was silent grows with what is acknowledged from then on, from nothing
        or, for a window, from what it was lately: were its silence counted in, it would seem slow for another window.
        It was not silent where bytes have `waited` to be sent since the last sample, however long ago that is.
        """
        window = max(WINDOW_SECONDS, 2 * min_rtt)
        samples = self._samples
        if samples and not waited and (silent := now - samples[-1][0]) > window:
            self._before, self._until = self.rate if silent <= _WINDOWS_REMEMBERED * window else 0.0, now + window
            samples.clear()
        while len(samples) > 1 and samples[1][0] <= now - window:
            samples.popleft()
        if not samples or now - samples[-1][0] >= window / _SAMPLES:
            samples.append((now, acked))
        began, before = samples[0]
        self.rate = (acked - before) / max(window, now - began)
        if now < self._until:
            self.rate = max(self.rate, self._before)


class SocketState(NamedTuple):
    """What the kernel knows of a connection."""

    acked: int
    """Bytes that the peer has acknowledged since the beginning; one more where we dialled, for the SYN."""
    rtt: float
    """Smoothed, in seconds; 0 when unknown."""
    min_rtt: float
    segment: int = 0
    """Bytes of the largest segment."""


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
        """One system call, about 1 us."""
        raw = self._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO.size)
        segment, rtt, acked, min_rtt = _TCP_INFO.unpack(raw)
        return SocketState(acked, rtt / 1e6, min_rtt / 1e6 if min_rtt < _RTT_SANE_US else 0.0, segment)

    def set_pace(self, rate: float) -> None:
        """Bytes a second that leave at most, of payload, spread evenly; 0 is unlimited (SO_MAX_PACING_RATE, tcp(7))."""
        pace = int(min(max(rate, 1.0), _PACE_NONE)) if rate else _PACE_NONE
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_MAX_PACING_RATE, _PACE.pack(pace))

    def set_low_water(self, size: int) -> None:
        """The socket becomes writable when less than this is unsent (TCP_NOTSENT_LOWAT, tcp(7))."""
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, size)
