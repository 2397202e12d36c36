"""Our own requests on one connection that wait for an answer, by token."""

from __future__ import annotations

import asyncio
import itertools

from edgecache.adapters.coap.framing import Frame

OURS = b"\0"
"""Our tokens begin with this; the library's never do, as it strips leading zeros."""

_NUMBER_BYTES = 3


class Questions:
    """The table of one connection. Whoever asks bounds it: each question is forgotten when its asker has ended."""

    def __init__(self) -> None:
        self._waiting: dict[bytes, asyncio.Future[Frame | None]] = {}
        self._numbers = itertools.count()

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self) -> tuple[bytes, asyncio.Future[Frame | None]]:
        """A token that is not in use, and its answer to come: None when the connection is lost."""
        token = OURS + (next(self._numbers) % 256**_NUMBER_BYTES).to_bytes(_NUMBER_BYTES, "big")
        answer: asyncio.Future[Frame | None] = asyncio.get_running_loop().create_future()
        self._waiting[token] = answer
        return token, answer

    def forget(self, token: bytes) -> None:
        """The asker waits no more; a late answer is dropped."""
        self._waiting.pop(token, None)

    def answered(self, frame: Frame) -> bool:
        """Whether this is an answer to one of ours, late ones included."""
        if not frame.token.startswith(OURS):
            return False
        self._settle(self._waiting.pop(frame.token, None), frame)
        return True

    def lost(self) -> None:
        """No answer will come."""
        waiting, self._waiting = self._waiting, {}
        for answer in waiting.values():
            self._settle(answer, None)

    def _settle(self, answer: asyncio.Future[Frame | None] | None, frame: Frame | None) -> None:
        if answer is not None and not answer.done():
            answer.set_result(frame)
