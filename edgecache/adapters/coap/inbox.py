"""What one connection has received and not yet understood: read into place, cut into messages."""

from __future__ import annotations

from collections.abc import Callable

from edgecache.adapters.coap.framing import Frame, measure, parse
from edgecache.model.errors import MalformedMessage

ROOM_BYTES = 16 * 1024
"""Buffer of a connection at rest: one TLS record."""


class Inbox:
    """A buffer that is as large as the message that is coming; `allow` raises for one that may not come."""

    def __init__(self, allow: Callable[[int, int], None]) -> None:
        """`allow(code, size)` is asked once per message, before anything is allocated for it."""
        self._allow = allow
        self._buffer = bytearray(ROOM_BYTES)
        self._begin = 0
        self._filled = 0
        self._expected = 0

    @property
    def partial(self) -> bool:
        """Whether a message has begun and not ended."""
        return self._filled > self._begin

    @property
    def large(self) -> bool:
        """Whether what has begun is larger than a TLS record."""
        return self._expected > ROOM_BYTES

    def space(self) -> memoryview:
        """Where the next bytes go; never empty."""
        return memoryview(self._buffer)[self._filled :]

    def fill(self, count: int) -> None:
        """So many bytes were put into `space`."""
        self._filled += count

    def next(self) -> Frame | None:
        """The next complete message, or None: read more. Raises MalformedMessage."""
        have = self._filled - self._begin
        if not have:
            self._begin = self._filled = 0
            return None
        if not self._expected:
            with memoryview(self._buffer) as view:
                sizes = measure(view[self._begin : self._filled])
            if sizes is not None:
                self._allow(sizes[1], sizes[0])
                self._expected = sizes[0]
        if not self._expected or have < self._expected:
            if self._begin or len(self._buffer) < self._expected:
                self._make_room()
            return None
        end = self._begin + self._expected
        if len(self._buffer) > ROOM_BYTES:  # made for this message: it goes with the payload
            frame = parse(memoryview(self._buffer), keep=True)
            self._buffer = bytearray(ROOM_BYTES)
            self._begin = self._filled = self._expected = 0
            return frame
        with memoryview(self._buffer) as view:
            frame = parse(view[self._begin : end])
        self._begin, self._expected = end, 0
        return frame

    def _make_room(self) -> None:
        """Move what is left to the front, of a buffer of the size that is needed."""
        size = max(ROOM_BYTES, self._expected)
        rest = self._buffer[self._begin : self._filled]
        if len(self._buffer) == size:
            self._buffer[: len(rest)] = rest
        else:
            self._buffer = bytearray(size)
            self._buffer[: len(rest)] = rest
        self._begin, self._filled = 0, len(rest)


def too_large(size: int, limit: int) -> MalformedMessage:
    """What `allow` raises for a message beyond its limit."""
    return MalformedMessage(f"a message of {size} bytes where at most {limit} are allowed")
