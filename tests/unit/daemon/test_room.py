"""Questions to the core, and room for what is put."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from edgecache.core import vocabulary as v
from edgecache.daemon.room import STEP_BYTES, room_for
from edgecache.model.errors import StoreFull
from tests.unit.daemon.stubs import StubEngine


def engine_with(room: int) -> StubEngine:
    """Its core has so many bytes to give."""
    engine = StubEngine()

    def answer(event: v.Event) -> v.Report | None:
        if isinstance(event, v.PutWanted):
            return v.PutAdmitted(event.request, "" if event.need <= room else "there is no room")
        return None

    engine.answer = answer
    return engine


def asked(engine: StubEngine) -> list[int]:
    return [event.need for event in engine.heard(v.PutWanted)]


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 10.0))


def test_room_is_given_back_whatever_happens() -> None:
    async def work() -> None:
        engine = engine_with(1000)
        with pytest.raises(ZeroDivisionError):
            async with room_for(engine, 1000):
                raise ZeroDivisionError
        (wanted,) = engine.heard(v.PutWanted)
        assert engine.events[-1] == v.PutEnded(wanted.request)
        assert not engine.listeners

    run(work)


def test_a_file_that_does_not_fit_is_refused_before_it_is_sent() -> None:
    async def work() -> None:
        engine = engine_with(999)
        with pytest.raises(StoreFull, match="no room"):
            async with room_for(engine, 1000):
                pytest.fail("it was let in")
        assert isinstance(engine.events[-1], v.PutEnded)

    run(work)


def test_a_stream_has_a_little_room_made_ahead_of_it() -> None:
    async def work() -> None:
        engine = engine_with(1 << 40)
        async with room_for(engine, 0) as room:
            for size in range(1, 4 * STEP_BYTES, 256 * 1024):
                await room.grow(size)
            await room.settle(3 * STEP_BYTES + 5)
        needs = asked(engine)
        assert len(needs) == 5
        assert needs[0] == STEP_BYTES + 1, "no more goes than has to"
        assert needs[-1] == 3 * STEP_BYTES + 5, "what is kept in the end is what it takes"

    run(work)


def test_a_stream_takes_what_room_there_is() -> None:
    async def work() -> None:
        engine = engine_with(STEP_BYTES // 2)
        async with room_for(engine, 0) as room:
            await room.grow(STEP_BYTES // 4)
            await room.grow(2 * STEP_BYTES)
        admitted = [need for need in asked(engine) if need <= STEP_BYTES // 2]
        assert admitted == [STEP_BYTES // 4], "and where there is none the store has the last word"

    run(work)
