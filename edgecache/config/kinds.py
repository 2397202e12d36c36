"""Kinds of scalar settings: each parses the text a person writes, writes it back, and describes itself to an editor.

Every kind starts from the text in the file, never from what YAML 1.1 makes of it: `on`, `0123` and `12:30` stay what
was written, and a kind that cannot use them says so. Amounts with units are in units.py, addresses in endpoints.py.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

TEXT_MAX = 4096
"""Bytes of any one value: longer than every path, shorter than a mistake."""

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
"""Control characters, and what has no place in UTF-8 text."""


class BadValue(Exception):
    """The text is not a value of its kind; `hint` says what would be."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Kind(Protocol):
    """What a scalar setting accepts. `parse` and `render` are inverses on every value that `parse` returns."""

    title: ClassVar[str]

    def parse(self, text: str) -> object:
        """The typed value; raises BadValue."""
        ...

    def render(self, value: object) -> str | int | float | bool:
        """What to write in YAML or JSON so that `parse` gives the value back."""
        ...

    def json_schema(self) -> dict[str, object]:
        """JSON Schema 2020-12 of what may be written."""
        ...


@dataclass(frozen=True)
class Text:
    """Any text within a length; with a pattern, only what matches it."""

    title: ClassVar[str] = "text"
    pattern: str = ""
    means: str = ""
    """What the pattern allows, in words."""
    most: int = TEXT_MAX
    """Bytes of UTF-8."""

    def parse(self, text: str) -> str:
        """The text itself."""
        if _UNPRINTABLE.search(text):
            raise BadValue("has a control character in it")
        if (size := len(text.encode())) > self.most:
            raise BadValue(f"is {size} bytes long, {self.most} are allowed")
        if self.pattern and not re.fullmatch(self.pattern, text, re.ASCII):
            raise BadValue(f"{text!r} is not allowed here", f"allowed: {self.means}")
        return text

    def render(self, value: object) -> str:
        """The text itself."""
        return str(value)

    def json_schema(self) -> dict[str, object]:
        """A string, with the pattern if there is one."""
        schema: dict[str, object] = {"type": "string", "maxLength": self.most}
        if self.pattern:
            schema["pattern"] = f"^(?:{self.pattern})$"
        return schema


@dataclass(frozen=True)
class SecretText(Text):
    """Text that is never shown."""

    title: ClassVar[str] = "secret"


@dataclass(frozen=True)
class FilePath:
    """A path; `~` is the home directory, a relative one starts at the directory of the configuration file."""

    title: ClassVar[str] = "path"

    def parse(self, text: str) -> Path:
        """The path as written; the loader makes it absolute."""
        if not text or len(text) > TEXT_MAX or _UNPRINTABLE.search(text):
            raise BadValue(f"{text[:40]!r} is not a path")
        return Path(text)

    def render(self, value: object) -> str:
        """The path."""
        return str(value)

    def json_schema(self) -> dict[str, object]:
        """A string."""
        return {"type": "string", "minLength": 1, "maxLength": TEXT_MAX}


@dataclass(frozen=True)
class Choice:
    """One of a few words."""

    title: ClassVar[str] = "choice"
    words: tuple[str, ...]

    def parse(self, text: str) -> str:
        """The word."""
        if text not in self.words:
            raise BadValue(f"{text!r} is not one of {', '.join(self.words)}", nearest(text, self.words))
        return text

    def render(self, value: object) -> str:
        """The word."""
        return str(value)

    def json_schema(self) -> dict[str, object]:
        """An enumeration."""
        return {"enum": list(self.words)}


@dataclass(frozen=True)
class Switch:
    """True or false, in YAML's spellings."""

    title: ClassVar[str] = "boolean"
    _words: ClassVar[dict[str, bool]] = {
        "true": True, "yes": True, "on": True,
        "false": False, "no": False, "off": False,
    }  # fmt: skip

    def parse(self, text: str) -> bool:
        """The boolean."""
        value = self._words.get(text.lower())
        if value is None:
            raise BadValue(f"{text!r} is neither true nor false", "write true or false")
        return value

    def render(self, value: object) -> bool:
        """True or false."""
        return bool(value)

    def json_schema(self) -> dict[str, object]:
        """A boolean."""
        return {"type": "boolean"}


@dataclass(frozen=True)
class Whole:
    """A whole decimal number within bounds."""

    title: ClassVar[str] = "integer"
    least: int
    most: int

    def parse(self, text: str) -> int:
        """The number; refuses octal, hexadecimal and sexagesimal spellings."""
        if not re.fullmatch(r"-?(0|[1-9][0-9]{0,17})", text, re.ASCII):
            raise BadValue(f"{text!r} is not a whole number", "write it in plain decimal digits, without leading zeros")
        value = int(text)
        if not self.least <= value <= self.most:
            raise BadValue(f"{value} is out of range", f"allowed: {self.least} to {self.most}")
        return value

    def render(self, value: object) -> int:
        """The number."""
        assert isinstance(value, int)
        return value

    def json_schema(self) -> dict[str, object]:
        """An integer within the bounds."""
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


_REAL = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?", re.ASCII)


@dataclass(frozen=True)
class Real:
    """A finite number without a unit."""

    title: ClassVar[str] = "number"

    def parse(self, text: str) -> float:
        """The number."""
        if len(text) > 40 or not _REAL.fullmatch(text):
            raise BadValue(f"{text!r} is not a number", "write it like 0.001 or 1e-3")
        value = float(text)
        if not math.isfinite(value):
            raise BadValue(f"{text!r} is too large")
        return value

    def render(self, value: object) -> float:
        """The number."""
        assert isinstance(value, (int, float))
        return float(value)

    def json_schema(self) -> dict[str, object]:
        """A number."""
        return {"type": "number"}


def nearest(word: str, words: Iterable[str]) -> str:
    """A question that offers the closest of `words`, or nothing."""
    import difflib  # noqa: PLC0415  only a wrong file pays for it

    lower = {candidate.lower(): candidate for candidate in words}
    found = difflib.get_close_matches(word.lower()[:80], list(lower), n=1, cutoff=0.5)
    return f"did you mean {lower[found[0]]!r}?" if found else ""
