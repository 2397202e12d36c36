"""Signalling of CoAP over TCP (RFC 8323 section 5): capabilities, pings."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from edgecache.adapters.coap import bounds as b
from edgecache.adapters.coap import framing as f
from edgecache.adapters.coap.framing import Code, Frame
from edgecache.model.errors import EdgecacheError, MalformedMessage, TimedOut

PING_TOKEN_BYTES = 4

MESSAGE_BYTES_DEFAULT = 1152
"""Max-Message-Size of a peer that does not say (section 5.3.1)."""

OUR_CSM = f.head(
    Code.CSM,
    b"",
    f.encode_options(
        ((f.CsmOption.MAX_MESSAGE_SIZE, f.uint(b.RESPONSE_MESSAGE_BYTES)), (f.CsmOption.BLOCK_WISE_TRANSFER, b""))
    ),
    0,
)


class UnknownCsmOption(MalformedMessage):
    """A critical option in a CSM that we do not understand; `number` goes into the Abort (section 5.6)."""

    def __init__(self, number: int) -> None:
        super().__init__(f"critical CSM option {number} is unknown here")
        self.number = number


def check_csm(frame: Frame, before: int) -> int:
    """The largest message that a peer takes from now on, which took `before`; MalformedMessage when we cannot serve it.

    What a CSM does not name stays as it was (RFC 8323 section 5.3).
    """
    largest = before
    for number, value in frame.options:
        if number == f.CsmOption.MAX_MESSAGE_SIZE:
            largest = int.from_bytes(value[:8], "big")
        elif number & 1:
            raise UnknownCsmOption(number)
    if largest < b.PEER_MESSAGE_BYTES_MIN:
        raise MalformedMessage(f"it takes messages of {largest} bytes, a chunk needs {b.PEER_MESSAGE_BYTES_MIN}")
    return largest


def abort(error: MalformedMessage) -> bytes:
    """An Abort that says why."""
    number = error.number if isinstance(error, UnknownCsmOption) else None
    options = () if number is None else ((f.ABORT_BAD_CSM_OPTION, f.uint(number)),)
    text = error.message.encode()
    return f.head(Code.ABORT, b"", f.encode_options(options), len(text)) + text


class Pings:
    """Pings that wait for their Pong."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: dict[bytes, asyncio.Future[None]] = {}

    async def ping(self, send: Callable[[bytes], None], timeout: float) -> float:
        """Round trip in seconds; raises TimedOut, or what `fail` was given."""
        token = os.urandom(PING_TOKEN_BYTES)
        self._waiting[token] = answer = self._loop.create_future()
        began = self._loop.time()
        try:
            send(f.head(Code.PING, token, b"", 0))
            async with asyncio.timeout(timeout):
                await answer
        except TimeoutError as error:
            raise TimedOut(f"no answer to a ping in {timeout:g} s") from error
        finally:
            self._waiting.pop(token, None)
        return self._loop.time() - began

    def answered(self, token: bytes) -> None:
        """A Pong; unknown ones are ignored."""
        answer = self._waiting.pop(token, None)
        if answer is not None and not answer.done():
            answer.set_result(None)

    def fail(self, error: EdgecacheError) -> None:
        """The link is gone."""
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(error)
