"""What the parts of the daemon need of the driver: a way to the core, to the store's threads, and to tasks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from enum import Enum
from typing import Any, Protocol, TypeVar

from edgecache.core import vocabulary as v
from edgecache.core.node import Node
from edgecache.model.errors import NotFound
from edgecache.model.ids import BlobId
from edgecache.model.priority import Priority
from edgecache.ports import ChunkStore, Clock, Links, StoredBlob

T = TypeVar("T")


class Lane(Enum):
    """Calls of the store that may have to wait for each other: a sync must not hold up those who read."""

    CHANGE = "change"
    READ = "read"
    DIGEST = "digest"
    """Over all bytes of a blob: may take minutes."""
    WHOLE = "whole"
    """Perhaps over all bytes of a blob: may take minutes."""


Listener = Callable[[v.Report], None]


class Engine(Protocol):
    """The driver, as its parts see it."""

    node: Node
    store: ChunkStore
    clock: Clock
    keeping: asyncio.Lock
    """Held while a user's wish to keep a blob becomes durable, so that an eviction decided before does not undo it."""

    @property
    def links(self) -> Links:
        """The transport."""
        ...

    def post(self, event: v.Event) -> None:
        """Have the core handle an event, after those that are being handled."""
        ...

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every report from now on; returns how to stop that."""
        ...

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that is cancelled when the driver stops; a crash in it is logged, not lost."""
        ...

    async def in_store(self, work: Callable[..., T], *arguments: Any, lane: Lane = Lane.CHANGE) -> T:
        """Run a call of the store in a worker thread."""
        ...

    def next_request(self) -> v.RequestId:
        """A number for something asked of us, by a peer or a user."""
        ...

    def warn(self, cause: str, text: str) -> None:
        """A log line, unless the cause was logged lately."""
        ...


def held(stored: StoredBlob, priority: Priority = Priority.NORMAL) -> v.BlobHeld:
    """What the core hears of a blob in the store."""
    return v.BlobHeld(
        stored.info, stored.have, len(stored.pages), stored.pinned, stored.complete, stored.wanted, priority
    )


def restate(engine: Engine, blob: BlobId) -> None:
    """The store holds less than it did: the disk gave back something else than was written, or a sync failed."""
    with contextlib.suppress(NotFound):
        engine.post(held(engine.store.blob(blob)))


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Wait for a call in a thread even when cancelled: nobody may touch what it works on meanwhile."""
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
