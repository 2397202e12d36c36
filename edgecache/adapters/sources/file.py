"""One number from a file: sysfs, iio, 1-wire."""

from __future__ import annotations

import glob
import itertools
import math
import re
from collections.abc import Callable
from pathlib import Path

from edgecache.config.schema import FileSource
from edgecache.model.reading import Value

CONTENT_MAX = 4096
"""Bytes: a page, which is all that a sysfs attribute can have."""

MATCHES_MAX = 64

_DIGITS = 12
"""Significant digits kept: hides what binary fractions add when a value is scaled."""

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII)
_WHOLE = re.compile(r"[-+]?\d{1,18}", re.ASCII)
_W1_CHECKSUM = re.compile(r"crc=[0-9a-f]{2} (YES|NO)\b", re.IGNORECASE)
"""The first line of a 1-wire driver's w1_slave: whether the sensor's checksum was right."""


class SourceFailed(Exception):
    """The source gave no value; the message says why, for people at any node."""


def file_reader(source: FileSource) -> Callable[[], Value]:
    """A function that reads the number of a source, blocking; it raises SourceFailed or OSError."""
    pattern = re.compile(source.regex) if source.regex else None

    def read() -> Value:
        content = _content(locate(source.path))
        return number_in(content, pattern, source.scale, source.offset)

    return read


def locate(path: Path) -> Path:
    """The one file that `path`, perhaps with `*`, `?` or `[...]`, stands for; SourceFailed otherwise."""
    if not glob.has_magic(str(path)):
        return path
    matches = Path(path.anchor).glob(str(path.relative_to(path.anchor)))
    found = list(itertools.islice(matches, MATCHES_MAX))
    if not found:
        raise SourceFailed(f"no file matches {path}")
    if len(found) > 1:
        raise SourceFailed(f"{len(found)} files match {path}; one should")
    return found[0]


def _content(path: Path) -> str:
    with path.open("rb", buffering=0) as file:
        parts, size = [], 0
        while size <= CONTENT_MAX and (part := file.read(CONTENT_MAX + 1 - size)):
            parts.append(part)
            size += len(part)
    if size > CONTENT_MAX:
        raise SourceFailed(f"{path} has more than {CONTENT_MAX} bytes")
    return b"".join(parts).decode("utf-8", "replace")


def number_in(content: str, pattern: re.Pattern[str] | None, scale: float, offset: float) -> Value:
    """The number in `content`, scaled; whole if it is and nothing is done to it. Raises SourceFailed."""
    checksum = _W1_CHECKSUM.search(content)
    if checksum and checksum[1].upper() == "NO":
        raise SourceFailed("the sensor's checksum is wrong")
    text = content.strip()
    if pattern is not None:
        found = pattern.search(content)
        if found is None or found[1] is None:
            raise SourceFailed(f"the regular expression does not match {_excerpt(content)}")
        text = found[1].strip()
    if scale == 1.0 and offset == 0.0 and _WHOLE.fullmatch(text):
        return int(text)
    if not _NUMBER.fullmatch(text):
        raise SourceFailed(f"not a number: {_excerpt(text)}")
    value = float(text) * scale + offset
    if not math.isfinite(value):
        raise SourceFailed(f"not a finite number: {_excerpt(text)}")
    return float(f"{value:.{_DIGITS}g}")


def _excerpt(text: str) -> str:
    return repr(text[:40]) if text.strip() else "an empty file"
