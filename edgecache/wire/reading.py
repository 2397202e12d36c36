"""A reading as the value of an entry of its owner's replicated map; the key is `r/` and the series.

A map with integer keys: 1 value, 2 unit, 3 reason of a failure (instead of 1 and 2), 4 boot of the owner and 5 its
uptime in milliseconds at the measurement, 6 its wall time in milliseconds, only where trusted. Even keys not known are
ignored. How an age follows from these is told in `model/reading.py`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from edgecache.model.errors import LocalProtocolError, MalformedMessage
from edgecache.model.instant import Instant, WallTime
from edgecache.model.reading import (
    TEXT_BYTES_MAX,
    UNIT_CHARS_MAX,
    Failure,
    Observation,
    OwnerClock,
    Reading,
    Stamp,
    Value,
)
from edgecache.wire.forms import UNSHOWABLE, Wrong, text, uint
from edgecache.wire.limits import COUNTER_MAX, READING_BYTES_MAX
from edgecache.wire.strict_cbor import dumps, loads_map

PREFIX: Final = "r/"

VALUE, UNIT, FAILURE, BOOT, UPTIME, WALL = 1, 2, 3, 4, 5, 6
"""Keys of the value."""

WALL_FIRST = 1 << 28
"""Seconds since 1970 below which SenML takes a time for a relative one; a clock that says so is wrong anyway."""

_INTEGER_MAX = (1 << 63) - 1
_COUNTER = uint(COUNTER_MAX)
_UNIT = text(UNIT_CHARS_MAX, pattern=re.compile("[!-~]*"))
_TEXT = text(TEXT_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class Posted:
    """What an owner posted of one series: a value in a unit or the reason of a failure, and when."""

    series: str
    stamp: Stamp
    value: Value | None = None
    unit: str = ""
    failure: str = ""

    def observed(self, taken: Instant) -> Observation:
        """As a reading or a failure on our own clock, `taken` being what the owner's clock says of the stamp."""
        if self.value is None:
            return Failure(self.series, self.failure, taken, self.stamp.wall)
        return Reading(self.series, self.value, self.unit, taken, self.stamp.wall)

    def seen_with(self, clock: OwnerClock) -> Observation:
        """As a reading or a failure on our own clock."""
        return self.observed(clock.taken(self.stamp))


def entry_key(series: str) -> str:
    """The key of a series in its owner's map."""
    return PREFIX + series


def series_of(key: str) -> str | None:
    """The series of a key, None when it is the key of something else."""
    return key[len(PREFIX) :] if key.startswith(PREFIX) else None


def encode_value(observation: Observation, boot: int) -> bytes:
    """What the owner in its boot number `boot` puts under the key; LocalProtocolError for what cannot be sent."""
    fields: dict[int, object] = {BOOT: boot, UPTIME: max(0, round(observation.taken * 1000))}
    if observation.wall is not None and observation.wall >= WALL_FIRST:
        fields[WALL] = round(observation.wall * 1000)
    try:
        if isinstance(observation, Reading):
            fields[VALUE] = _check_value(observation.value)
            if observation.unit:
                fields[UNIT] = _UNIT.pack(observation.unit)
        else:
            fields[FAILURE] = _shown(observation.reason)
        _COUNTER.pack(boot)
    except Wrong as wrong:
        raise LocalProtocolError(f"reading {observation.series}{wrong}") from wrong
    return dumps(fields)


def decode_value(series: str, data: bytes) -> Posted:
    """What stands under the key of `series`; raises MalformedMessage."""
    what = f"reading {series}"
    if len(data) > READING_BYTES_MAX:
        raise MalformedMessage(f"{what}: {len(data)} bytes where {READING_BYTES_MAX} may be")
    fields = loads_map(data, what)
    for key in fields:
        if key % 2 and key not in (VALUE, FAILURE, UPTIME):
            raise MalformedMessage(f"{what}: critical key {key} is not known")
    try:
        stamp = Stamp(_COUNTER.parse(fields.get(BOOT)), _COUNTER.parse(fields.get(UPTIME)), _wall(fields.get(WALL)))
        if (VALUE in fields) == (FAILURE in fields):
            raise Wrong("needs either a value or the reason of a failure")
        if VALUE in fields:
            return Posted(series, stamp, _check_value(fields[VALUE]), _UNIT.parse(fields.get(UNIT, "")))
        return Posted(series, stamp, failure=_TEXT.parse(fields[FAILURE]))
    except Wrong as wrong:
        raise MalformedMessage(f"{what}{wrong}") from wrong


def _check_value(value: object) -> Value:
    """A value that every reader can take: a flag, a 64-bit integer, a finite number, or short printable text."""
    if type(value) is bool:
        return value
    if type(value) is int and -_INTEGER_MAX <= value <= _INTEGER_MAX:
        return value
    if type(value) is float and math.isfinite(value):
        return value
    if type(value) is str:
        return _TEXT.parse(value)
    raise Wrong("not a flag, a finite number or text")


def _wall(value: object) -> WallTime | None:
    return None if value is None else WallTime(_COUNTER.parse(value) / 1000)


def _shown(reason: str) -> str:
    """The beginning of a text from anywhere, as one line that may be sent and printed."""
    line = UNSHOWABLE.sub(" ", reason)
    return line.encode()[:TEXT_BYTES_MAX].decode(errors="ignore")
