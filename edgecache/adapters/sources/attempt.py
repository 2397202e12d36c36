"""One blocking read at a time, off the event loop, with a deadline: a sensor's driver may hang for ever."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from edgecache.model.errors import TimedOut

T = TypeVar("T")


class Attempt:
    """Runs the reads of one source. A hung read keeps its thread, and the source gets no second one meanwhile."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._busy = False

    async def run(self, read: Callable[[], T], timeout: float) -> T:
        """What `read` returns or raises; TimedOut after `timeout` seconds, or when the read before still hangs."""
        if self._busy:
            raise TimedOut("an earlier read still hangs")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def settle(deliver: Callable[[], None]) -> None:
            self._busy = False
            if not done.done():
                deliver()

        def work() -> None:
            deliver: Callable[[], None]
            try:
                outcome = read()
            except Exception as error:  # whatever it is belongs to the one who waits
                deliver = _later(done.set_exception, error)
            else:
                deliver = _later(done.set_result, outcome)
            with suppress(RuntimeError):  # the loop closed while the read hung: nobody waits any more
                loop.call_soon_threadsafe(settle, deliver)

        # Not a pool: its threads would be joined, hung or not, when the agent exits.
        thread = threading.Thread(target=work, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            raise TimedOut("this device has no thread left to read with") from error
        self._busy = True  # cleared by settle, on this loop, so never before this line
        try:
            return await asyncio.wait_for(done, timeout)
        except TimeoutError as error:
            raise TimedOut(f"no answer within {timeout:g} s") from error


def _later(call: Callable[[T], None], argument: T) -> Callable[[], None]:
    return lambda: call(argument)
