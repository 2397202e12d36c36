"""Questions to the core that a report answers; and room in the store, for which blobs may have to go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from edgecache.core import vocabulary as v
from edgecache.daemon.engine import Engine
from edgecache.model.content import MAX_BLOB_BYTES
from edgecache.model.errors import StoreFull, TimedOut

R = TypeVar("R")

ANSWER_TIMEOUT = 10.0
"""Longest wait for the core: it asks the mesh for a second, or evicts blobs."""


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


@asynccontextmanager
async def room_for(engine: Engine, size: int) -> AsyncIterator[None]:
    """Room for a new blob while this lasts: evicts what may go; raises StoreFull when that is not enough."""
    if not 0 < size <= MAX_BLOB_BYTES:
        yield
        return
    request = engine.next_request()
    question = v.PutWanted(request, size)
    try:
        answer = await reported(engine, v.PutAdmitted, lambda report: report.request == request, question)
        if answer.refusal:
            raise StoreFull(answer.refusal, hint="unpin or remove blobs, or raise store.max_size")
        yield
    finally:
        engine.post(v.PutEnded(request))
