"""Hours of the day: written, refused with their place, and how long they still last."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecache.config.hours import DAY, HoursOfDay, Period, left_of
from edgecache.config.kinds import BadValue
from edgecache.config.load import parse
from edgecache.model.errors import ConfigError

HOUR = 3600.0


def limits(text: str) -> tuple[Period, ...]:
    """`limits.quiet_hours` of a file."""
    data = f"version: 1\nname: x\nlimits:\n  quiet_hours: {text}\n"
    return parse(data.encode(), Path("/x/edgecache.yaml"), {}).config.limits.quiet_hours


@pytest.mark.parametrize("text", ["22:00-06:00", '"22:00-06:00"', "['22:00-06:00']", "\n    - 22:00 - 6:00"])
def test_one_or_a_list_of_them(text: str) -> None:
    assert limits(text) == (Period(22 * 60, 6 * 60),)


def test_several() -> None:
    assert limits("[22:00-06:00, 12:30-13:00]") == (Period(1320, 360), Period(750, 780))
    assert limits("") == ()


@pytest.mark.parametrize(
    "text", ["22-6", "24:00-06:00", "22:60-06:00", "22:00", "22:00-22:00", "nightly", "[12:00-13:00, x]"]
)
def test_anything_else_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ConfigError, match=r"edgecache\.yaml:4:"):
        limits(text)


@given(begin=st.integers(0, 1439), end=st.integers(0, 1439))
def test_what_is_written_is_read_back(begin: int, end: int) -> None:
    kind = HoursOfDay()
    if begin == end:
        with pytest.raises(BadValue):
            kind.parse(str(Period(begin, end)))
    else:
        assert kind.parse(kind.render(Period(begin, end))) == Period(begin, end)


@pytest.mark.parametrize(
    ("second", "left"),
    [
        (21.9 * HOUR, 0.0), (22 * HOUR, 8 * HOUR), (23 * HOUR, 7 * HOUR), (0.0, 6 * HOUR), (6 * HOUR, 0.0),
        (12 * HOUR, 0.0),
    ],
)
def test_past_midnight(second: float, left: float) -> None:
    assert left_of([Period(1320, 360)], second) == pytest.approx(left)


def test_hours_that_follow_each_other_are_one() -> None:
    assert left_of([Period(60, 120), Period(120, 180), Period(240, 300)], 1.5 * HOUR) == pytest.approx(1.5 * HOUR)


@given(
    periods=st.lists(st.tuples(st.integers(0, 1439), st.integers(0, 1439)), max_size=5),
    second=st.floats(0, DAY - 1),
)
def test_the_end_is_outside_of_all_or_a_day_away(periods: list[tuple[int, int]], second: float) -> None:
    made = [Period(begin, end) for begin, end in periods if begin != end]
    left = left_of(made, second)
    assert 0 <= left <= DAY
    if 0 < left < DAY - 1:
        assert left_of(made, (second + left + 1e-3) % DAY) == pytest.approx(0.0, abs=1e-2)
