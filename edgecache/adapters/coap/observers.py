"""Who watches what over CoAP/UDP, and when they are told: bounded, coalesced, and alive."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Hashable
from functools import partial
from typing import Any

OBSERVERS_MAX = 64
OBSERVERS_PER_SOURCE_MAX = 8

NOTIFY_SECONDS = 1.0
"""Between two notifications of one resource. aiocoap queues them for an observer that does not acknowledge, for up to
93 s (RFC 7252, MAX_TRANSMIT_WAIT): this bounds that queue."""

REFRESH_SECONDS = 45.0
"""Between notifications when nothing changes: they must come before Max-Age is over (RFC 7641 section 3.3.1), and an
observer that is gone is found by not acknowledging one."""


class Observers:
    """Observations by the key of what they watch."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._observers: dict[Hashable, dict[Any, str]] = {}
        self._sources: Counter[str] = Counter()
        self._due: dict[Hashable, asyncio.TimerHandle] = {}
        self._told: dict[Hashable, float] = {}
        self._refresh: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return self._sources.total()

    def add(self, key: Hashable, observation: Any, source: str) -> bool:
        """Accept an observation, or refuse it: the client then has a plain response."""
        if len(self) >= OBSERVERS_MAX or self._sources[source] >= OBSERVERS_PER_SOURCE_MAX:
            # aiocoap calls the callback of `accept` in any case.
            observation.accept(lambda: None)
            observation.deregister()
            return False
        self._observers.setdefault(key, {})[observation] = source
        self._sources[source] += 1
        observation.accept(partial(self._drop, key, observation))
        if self._refresh is None:
            self._refresh = self._loop.call_later(REFRESH_SECONDS, self._refreshed)
        return True

    def _drop(self, key: Hashable, observation: Any) -> None:
        watching = self._observers.get(key, {})
        source = watching.pop(observation, None)
        if source is not None:
            self._sources[source] -= 1
            self._sources += Counter()
        if not watching:
            self._observers.pop(key, None)
            self._told.pop(key, None)
            if (due := self._due.pop(key, None)) is not None:
                due.cancel()

    def changed(self, key: Hashable) -> None:
        """Tell who watches `key`, now or when it is not too soon after the last time."""
        if key not in self._observers or key in self._due:
            return
        wait = self._told.get(key, 0.0) + NOTIFY_SECONDS - self._loop.time()
        if wait <= 0:
            self._tell(key)
        else:
            self._due[key] = self._loop.call_later(wait, self._tell, key)

    def _tell(self, key: Hashable) -> None:
        self._due.pop(key, None)
        self._told[key] = self._loop.time()
        for observation in list(self._observers.get(key, ())):
            observation.trigger()

    def _refreshed(self) -> None:
        for key in list(self._observers):
            self.changed(key)
        self._refresh = self._loop.call_later(REFRESH_SECONDS, self._refreshed) if self._observers else None

    def stop(self) -> None:
        """Tell nobody any more."""
        for timer in (*self._due.values(), *([self._refresh] if self._refresh else [])):
            timer.cancel()
        self._due.clear()
        self._refresh = None
