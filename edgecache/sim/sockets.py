"""One direction of a link: our queue before the socket, and what the socket may have under way.

As the real one (adapters/coap): control goes before bulk, whole messages each, and no more is given to the kernel than
the link carries in a moment. What the kernel has, nothing overtakes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from edgecache.model.instant import Instant
from edgecache.sim.lanes import Lane

SOCKET_BYTES = 64 * 1024
SOCKET_SECONDS = 0.1
"""Not acknowledged on one link at most: so many bytes, or what it has lately carried in so long, if that is more."""

TLS_RECORD, TLS_BYTES = 16 * 1024, 22
"""Each record of so many bytes has a header, a content type and a tag of so many (RFC 8446 section 5)."""

Arrival = Callable[[], None]


@dataclass(slots=True, eq=False)
class Message:
    """One message of a link."""

    size: int
    arrival: Arrival
    sent: Arrival | None = None
    """Of bulk: its last byte went to the socket."""
    left: int = 0
    """Bytes that have not gone there."""

    def __post_init__(self) -> None:
        self.size += TLS_BYTES * (1 + self.size // TLS_RECORD)
        self.left = self.size


@dataclass(slots=True, eq=False)
class Slice:
    """Bytes on their way, and the messages that end with them."""

    size: int
    messages: list[Message]
    counted: bool = True
    """Among what is under way until it is acknowledged."""


class Sender:
    """The queue and the socket of one end."""

    __slots__ = (
        "_acked",
        "_bulk",
        "_control",
        "_current",
        "_lane",
        "_launch",
        "_offered",
        "_rate",
        "_since",
        "closed",
        "control_bytes",
        "flying",
    )  # fmt: skip

    def __init__(self, lane: Lane, launch: Callable[[Slice, Instant], None]) -> None:
        """`launch(slice, leaves)` is called for each slice, with the time at which its last byte leaves the cable."""
        self._lane, self._launch = lane, launch
        self._control: deque[Message] = deque()
        self._bulk: deque[Message] = deque()
        self._current: Message | None = None
        self._offered = False
        self._rate = 0.0
        self._acked = 0
        self._since: Instant = 0.0
        self.flying = 0
        """Bytes not acknowledged."""
        self.closed = False
        self.control_bytes = 0
        """Of control messages that wait here."""

    def control(self, message: Message) -> None:
        """Queue a message that goes before all bulk that has not begun."""
        self.control_bytes += message.left
        self._control.append(message)
        self._offer()

    def bulk(self, message: Message) -> None:
        """Queue a chunk or a part of one."""
        self._lane.bulk_bytes += message.left
        self._bulk.append(message)
        self._offer()

    @property
    def _ready(self) -> bool:
        if not (self._current or self._control or self._bulk) or self.closed:
            return False
        return self.flying < max(SOCKET_BYTES, self._rate * SOCKET_SECONDS)

    def _offer(self) -> None:
        if not self._offered and self._ready:
            self._offered = True
            self._lane.offer(self)

    def feed(self) -> bool:
        """It is our turn: one slice goes."""
        if not self._ready:
            self._offered = False
            return False
        slice_ = self._cut()
        self.flying += slice_.size
        self._launch(slice_, self._lane.take(slice_.size))
        for message in slice_.messages:
            if message.sent is not None:
                message.sent()
        self._offered = self._ready
        return self._offered

    def _cut(self) -> Slice:
        """The next bytes: the rest of a message that has begun, else control, as much as fits, else bulk."""
        out, most = Slice(0, []), self._lane.slice_bytes
        while out.size < most:
            message = self._current
            if message is None:
                if self._control:
                    message = self._control.popleft()
                    self.control_bytes -= message.left
                elif self._bulk and not out.size:
                    message = self._bulk.popleft()
                else:
                    break
            part = min(message.left, most - out.size)
            message.left -= part
            out.size += part
            if message.sent is not None:
                self._lane.bulk_bytes -= part
            self._current = message if message.left else None
            if not message.left:
                out.messages.append(message)
        return out

    def acknowledged(self, size: int, now: Instant) -> None:
        """The peer has so many bytes more."""
        self.flying -= size
        self._acked += size
        if now - self._since >= SOCKET_SECONDS:
            self._rate = self._acked / (now - self._since)
            self._since, self._acked = now, 0
        self._offer()

    def finish(self) -> None:
        """Send what is here but for bulk that has not begun."""
        self._lane.bulk_bytes -= sum(message.left for message in self._bulk)
        self._bulk.clear()

    def close(self) -> None:
        """Nothing more is sent."""
        self.finish()
        self.closed = True
        if self._current is not None and self._current.sent is not None:
            self._lane.bulk_bytes -= self._current.left
        self._control.clear()
        self._current = None
