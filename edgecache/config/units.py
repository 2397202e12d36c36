"""Amounts with their units: sizes, rates, durations, percentages; stored in base units."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from edgecache.config.kinds import BadValue, nearest

_AMOUNT = r"([0-9]{1,16}(?:\.[0-9]{1,9})?)"
_BYTE_UNITS = {
    "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12,
    "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40,
}  # fmt: skip
_BIT_UNITS = {"bit": 1, "kbit": 10**3, "Mbit": 10**6, "Gbit": 10**9}
_TIME_UNITS = {"ms": Decimal("0.001"), "s": Decimal(1), "min": Decimal(60), "h": Decimal(3600), "d": Decimal(86400)}


def _split(text: str) -> tuple[Decimal, str] | None:
    """Amount and unit of `512 MiB`."""
    found = re.fullmatch(_AMOUNT + r" ?([A-Za-z/%]*)", text, re.ASCII)
    return (Decimal(found[1]), found[2]) if found else None


def _shortest(value: int, units: dict[str, int]) -> str:
    """`value` in the largest of `units` that divides it."""
    best = max((unit for unit in units if value % units[unit] == 0), key=units.__getitem__)
    return f"{value // units[best]}{best}"


@dataclass(frozen=True)
class Bytes:
    """An amount of storage with its unit; stored as bytes."""

    title: ClassVar[str] = "size"
    least: int = 0
    most: int = 2**50

    def parse(self, text: str) -> int:
        """Bytes."""
        parts = _split(text)
        units = {**_BYTE_UNITS, "KB": 1000}
        if parts is None or (parts[1] not in units and not (parts[0] == 0 and not parts[1])):
            near = nearest(parts[1], _BYTE_UNITS) if parts and parts[1] else ""
            raise BadValue(f"{text!r} is not a size", near or "write a number and a unit, like 512MiB or 10GB")
        value = int(parts[0] * units.get(parts[1], 1))
        if not self.least <= value <= self.most:
            allowed = f"allowed: {self.render(self.least)} to {self.render(self.most)}"
            raise BadValue(f"{text!r} is out of range", allowed)
        return value

    def render(self, value: object) -> str:
        """With the largest unit that loses nothing."""
        assert isinstance(value, int)
        return _shortest(value, _BYTE_UNITS) if value else "0B"

    def json_schema(self) -> dict[str, object]:
        """A string with a unit."""
        pattern = "^[0-9]+(\\.[0-9]+)? ?(B|[kKMGT]B|[KMGT]iB)$"
        return {"type": "string", "pattern": pattern, "examples": ["512MiB", "10GB"]}


@dataclass(frozen=True)
class BytesPerSecond:
    """A rate with its unit, in bits or bytes; stored as bytes per second, 0 is unlimited."""

    title: ClassVar[str] = "rate"
    least: int = 1000
    """Slower than this, no chunk would ever meet its deadline."""
    most: int = 10**12

    _units: ClassVar[dict[str, Decimal]] = {
        **{f"{unit}/s": Decimal(size) for unit, size in {**_BYTE_UNITS, "KB": 1000}.items()},
        **{f"{unit}/s": Decimal(size) / 8 for unit, size in _BIT_UNITS.items()},
    }

    def parse(self, text: str) -> int:
        """Bytes per second; 0 for `none`, `unlimited` and 0."""
        if text in ("none", "unlimited"):
            return 0
        parts = _split(text)
        if parts is not None and parts[0] == 0:
            return 0
        if parts is None or parts[1] not in self._units:
            unit = parts[1].replace("bps", "bit/s").replace("Bps", "B/s") if parts else ""
            near = nearest(unit, self._units) if unit else ""
            shape = "write a number and a unit, like 50Mbit/s or 5MB/s, or none"
            raise BadValue(f"{text!r} is not a rate", near or shape)
        value = int(parts[0] * self._units[parts[1]])
        if not self.least <= value <= self.most:
            raise BadValue(f"{text!r} is out of range", f"allowed: {self.render(self.least)} or more, or none")
        return value

    def render(self, value: object) -> str:
        """In bits or in bytes, whichever is shorter; `none` for 0."""
        assert isinstance(value, int)
        if value == 0:
            return "none"
        return min(_shortest(value * 8, _BIT_UNITS), _shortest(value, _BYTE_UNITS), key=len) + "/s"

    def json_schema(self) -> dict[str, object]:
        """A string with a unit, `none`, or the number 0."""
        units = "(B|[kKMGT]B|[KMGT]iB|[kMG]?bit)/s"
        pattern = f"^([0-9]+(\\.[0-9]+)? ?{units}|none|unlimited)$"
        return {"anyOf": [{"type": "string", "pattern": pattern}, {"const": 0}], "examples": ["50Mbit/s", "none"]}


@dataclass(frozen=True)
class Seconds:
    """A span of time with its unit; stored as seconds."""

    title: ClassVar[str] = "duration"
    least: float
    most: float

    def parse(self, text: str) -> float:
        """Seconds."""
        parts = _split(text)
        if parts is None or parts[1] not in _TIME_UNITS:
            raise BadValue(f"{text!r} is not a duration", "write a number and a unit: 500ms, 30s, 5min, 1h or 1d")
        value = float(parts[0] * _TIME_UNITS[parts[1]])
        if not self.least <= value <= self.most:
            allowed = f"allowed: {self.render(self.least)} to {self.render(self.most)}"
            raise BadValue(f"{text!r} is out of range", allowed)
        return value

    def render(self, value: object) -> str:
        """With the largest unit that loses nothing."""
        assert isinstance(value, (int, float))
        exact = Decimal(str(value))
        for unit in reversed(_TIME_UNITS):
            if exact and exact % _TIME_UNITS[unit] == 0:
                return f"{exact / _TIME_UNITS[unit]:f}".split(".")[0] + unit
        return f"{exact:f}s"

    def json_schema(self) -> dict[str, object]:
        """A string with a unit."""
        return {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)? ?(ms|s|min|h|d)$", "examples": ["30s", "5min"]}


@dataclass(frozen=True)
class Percentage:
    """A percentage, written with its sign; stored as the number before it."""

    title: ClassVar[str] = "percentage"
    least: float = 0.0
    most: float = 100.0

    def parse(self, text: str) -> float:
        """The number before the sign."""
        parts = _split(text)
        if parts is None or parts[1] != "%":
            raise BadValue(f"{text!r} is not a percentage", "write it like 5%")
        value = float(parts[0])
        if not self.least <= value <= self.most:
            raise BadValue(f"{text!r} is out of range", f"allowed: {self.least:g}% to {self.most:g}%")
        return value

    def render(self, value: object) -> str:
        """With its sign."""
        assert isinstance(value, (int, float))
        return f"{Decimal(str(value)):f}".removesuffix(".0") + "%"

    def json_schema(self) -> dict[str, object]:
        """A string with the sign."""
        return {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)? ?%$", "examples": ["5%"]}
