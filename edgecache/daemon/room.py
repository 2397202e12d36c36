"""Questions to the core that a report answers; and room in the store, for which blobs may have to go."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from edgecache.core import vocabulary as v
from edgecache.daemon.engine import Engine
from edgecache.model.content import MAX_BLOB_BYTES
from edgecache.model.errors import EdgecacheError, StoreFull, TimedOut
from edgecache.model.ids import BlobId
from edgecache.ports import StoredBlob
from edgecache.wire.manifest import info_of

log = logging.getLogger(__name__)

R = TypeVar("R")

ANSWER_TIMEOUT = 10.0
"""Longest wait for the core: it asks the mesh for a second, or evicts blobs."""

STEP_BYTES = 4 * 1024 * 1024
"""Room asked for ahead while nobody knows how large a blob will be. More: fewer questions; less: fewer blobs evicted
that could have stayed."""


async def reported(engine: Engine, kind: type[R], ours: Callable[[R], bool], question: v.Event) -> R:
    """Ask the core, and wait for the report that answers; raises TimedOut."""
    answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()

    def heard(report: v.Report) -> None:
        if isinstance(report, kind) and ours(report) and not answer.done():
            answer.set_result(report)

    stop = engine.listen(heard)
    try:
        engine.post(question)
        async with asyncio.timeout(ANSWER_TIMEOUT):
            return await answer
    except TimeoutError as error:
        raise TimedOut("the agent did not come to an answer", hint="try again; see its log") from error
    finally:
        stop()


class Room:
    """What is kept free in the store for one new blob."""

    def __init__(self, engine: Engine, request: v.RequestId) -> None:
        self._engine, self._request = engine, request
        self._kept = 0

    async def ask(self, size: int) -> None:
        """Keep exactly so many bytes; raises StoreFull when evicting all that may go is not enough."""
        question = v.PutWanted(self._request, size)
        answer = await reported(
            self._engine, v.PutAdmitted, lambda report: report.request == self._request, question
        )
        if answer.refusal:
            raise StoreFull(answer.refusal, hint="unpin or remove blobs, or raise store.max_size")
        self._kept = size

    async def grow(self, size: int) -> None:
        """A blob of unknown size has come to this: have room made ahead, as far as there is any. Whether it fits in
        the end, the store knows best."""
        if size <= self._kept:
            return
        self._kept = 0
        for ahead in (size + STEP_BYTES, size):
            with suppress(StoreFull, TimedOut):
                return await self.ask(min(ahead, MAX_BLOB_BYTES))


    async def settle(self, size: int) -> None:
        """The blob has exactly this size: what is kept is to be the same, so that it does not count twice."""
        if size and size != self._kept:
            with suppress(StoreFull, TimedOut):
                await self.ask(size)


@asynccontextmanager
async def room_for(engine: Engine, size: int) -> AsyncIterator[Room]:
    """Room for a new blob while this lasts: evicts what may go; raises StoreFull when that is not enough. 0 is for a
    blob whose size is not known yet."""
    request = engine.next_request()
    room = Room(engine, request)
    try:
        if 0 < size <= MAX_BLOB_BYTES:
            await room.ask(size)
        yield room
    finally:
        engine.post(v.PutEnded(request))


async def begun(engine: Engine, blob: BlobId, root: bytes) -> StoredBlob:
    """Hold a blob from now on; when the store is full, others may have to go first."""
    store = engine.store

    def begin() -> StoredBlob:
        stored = store.begin(blob, root, pin=False)
        store.set_wanted(blob, True)
        return stored

    try:
        return await engine.in_store(begin)
    except StoreFull:
        async with room_for(engine, info_of(root).size):
            return await engine.in_store(begin)


async def wished_no_more(engine: Engine, blob: BlobId) -> None:
    """A fetch of it does not go on after a restart."""
    try:
        if engine.store.blob(blob).wanted:
            await engine.in_store(engine.store.set_wanted, blob, False)
    except EdgecacheError as error:
        log.debug("set_wanted %s: %s", blob, error)
