"""Our own requests on one connection that wait for an answer, by token."""

from __future__ import annotations

import asyncio
import itertools
from enum import Enum

from edgecache.adapters.coap.framing import Frame

OURS = b"\0"
"""Our tokens begin with this; the library's never do, as it strips leading zeros."""

_NUMBER_BYTES = 3


class Unanswered(Enum):
    """Why there is no answer."""

    LATE = "late"
    LOST = "lost"


Answer = Frame | Unanswered


class Questions:
    """The table of one connection. Whoever asks bounds it: each question is forgotten when its asker has ended."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, tuple[asyncio.Future[Answer], asyncio.TimerHandle]] = {}
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, timeout: float) -> tuple[bytes, asyncio.Future[Answer]]:
        """A token that is not in use, and its answer to come, or why there is none after `timeout` seconds."""
        token = OURS + (next(self._numbers) % 256**_NUMBER_BYTES).to_bytes(_NUMBER_BYTES, "big")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._waiting[token] = answer, loop.call_later(timeout, _settle, answer, Unanswered.LATE)
        return token, answer

    def forget(self, token: bytes) -> None:
        """The asker waits no more; a late answer is dropped."""
        if (waiting := self._waiting.pop(token, None)) is not None:
            waiting[1].cancel()

    def answered(self, frame: Frame) -> bool:
        """Whether this is an answer to one of ours, late ones included."""
        if not frame.token.startswith(OURS):
            return False
        if (waiting := self._waiting.pop(frame.token, None)) is not None:
            waiting[1].cancel()
            _settle(waiting[0], frame)
        return True

    def lost(self) -> None:
        """No answer will come."""
        waiting, self._waiting = self._waiting, {}
        for answer, late in waiting.values():
            late.cancel()
            _settle(answer, Unanswered.LOST)


def _settle(answer: asyncio.Future[Answer], found: Answer) -> None:
    if not answer.done():
        answer.set_result(found)
