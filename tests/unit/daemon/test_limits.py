"""Quiet hours by a clock, classes that survive a restart, and requests spread over time."""

from __future__ import annotations

import asyncio
from datetime import datetime
from itertools import pairwise
from typing import cast

import pytest

from edgecache.config.hours import Period
from edgecache.core import vocabulary as v
from edgecache.daemon.pacing import Pace
from edgecache.daemon.priorities import KEPT_MAX, Priorities, priority_of
from edgecache.daemon.quiet import QuietHours
from edgecache.model.content import LARGE_CHUNK_BYTES
from edgecache.model.errors import UsageError
from edgecache.model.ids import blob_id_from_root, node_id_from_bytes
from edgecache.model.instant import Instant, WallTime
from edgecache.model.pacing import wire_bytes
from edgecache.model.priority import Priority
from edgecache.ports import Clock
from tests.unit.daemon.stubs import StubEngine

PEER, OTHER = (node_id_from_bytes(bytes([number] * 16)) for number in (1, 2))
ONE, TWO = blob_id_from_root(b"one"), blob_id_from_root(b"two")


class FakeClock:
    """Time as a test says it is."""

    def __init__(self, hour: int, minute: int) -> None:
        self.instant = 500.0
        self.begin = datetime(2026, 3, 3, hour, minute).timestamp() - self.instant
        self.trusted = True

    def now(self) -> Instant:
        return self.instant

    def wall(self) -> WallTime:
        return WallTime(self.begin + self.instant)

    def wall_trusted(self) -> bool:
        return self.trusted


def quiet_at(hour: int, minute: int) -> tuple[QuietHours, FakeClock, list[v.Event]]:
    engine, clock = StubEngine(), FakeClock(hour, minute)
    engine.clock = cast(Clock, clock)  # type: ignore[assignment]
    return QuietHours(engine, (Period(22 * 60, 6 * 60),)), clock, engine.events


def test_quiet_hours_begin_and_end_by_the_local_clock() -> None:
    async def work() -> None:
        quiet, clock, posted = quiet_at(21, 59)
        quiet.look()
        assert posted == []
        clock.instant += 61.0
        quiet.look()
        quiet.look()
        assert posted == [v.QuietChanged(pytest.approx(clock.instant + 8 * 3600 - 1))]  # type: ignore[arg-type]
        assert quiet.view()["now"]
        clock.instant += 8 * 3600
        quiet.look()
        assert posted[1:] == [v.QuietChanged(None)]

    asyncio.run(work())


def test_without_a_trusted_clock_there_are_none() -> None:
    async def work() -> None:
        quiet, clock, posted = quiet_at(23, 0)
        clock.trusted = False
        quiet.look()
        assert posted == []
        assert quiet.view() == {"hours": ["22:00-06:00"], "now": False, "ends_in": None, "clock_trusted": False}
        clock.trusted = True
        quiet.look()
        assert len(posted) == 1

    asyncio.run(work())


def test_a_clock_that_is_set_moves_the_end() -> None:
    async def work() -> None:
        quiet, clock, posted = quiet_at(23, 0)
        quiet.look()
        clock.begin += 3600.0
        quiet.look()
        assert [event.until for event in posted if isinstance(event, v.QuietChanged)] == [
            pytest.approx(clock.instant + 7 * 3600), pytest.approx(clock.instant + 6 * 3600)
        ]  # fmt: skip

    asyncio.run(work())


def test_classes_are_kept() -> None:
    changes: list[bytes] = []
    first = Priorities(None, lambda: changes.append(b""))
    first.set(ONE, Priority.NORMAL)
    assert not changes, "normal is what is not kept"
    first.set(ONE, Priority.PREFETCH)
    first.set(TWO, Priority.OTA)
    first.set(TWO, Priority.PREFETCH)
    again = Priorities(first.data())
    assert (again.of(ONE), again.of(TWO)) == (Priority.PREFETCH, Priority.OTA)
    again.forget(TWO)
    assert Priorities(again.data()).of(TWO) is Priority.NORMAL
    assert len(changes) == 3


@pytest.mark.parametrize("kept", [b"", b"[]", b"{", b'{"x": "ota"}', b'"' + b"[" * 5000, b"null"])
def test_what_cannot_be_read_is_left_out(kept: bytes) -> None:
    assert Priorities(kept).of(ONE) is Priority.NORMAL


def test_classes_that_are_kept_are_bounded() -> None:
    kept = Priorities()
    for number in range(KEPT_MAX + 5):
        kept.set(blob_id_from_root(b"%d" % number), Priority.OTA)
    assert kept.data().count(b"ota") == KEPT_MAX


def test_a_class_that_is_none_is_refused_with_those_that_are() -> None:
    assert priority_of("ota") is Priority.OTA
    with pytest.raises(UsageError, match="urgent") as failure:
        priority_of("urgent")
    assert "prefetch" in failure.value.hint


def test_requests_are_spread_at_the_limit_over_all_peers() -> None:
    now = 100.0
    pace = Pace(lambda: now, 100_000)
    waits = [pace._reserve(peer, 16384) for peer in (PEER, OTHER, PEER, OTHER)]
    gaps = [after - before for before, after in pairwise(waits)]
    assert gaps == pytest.approx([wire_bytes(16384) / 100_000] * 3)
    assert waits[0] <= 0


def test_a_peer_that_is_paced_waits_alone() -> None:
    now = 100.0
    pace = Pace(lambda: now)
    assert pace.unit(PEER) == LARGE_CHUNK_BYTES
    pace.set(v.PaceLink(PEER, 1e6, 50_000.0, 16384))
    assert pace.unit(PEER) == 16384
    assert pace._reserve(PEER, 16384) <= 0
    assert pace._reserve(PEER, 16384) > 0.3
    assert pace._reserve(OTHER, 16384) <= 0
    pace.forget(PEER)
    assert pace._reserve(PEER, 16384) <= 0
