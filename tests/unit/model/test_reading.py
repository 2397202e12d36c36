"""Series names, and how old a reading is when no clock can be trusted."""

from __future__ import annotations

import pytest

from edgecache.model.errors import UsageError
from edgecache.model.instant import WallTime
from edgecache.model.reading import CLOCK_WINDOW, Failure, OwnerClock, Reading, Stamp, parse_series


@pytest.mark.parametrize("name", ["t", "0", "cpu.temp", "w1/28-0316a2:temp", "A_b", "a" * 64, "a/.b", "a/..."])
def test_series_names(name: str) -> None:
    assert parse_series(name) == name


@pytest.mark.parametrize(
    "name", ["", "a" * 65, "-a", "/a", "a/", "a//b", "a b", "a+b", "a#", "temp\n", "é", "a/./b", "a/..", ".", "a?b"]
)
def test_other_names(name: str) -> None:
    with pytest.raises(UsageError):
        parse_series(name)


def test_age_is_never_negative_and_takes_the_larger_of_two_clocks() -> None:
    reading = Reading("t", 1, "", taken=100.0, wall=WallTime(5000.0))
    assert reading.age(90.0) == 0.0
    assert reading.age(130.0) == 30.0
    assert reading.age(130.0, WallTime(5100.0)) == 100.0
    assert reading.age(130.0, WallTime(5010.0)) == 30.0
    assert Failure("t", "gone", 100.0).age(130.0, WallTime(9999.0)) == 30.0
    assert str(Failure("t", "gone", 100.0)) == "source failed: gone"


def test_a_fresh_entry_tells_the_age_of_the_stale_ones() -> None:
    stale, fresh = Stamp(1, 10_000), Stamp(1, 500_000)
    clock = OwnerClock.first(stale, now=7.0)
    assert clock.taken(stale) == 7.0
    clock = clock.heard(fresh, now=8.0)
    assert clock.taken(fresh) == 8.0
    assert clock.taken(stale) == 8.0 - 490.0
    assert clock.heard(stale, now=9.0).taken(fresh) == 8.0


def test_a_new_boot_starts_a_new_clock() -> None:
    before = Stamp(1, 900_000)
    clock = OwnerClock.first(before, now=10.0)
    restarted = clock.heard(Stamp(2, 1_000), now=20.0)
    assert restarted.taken(Stamp(2, 1_000)) == 20.0
    assert restarted.taken(before) == 20.0, "from before the restart: at least as old as the news of it"
    assert restarted.heard(before, now=30.0) == restarted


def test_an_owner_that_slept_is_understood_after_two_windows() -> None:
    clock = OwnerClock.first(Stamp(1, 0), now=0.0)
    now, uptime = 0.0, 0.0
    for _ in range(int(3 * CLOCK_WINDOW / 10)):
        now, uptime = now + 10.0, uptime + 10.0
        clock = clock.heard(Stamp(1, round(uptime * 1000)), now + 3600.0)
    assert clock.taken(Stamp(1, round(uptime * 1000))) == pytest.approx(now + 3600.0)


def test_drift_stays_within_one_window() -> None:
    """An owner whose clock is slow by 50 ppm for ten days."""
    clock = OwnerClock.first(Stamp(1, 0), now=0.0)
    for step in range(1, 8640):
        now = step * 100.0
        stamp = Stamp(1, round(now * (1 - 50e-6) * 1000))
        clock = clock.heard(stamp, now)
        assert now - clock.taken(stamp) < 0.1
