"""What goes out on one link: control before bulk, and never more in the socket than the link carries in a moment.

A queue of our own stands before the socket, because what the kernel has taken cannot be overtaken. The kernel is given
more only while what it holds, beyond what is on its way anyway (rate times least round trip), is at most 64 KiB or
100 ms of the measured goodput. Where the processor is short it takes a chunk at once, if the link carries that in 0.6
s: each visit costs more there than what it brings.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from edgecache.adapters.coap.bounds import LinkBounds
from edgecache.adapters.coap.pacing import Gauge, Goodput, Rests
from edgecache.adapters.coap.sendqueue import Outgoing, Rank, SendQueue
from edgecache.adapters.coap.tls import TlsStream

SLICE_BYTES = 128 * 1024
"""Encrypted and written at a time at least: eight TLS records. More: longer turns of the event loop, 2.6 ms where AES
takes 20 ns a byte; less: more of them."""

SLICE_SECONDS = 0.002
SLICE_BYTES_MAX = 512 * 1024
"""... and more where the peer takes more than that in so long, as encrypting is faster still: at 230 MB/s a chunk goes
out in one turn of the event loop instead of three."""

SEGMENTS_MIN = 4
"""In the socket at least, of TCP's segments: a receiver may wait 40 ms for a second one before it acknowledges one (RFC
1122 section 4.2.3.2). They are 64 KiB on the loopback interface."""

ROOM_MIN = 8 * 1024
"""With less room than this it is not worth waking up."""

STRAINED_ROOM = 64 * 1024
"""Where the processor is short bulk waits until there is room for this, a quarter of a chunk, but no longer than the
slack."""

_WAKE_MIN, _WAKE_MAX = 0.001, 0.02
_LOWAT_MAX = 1024 * 1024


class LinkWriter:
    """Feeds the queue to TLS and the socket."""

    def __init__(
        self, transport: asyncio.Transport, tls: TlsStream, gauge: Gauge, bounds: LinkBounds,
        loop: asyncio.AbstractEventLoop, rests: Rests,
    ) -> None:
        self._transport, self._tls, self._gauge, self._bounds, self._loop = transport, tls, gauge, bounds, loop
        self._rests = rests
        self._queue = SendQueue()
        self._goodput = Goodput()
        self._credit = 0
        self._delay = 0.0
        self._full = False
        """The credit is all that there was room for: once it is used, there is none for `_delay`."""
        self._blocked = False
        self._closed = False
        self._wake: asyncio.TimerHandle | None = None
        self._late = False
        """`_delay` is longer than it takes until there is room, which is soon enough for bulk only."""
        self._waited = False
        """Bytes have waited here since the last look at the socket."""
        self._when_empty: Callable[[], None] | None = None
        self._low_water = 0
        self.written = 0
        """Bytes given to the network."""
        # With both marks at 0 the transport says "pause" as soon as the kernel does not take everything.
        transport.set_write_buffer_limits(high=0)
        self._tune(bounds.queue_bytes_min)

    def unacknowledged(self, acked: int) -> int:
        """Bytes of ours that the peer has not acknowledged, when it has acknowledged so many in all."""
        return max(self._queue.bytes + self.written - acked, 0)

    def send(self, message: Outgoing) -> None:
        """Queue a message; its `sent` is called once: when its last byte went to the socket layer, or never will."""
        if self._closed:
            if message.sent is not None:
                self._loop.call_soon(message.sent)
            return
        self._queue.put(message)
        if self._wake is None or self._credit >= ROOM_MIN or (self._late and message.rank is not Rank.BULK):
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
        self._blocked = self._full = False
        self.pump()

    def pump(self) -> None:
        """Send as much as may be sent now."""
        while self._queue.bytes and not self._blocked and not self._closed and not self._transport.is_closing():
            if self._credit < ROOM_MIN and not self._full:
                self._credit = self._room()
            if self._credit < ROOM_MIN:
                self._full = False
                self._wake_later()
                return
            self._write_slice(self._credit)
        if not self._queue:
            self._full = False  # what comes next may come much later
        if self._when_empty is not None and not self._queue and not self._blocked:
            done, self._when_empty = self._when_empty, None
            done()

    def _write_slice(self, room: int) -> None:
        left = room
        while left > 0 and self._queue.bytes:
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
        outstanding = self.written - state.acked  # nothing waits before the kernel: it has not said stop
        self._goodput.sample(self._loop.time(), state.acked, state.min_rtt, waited=self._waited)
        self._waited = False
        rate, bounds, slack = self._goodput.rate, self._bounds, self._rests.slack()
        least = max(bounds.queue_bytes_min, SEGMENTS_MIN * state.segment)
        budget = max(least, int(rate * (bounds.queue_seconds + slack + state.min_rtt)))
        if slack:
            budget = max(budget, min(int(rate * bounds.strained_queue_seconds), bounds.strained_queue_bytes))
        self._tune(budget)
        # While the rate is still growing, it says little: an acknowledgement is due in a round trip.
        delay = min(ROOM_MIN / rate, state.rtt) if rate else state.min_rtt
        late = min(slack, STRAINED_ROOM / rate) if rate else 0.0
        self._delay, self._late = max(min(max(delay, _WAKE_MIN), _WAKE_MAX), late), late > 0
        room, most = budget - outstanding, max(SLICE_BYTES, min(int(rate * SLICE_SECONDS), SLICE_BYTES_MAX))
        self._full = room <= most
        return min(room, most)

    def _tune(self, budget: int) -> None:
        """Let the kernel wake us while it still has a part of the budget to send."""
        size = min(max(budget // 4, self._bounds.queue_bytes_min // 2), _LOWAT_MAX)
        if not self._low_water or not self._low_water / 2 < size < self._low_water * 2:
            self._low_water = size
            self._gauge.set_low_water(size)

    def _wake_later(self) -> None:
        if self._wake is None:
            self._wake = self._loop.call_later(self._delay, self._woken)

    def _woken(self) -> None:
        self._wake, self._waited = None, True
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
