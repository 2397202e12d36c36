"""Token buckets."""

from __future__ import annotations

import pytest

from edgecache.model.pacing import TokenBucket


def test_no_rate_is_no_limit() -> None:
    bucket = TokenBucket(0, 0)
    assert bucket.take(1e12, 5.0).wait(5.0) == 0.0


def test_what_was_saved_may_be_taken_and_once_overdrawn() -> None:
    bucket = TokenBucket(rate=100.0, burst=50.0, level=50.0, at=10.0)
    assert bucket.wait(10.0) == 0.0
    bucket = bucket.take(250.0, 10.0)
    assert bucket.wait(10.0) == pytest.approx(2.0)
    assert bucket.wait(11.0) == pytest.approx(1.0)
    assert bucket.wait(12.0) == 0.0


def test_no_more_than_the_burst_is_saved() -> None:
    bucket = TokenBucket(rate=100.0, burst=50.0).take(0.0, 1000.0)
    assert bucket.take(50.0, 1000.0).wait(1000.0) == 0.0
    assert bucket.take(51.5, 1000.0).wait(1000.0) > 0.0


def test_what_was_not_used_can_be_given_back() -> None:
    bucket = TokenBucket(rate=100.0, burst=50.0).take(200.0, 0.0)
    assert bucket.take(-200.0, 0.0).wait(0.0) == 0.0
    assert bucket.take(-1000.0, 0.0).take(51.5, 0.0).wait(0.0) > 0.0


def test_a_timer_for_the_wait_is_never_too_early() -> None:
    bucket, now = TokenBucket(rate=1e9 / 3, burst=1.0), 123456.789
    for _ in range(1000):
        bucket = bucket.take(262144.0, now)
        now += bucket.wait(now)
        assert bucket.wait(now) == 0.0


def test_time_that_runs_backwards_takes_nothing_away() -> None:
    bucket = TokenBucket(rate=100.0, burst=50.0, level=10.0, at=100.0)
    assert bucket.take(5.0, 90.0).wait(90.0) == 0.0
