"""The order of what is sent on one link. No IO."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum

CONTROL_PAYLOAD_MAX = 4 * 1024
"""A larger payload counts as bulk: it would delay control itself."""

RECORD_BYTES = 16 * 1024
"""Control messages are joined up to one TLS record."""


class Rank(Enum):
    """What goes before what; by the size of the payload where the sender does not say."""

    URGENT = "urgent"
    CONTROL = "control"
    BULK = "bulk"


class Outgoing:
    """One message to be sent."""

    __slots__ = ("head", "payload", "rank", "sent")

    def __init__(
        self, head: bytes, payload: bytes, sent: Callable[[], None] | None = None, rank: Rank | None = None
    ) -> None:
        self.head, self.payload, self.sent = head, payload, sent
        self.rank = rank or (Rank.BULK if len(payload) > CONTROL_PAYLOAD_MAX else Rank.CONTROL)

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

    def put(self, message: Outgoing) -> None:
        """Append to its rank."""
        self.bytes += message.size
        if message.rank is Rank.BULK:
            self._bulk.append(message)
        elif message.rank is Rank.URGENT:
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
