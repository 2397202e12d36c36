"""What the agent does now and then, and what it makes of what the last run left."""

from __future__ import annotations

import asyncio

import pytest

from edgecache.core import vocabulary as v
from edgecache.daemon.upkeep import notice_sleep, peers_from_json, peers_to_json, watch_processor, watch_space
from edgecache.model.errors import StoreError
from edgecache.model.peer import Address, PeerInfo
from tests.unit.daemon.stubs import StubClock, StubEngine, node

PEERS = (
    PeerInfo(node(1), (Address("10.0.0.1", 5684), Address("fe80::1%eth0", 5684)), "home"),
    PeerInfo(node(2), (), "shop"),
)


def test_remembered_peers_come_back() -> None:
    assert peers_from_json(peers_to_json(PEERS)) == PEERS


@pytest.mark.parametrize(
    "data", [None, b"", b"not json", b"\xff", b"5", b"null", b'{"node": 1}', b"[1, null, [], {}]", b"[" * 100_000]
)
def test_what_cannot_be_read_is_left_out(data: bytes | None) -> None:
    assert peers_from_json(data) == ()


def test_one_bad_row_does_not_spoil_the_others() -> None:
    rows = peers_to_json(PEERS).replace(b"5684]]", b'"x"]]', 1)
    assert [peer.node for peer in peers_from_json(rows)] == [node(2)]


def test_a_sleep_of_the_device_is_noticed_once() -> None:
    async def work() -> None:
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        times: list[float] = []

        class Awake(StubClock):
            slept = 0.0

            def now(self) -> float:
                return loop.time() + self.slept

        def wake() -> None:
            times.append(loop.time())
            woken.set()

        clock = Awake()
        watching = asyncio.ensure_future(notice_sleep(clock, wake, interval=0.001))
        for _ in range(5):
            await asyncio.wait([watching], timeout=0.002)
        assert not times
        clock.slept = 3600.0
        await asyncio.wait_for(woken.wait(), 5.0)
        for _ in range(5):
            await asyncio.wait([watching], timeout=0.002)
        assert len(times) == 1
        watching.cancel()

    asyncio.run(work())


def test_the_core_hears_once_that_the_processor_is_short_and_once_that_it_is_not() -> None:
    async def work() -> None:
        engine = StubEngine()
        short = [False, True, True, False, False, True, *[False] * 10, True]
        told: list[int] = []
        engine.answer = lambda event: told.append(left - len(short))
        left = len(short)
        with pytest.raises(IndexError):
            await watch_processor(engine, lambda: short.pop(0), interval=0.0)
        assert engine.events == [v.StrainChanged(True), v.StrainChanged(False), v.StrainChanged(True)]
        assert told == [2, 9, 17], "at once when it begins, after three looks when it is over"

    asyncio.run(work())


def test_a_disk_that_does_not_answer_is_asked_again() -> None:
    async def work() -> None:
        engine = StubEngine()

        class Disk:
            def usage(self) -> None:
                raise StoreError("no answer")

        engine.store = Disk()  # type: ignore[assignment]
        watching = asyncio.ensure_future(watch_space(engine))
        await engine.settle()
        assert not watching.done()
        assert engine.warned == ["space"]
        assert not engine.heard(v.StoreSpace)
        watching.cancel()

    asyncio.run(work())
