"""Happy Eyeballs (RFC 8305) over any number of attempts."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

from edgecache.model.errors import EdgecacheError

T = TypeVar("T")


async def first_success(
    attempts: Sequence[Callable[[], Coroutine[Any, Any, T]]], *, stagger: float
) -> T | list[EdgecacheError]:
    """What the first attempt to succeed returns, or the errors of all.

    One more attempt starts every `stagger` seconds, and as soon as one fails; when one has succeeded, or this call is
    cancelled, the others are cancelled and have ended before it returns.
    """
    waiting = deque(attempts)
    running: set[asyncio.Task[T]] = set()
    errors: list[EdgecacheError] = []
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.ensure_future(waiting.popleft()()))
            done, running = await asyncio.wait(
                running, timeout=stagger if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task, error in [(task, task.exception()) for task in done]:
                if error is None:
                    return task.result()
                if not isinstance(error, EdgecacheError):
                    raise error
                errors.append(error)
        return errors
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
