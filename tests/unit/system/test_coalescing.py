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
    SAMPLE_SECONDS,
    SLACK_SECONDS,
    SLACK_WAITS,
    STRAINED_SECONDS,
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


class FakeQueue:
    """The kernel's run queue."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.asked = 0

    def wait(self) -> float:
        self.asked += 1
        return self.seconds


@pytest.fixture
def clock() -> FakeTime:
    return FakeTime()


@pytest.fixture
def queue() -> FakeQueue:
    return FakeQueue()


@pytest.fixture
def selector(clock: FakeTime, queue: FakeQueue) -> Iterator[CoalescingSelector]:
    """With one socket that is ready to be read."""
    ours, theirs = socket.socketpair()
    with CoalescingSelector(queue, monotonic=clock.monotonic, sleep=clock.sleep) as selector, ours, theirs:
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


def measured(selector: CoalescingSelector, clock: FakeTime, queue: FakeQueue, wait: float) -> float:
    """The slack after half a second in which each turn on the processor was waited for so long."""
    selector.slack()
    clock.now += SAMPLE_SECONDS
    queue.seconds = wait
    return selector.slack()


def test_where_the_processor_is_short_rests_are_in_proportion_to_the_wait_for_it(
    selector: CoalescingSelector, clock: FakeTime, queue: FakeQueue
) -> None:
    wait = 4 * REST_MAX_SECONDS / SLACK_WAITS
    assert measured(selector, clock, queue, wait) == pytest.approx(4 * REST_MAX_SECONDS)
    selector.piece(ENOUGH_BYTES)
    assert len(selector.select(None)) == 1
    assert clock.slept == [pytest.approx(4 * REST_SECONDS * 0.75)], "enough is more, too"


@pytest.mark.parametrize(
    ("wait", "slack"),
    [(0.0, 0.0), (REST_MAX_SECONDS / SLACK_WAITS, 0.0), (10.0, SLACK_SECONDS)],
    ids=["nobody-else", "as-on-a-busy-machine", "hopeless"],
)
def test_a_short_wait_changes_nothing_and_a_long_one_only_so_much(
    wait: float, slack: float, selector: CoalescingSelector, clock: FakeTime, queue: FakeQueue
) -> None:
    assert measured(selector, clock, queue, wait) == slack
    for _ in range(40):
        selector.piece(1)
    selector.select(None)
    assert clock.slept == [pytest.approx(max(slack, REST_MAX_SECONDS), rel=0.01)]


def test_a_timer_is_on_time_where_the_processor_is_short(
    selector: CoalescingSelector, clock: FakeTime, queue: FakeQueue
) -> None:
    measured(selector, clock, queue, 10.0)
    for _ in range(5):
        selector.piece(1)
    assert selector.select(0.01) == []
    assert clock.slept == [0.01]


def test_what_the_wait_was_before_a_silence_does_not_count(
    selector: CoalescingSelector, clock: FakeTime, queue: FakeQueue
) -> None:
    queue.seconds = 1.0
    assert selector.slack() == 0.0, "our own start"
    clock.now += SAMPLE_SECONDS
    assert selector.slack() == SLACK_SECONDS
    clock.now += 2 * SAMPLE_SECONDS
    assert selector.slack() == 0.0


def test_the_kernel_is_asked_now_and_then_and_only_while_chunks_come(
    selector: CoalescingSelector, clock: FakeTime, queue: FakeQueue
) -> None:
    for _ in range(1000):
        selector.select(0)
        clock.now += 0.01
    assert queue.asked == 0
    for _ in range(1000):
        selector.piece(ENOUGH_BYTES)
        selector.select(0)
        clock.now += 0.01
    assert 15 <= queue.asked <= 21


def test_an_event_loop_runs_with_it() -> None:
    selector = CoalescingSelector(FakeQueue())

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


def test_asking_whether_it_is_strained_spoils_no_sample(
    selector: CoalescingSelector, clock: FakeTime, queue: FakeQueue
) -> None:
    """Or a node that sends something now and then would take the wait of a few turns for a shortage."""
    assert measured(selector, clock, queue, 10.0) == SLACK_SECONDS
    assert selector.strained()
    asked = queue.asked
    for _ in range(8):
        clock.now += SAMPLE_SECONDS
        selector.strained()
    assert queue.asked == asked
    assert not selector.strained(), "that was long ago"
    assert selector.slack() == 0.0, "after a silence"
    assert measured(selector, clock, queue, 0.9 * STRAINED_SECONDS / SLACK_WAITS) > 0
    assert not selector.strained(), "a little"
    assert measured(selector, clock, queue, 1.1 * STRAINED_SECONDS / SLACK_WAITS) > 0
    assert selector.strained()
