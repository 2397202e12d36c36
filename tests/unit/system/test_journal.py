"""One line per cause in half a minute; one event, one line."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator

import pytest

from edgecache.adapters.system.journal import RateLimited, RateLimiter, configure_logging


class Hand:
    """A clock moved by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_cause_is_admitted_once_per_interval_and_counts_what_it_dropped() -> None:
    hand = Hand()
    limiter = RateLimiter(hand, interval=30.0)
    assert [limiter.admit("a") for _ in range(5)] == [0, None, None, None, None]
    assert limiter.admit("b") == 0
    hand.at = 29.9
    assert limiter.admit("a") is None
    hand.at = 30.0
    assert limiter.admit("a") == 5


def test_made_up_causes_share_one_line_and_cost_bounded_memory() -> None:
    hand = Hand()
    limiter = RateLimiter(hand, causes_max=10)
    admitted = [limiter.admit(f"peer {i}") for i in range(1000)]
    assert sum(a is not None for a in admitted) == 11
    hand.at = 31.0
    assert limiter.admit("peer 999") == 0


def test_the_line_says_how_many_were_dropped(restored: None) -> None:
    stream, hand = io.StringIO(), Hand()
    configure_logging("info", stream)
    limited = RateLimited(logging.getLogger("edgecache.test"), RateLimiter(hand))
    limited.warning("x", "bad bytes from 10.0.0.1")
    limited.warning("x", "bad bytes from 10.0.0.2")
    hand.at = 40.0
    limited.warning("x", "bad bytes from 10.0.0.3")
    lines = stream.getvalue().splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("bad bytes from 10.0.0.3 (1 more of this kind before)")


def test_what_a_peer_named_cannot_forge_lines_or_colours(restored: None) -> None:
    stream = io.StringIO()
    configure_logging("info", stream)
    logging.getLogger("edgecache.test").info("peer %s", "evil\n12:00:00 ERROR fake\x1b[31m")
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_libraries_are_quiet_unless_all_is_wanted(restored: None) -> None:
    stream = io.StringIO()
    configure_logging("info", stream)
    logging.getLogger("zeroconf").warning("noise")
    for _ in range(3):
        logging.getLogger("zeroconf").error("trouble with %s", "socket")
    assert stream.getvalue().count("\n") == 1
    configure_logging("debug", stream)
    logging.getLogger("zeroconf").debug("all")
    assert stream.getvalue().count("\n") == 2
