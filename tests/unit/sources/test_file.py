"""What number a file holds."""

from __future__ import annotations

import re

import pytest

from edgecache.adapters.sources.file import SourceFailed, number_in
from edgecache.model.reading import Value

W1_GOOD = "7a 01 4b 46 7f ff 06 10 d2 : crc=d2 YES\n7a 01 4b 46 7f ff 06 10 d2 t=23625\n"
W1_BAD = W1_GOOD.replace("YES", "NO")


@pytest.mark.parametrize(
    ("content", "regex", "scale", "offset", "value"),
    [
        ("42\n", "", 1.0, 0.0, 42),
        ("-7", "", 1.0, 0.0, -7),
        ("21312\n", "", 0.001, 0.0, 21.312),
        ("21312\n", "", 0.001, -273.15, -251.838),
        ("1e3", "", 1.0, 0.0, 1000.0),
        ("0.1", "", 3.0, 0.0, 0.3),
        (W1_GOOD, r"t=(-?\d+)", 0.001, 0.0, 23.625),
        ("MemFree:  123 kB\n", r"MemFree:\s+(\d+)", 1.0, 0.0, 123),
    ],
)
def test_numbers(content: str, regex: str, scale: float, offset: float, value: Value) -> None:
    found = number_in(content, re.compile(regex) if regex else None, scale, offset)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("content", "regex", "why"),
    [
        ("", "", "an empty file"),
        ("nan", "", "not a number"),
        ("inf", "", "not a number"),
        ("1_000", "", "not a number"),
        ("1e999", "", "not a finite number"),
        ("no digits", r"(\d+)", "does not match"),
        ("x", r"x|(\d+)", "does not match"),
        ("a word", r"(\w+)", "not a number"),
        (W1_BAD, r"t=(-?\d+)", "checksum"),
    ],
)
def test_what_is_no_number_is_a_failure_that_says_why(content: str, regex: str, why: str) -> None:
    with pytest.raises(SourceFailed, match=why):
        number_in(content, re.compile(regex) if regex else None, 1.0, 0.0)
