"""Rests of the event loop while chunks trickle in."""

from __future__ import annotations

import asyncio
import selectors
import socket
from collections.abc import Iterator

import pytest

from edgecache.adapters.system.coalescing import (
    ENOUGH_BYTES,
    REST_MAX_SECONDS,
    REST_SECONDS,
    CoalescingSelector,
    event_loop,
)


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@pytest.fixture
def selector(clock: FakeTime) -> Iterator[CoalescingSelector]:
    """With one socket that is ready to be read."""
    ours, theirs = socket.socketpair()
    with CoalescingSelector(monotonic=clock.monotonic, sleep=clock.sleep) as selector, ours, theirs:
        selector.register(ours, selectors.EVENT_READ)
        theirs.send(b"x")
        yield selector


def test_without_chunks_on_their_way_nothing_rests(selector: CoalescingSelector, clock: FakeTime) -> None:
    assert len(selector.select(None)) == 1
    assert clock.slept == []


def test_after_a_piece_sockets_are_left_alone_for_a_moment(selector: CoalescingSelector, clock: FakeTime) -> None:
    selector.piece(ENOUGH_BYTES // 8)
    selector.piece(ENOUGH_BYTES // 8)
    assert len(selector.select(None)) == 1
    assert clock.slept == [pytest.approx(2 * REST_SECONDS * 0.75)]
    assert len(selector.select(None)) == 1
    assert len(clock.slept) == 1, "one rest for what came"


@pytest.mark.parametrize("size", [ENOUGH_BYTES, 10 * ENOUGH_BYTES])
def test_after_enough_there_is_no_rest(size: int, selector: CoalescingSelector, clock: FakeTime) -> None:
    selector.piece(size)
    assert len(selector.select(1.0)) == 1
    assert clock.slept == []


def test_a_crowd_of_connections_is_not_left_alone_for_long(selector: CoalescingSelector, clock: FakeTime) -> None:
    for _ in range(40):
        selector.piece(1)
    assert len(selector.select(None)) == 1
    assert clock.slept == [pytest.approx(REST_MAX_SECONDS, rel=0.01)]


def test_a_timer_that_is_due_during_the_rest_is_on_time(selector: CoalescingSelector, clock: FakeTime) -> None:
    began = clock.now
    selector.piece(1)
    assert selector.select(REST_SECONDS / 2) == []
    assert clock.now == pytest.approx(began + REST_SECONDS / 2)
    assert selector.select(0) == [], "its callbacks are run, and the rest goes on"
    assert selector.select(-1) == []
    assert len(selector.select(1.0)) == 1
    assert clock.now == pytest.approx(began + REST_SECONDS, abs=1e-6)
    assert min(clock.slept) > 0, "sleeping for no time takes time"


def test_a_rest_that_work_has_filled_is_over(selector: CoalescingSelector, clock: FakeTime) -> None:
    selector.piece(1)
    assert selector.select(0) == []
    clock.now += REST_SECONDS
    assert len(selector.select(0)) == 1
    assert clock.slept == []


def test_an_event_loop_runs_with_it() -> None:
    selector = CoalescingSelector()

    async def body() -> list[str]:
        loop, seen = asyncio.get_running_loop(), list[str]()
        selector.piece(1)
        loop.call_later(REST_SECONDS / 2, seen.append, "timer")
        reader, writer = await asyncio.open_connection(sock=pair[0])
        pair[1].send(b"hello\n")
        selector.piece(1)
        seen.append((await reader.readline()).decode().strip())
        seen.append(await asyncio.to_thread(lambda: "thread"))
        writer.close()
        return seen

    pair = socket.socketpair()
    with asyncio.Runner(loop_factory=lambda: event_loop(selector)) as runner, pair[1]:
        assert sorted(runner.run(body())) == ["hello", "thread", "timer"]
