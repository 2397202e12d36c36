"""What goes out on one link: control before bulk, and never more in the socket than the link carries in a moment.

A queue of our own stands before the socket, because what the kernel has taken cannot be overtaken. The kernel is given
more only while what it holds, beyond what is on its way anyway (rate times least round trip), is at most 64 KiB or
100 ms of the measured goodput.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edgecache.adapters.coap.bounds import LinkBounds
from edgecache.adapters.coap.tls import TlsStream

CONTROL_PAYLOAD_MAX = 4 * 1024
"""A larger payload counts as bulk: it would delay control itself."""

SLICE_BYTES = 64 * 1024
"""Encrypted and written at a time: four TLS records."""

RECORD_BYTES = 16 * 1024
"""Control messages are joined up to one TLS record."""

ROOM_MIN = 8 * 1024
"""With less room than this it is not worth waking up."""

_TCP_INFO = struct.Struct("=68xI48xQ20xI")
"""rtt at 68, bytes_acked at 120, min_rtt at 148 of struct tcp_info (linux/tcp.h)."""

_RTT_SANE_US = 60_000_000
"""The kernel says 2**32 - 1 while it has no sample."""

_SAMPLE_SECONDS = 0.01
_FOLLOW_DOWN_SECONDS = 0.1
"""A lower goodput than before is believed after so long."""

_WAKE_MIN, _WAKE_MAX = 0.001, 0.02
_LOWAT_MAX = 1024 * 1024


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

    def read(self) -> SocketState: ...
    def set_low_water(self, size: int) -> None: ...


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


class Outgoing:
    """One message to be sent."""

    __slots__ = ("head", "payload", "sent")

    def __init__(self, head: bytes, payload: bytes, sent: Callable[[], None] | None) -> None:
        self.head, self.payload, self.sent = head, payload, sent

    @property
    def size(self) -> int:
        """Bytes on the stream."""
        return len(self.head) + len(self.payload)


class SendQueue:
    """The order of what is sent: signalling, then control, then bulk, whole messages each."""

    def __init__(self) -> None:
        self._control: deque[Outgoing] = deque()
        self._bulk: deque[Outgoing] = deque()
        self._current: Outgoing | None = None
        self._rest = memoryview(b"")
        self._finished: list[Callable[[], None]] = []
        self.bytes = 0
        """Waiting here, all kinds."""

    def __bool__(self) -> bool:
        return self.bytes > 0

    def put(self, message: Outgoing, *, urgent: bool = False) -> None:
        """Append to its class; `urgent` goes before all control."""
        self.bytes += message.size
        if len(message.payload) > CONTROL_PAYLOAD_MAX:
            self._bulk.append(message)
        elif urgent:
            self._control.appendleft(message)
        else:
            self._control.append(message)

    def take(self, room: int) -> bytes | memoryview:
        """The next bytes of the stream, at most about `room` of them; empty only when the queue is."""
        if self._current is None and self._control:
            return self._take_control(room)
        if self._current is None:
            if not self._bulk:
                return b""
            self._current = self._bulk.popleft()
            self._rest = memoryview(self._current.payload)
            self.bytes -= len(self._current.head)
            return self._current.head
        piece, self._rest = self._rest[:room], self._rest[room:]
        self.bytes -= len(piece)
        if not self._rest:
            self._finish(self._current)
            self._current = None
        return piece

    def _take_control(self, room: int) -> bytes:
        parts: list[bytes] = []
        size, limit = 0, min(room, RECORD_BYTES)
        while self._control and (not parts or size + self._control[0].size <= limit):
            message = self._control.popleft()
            parts += (message.head, message.payload)
            size += message.size
            self._finish(message)
        self.bytes -= size
        return b"".join(parts)

    def _finish(self, message: Outgoing) -> None:
        if message.sent is not None:
            self._finished.append(message.sent)

    def finished(self) -> list[Callable[[], None]]:
        """`sent` of each message whose last byte was taken since the last call."""
        done, self._finished = self._finished, []
        return done

    def drop_bulk(self) -> None:
        """Forget every bulk message that has not begun; its `sent` is called all the same, by `finished`."""
        for message in self._bulk:
            self.bytes -= message.size
            self._finish(message)
        self._bulk.clear()

    def clear(self) -> None:
        """Forget everything; each `sent` is called all the same, by `finished`."""
        for message in (*self._control, *self._bulk, *([self._current] if self._current else [])):
            self._finish(message)
        self._control.clear()
        self._bulk.clear()
        self._current, self._rest, self.bytes = None, memoryview(b""), 0


class LinkWriter:
    """Feeds the queue to TLS and the socket."""

    def __init__(
        self, transport: asyncio.Transport, tls: TlsStream, gauge: Gauge, bounds: LinkBounds,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._transport, self._tls, self._gauge, self._bounds, self._loop = transport, tls, gauge, bounds, loop
        self._queue = SendQueue()
        self._goodput = Goodput()
        self._credit = 0
        self._delay = 0.0
        self._blocked = False
        self._busy = False
        self._closed = False
        self._wake: asyncio.TimerHandle | None = None
        self._when_empty: Callable[[], None] | None = None
        self._low_water = 0
        self.written = 0
        """Bytes given to the network."""
        # With both marks at 0 the transport says "pause" as soon as the kernel does not take everything.
        transport.set_write_buffer_limits(high=0)
        self._tune(bounds.queue_bytes_min)

    @property
    def queued(self) -> int:
        """Bytes that are not in the kernel yet."""
        return self._queue.bytes + self._transport.get_write_buffer_size()

    @property
    def goodput(self) -> float:
        """Bytes a second, as measured; 0 when never."""
        return self._goodput.rate

    def send(self, head: bytes, payload: bytes, sent: Callable[[], None] | None, *, urgent: bool = False) -> None:
        """Queue a message; `sent` is called once: when its last byte went to the socket layer, or never will."""
        if self._closed:
            if sent is not None:
                self._loop.call_soon(sent)
            return
        self._queue.put(Outgoing(head, payload, sent), urgent=urgent)
        self.pump()

    def flush_tls(self) -> None:
        """Send what TLS itself wants to say."""
        data = self._tls.take()
        if data and not self._transport.is_closing():
            self.written += len(data)
            self._transport.write(data)

    def pause(self) -> None:
        """The kernel does not take more."""
        self._blocked = True

    def resume(self) -> None:
        """The kernel takes more."""
        self._blocked = False
        self.pump()

    def pump(self) -> None:
        """Send as much as may be sent now."""
        while self._queue and not self._blocked and not self._closed:
            if self._credit < ROOM_MIN:
                self._credit = self._room()
            if self._credit < ROOM_MIN:
                self._wake_later()
                return
            self._write_slice(min(self._credit, SLICE_BYTES))
        if self._when_empty is not None and not self._queue and not self._blocked:
            done, self._when_empty = self._when_empty, None
            done()

    def _write_slice(self, room: int) -> None:
        left = room
        while left > 0 and self._queue:
            piece = self._queue.take(left)
            self._tls.write(piece)
            left -= len(piece)
        data = self._tls.take()
        self._credit -= len(data)
        self.written += len(data)
        self._transport.write(data)
        for sent in self._queue.finished():
            sent()

    def _room(self) -> int:
        state = self._gauge.read()
        self._goodput.sample(self._loop.time(), state.acked, busy=self._busy)
        self._busy = bool(self._queue)
        rate, bounds = self._goodput.rate, self._bounds
        budget = max(bounds.queue_bytes_min, int(rate * (bounds.queue_seconds + state.min_rtt)))
        self._tune(budget)
        self._delay = ROOM_MIN / rate if rate else state.min_rtt
        return budget - state.outstanding

    def _tune(self, budget: int) -> None:
        """Let the kernel wake us while it still has a part of the budget to send."""
        size = min(max(budget // 4, self._bounds.queue_bytes_min // 2), _LOWAT_MAX)
        if not self._low_water or not self._low_water / 2 < size < self._low_water * 2:
            self._low_water = size
            self._gauge.set_low_water(size)

    def _wake_later(self) -> None:
        if self._wake is None:
            delay = min(max(self._delay, _WAKE_MIN), _WAKE_MAX)
            self._wake = self._loop.call_later(delay, self._woken)

    def _woken(self) -> None:
        self._wake = None
        self.pump()

    def finish(self, done: Callable[[], None]) -> None:
        """Drop bulk that has not begun, send the rest, then call `done`."""
        self._queue.drop_bulk()
        self._when_empty = done
        self.pump()

    def close(self) -> None:
        """Nothing more is sent; whoever waits for a message of his to be sent is told."""
        self._closed = True
        self._when_empty = None
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        self._queue.clear()
        for sent in self._queue.finished():
            sent()
