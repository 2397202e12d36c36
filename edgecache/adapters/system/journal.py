"""What is logged, how it looks, and how often: one line per cause in half a minute, however hard a peer tries."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TextIO

CAUSE_INTERVAL = 30.0
"""Seconds in which a cause is logged once."""

CAUSES_MAX = 256
"""Causes told apart at one time; what comes on top shares one line."""

_OVERFLOW = "(many causes)"

_LIBRARIES = ("zeroconf", "paho", "coap-server", "coap", "amqtt", "transitions")
"""Loggers that are not ours: they speak only of what is worse than a warning, unless all is wanted."""

_PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}
"""sd-daemon(3) prefixes."""

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


@dataclass(slots=True)
class _Cause:
    since: float
    suppressed: int = 0


class RateLimiter:
    """Says whether a line of some cause may be written now. Bounded; safe against causes made up by a peer."""

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        interval: float = CAUSE_INTERVAL,
        causes_max: int = CAUSES_MAX,
    ) -> None:
        self._now = now
        self._interval = interval
        self._causes_max = causes_max
        self._causes: dict[str, _Cause] = {}

    def admit(self, cause: str) -> int | None:
        """None when the line is to be dropped, else how many of its cause were dropped since the last one."""
        now = self._now()
        if cause not in self._causes and len(self._causes) >= self._causes_max:
            self._forget_expired(now)
            if len(self._causes) >= self._causes_max:
                cause = _OVERFLOW
        entry = self._causes.get(cause)
        if entry is None:
            self._causes[cause] = _Cause(now)
            return 0
        if now - entry.since < self._interval:
            entry.suppressed += 1
            return None
        suppressed = entry.suppressed
        self._causes[cause] = _Cause(now)
        return suppressed

    def _forget_expired(self, now: float) -> None:
        for cause in [c for c, entry in self._causes.items() if now - entry.since >= self._interval]:
            del self._causes[cause]


class RateLimited:
    """A logger whose lines name their cause: one line per cause per interval, with the number of dropped ones."""

    def __init__(self, logger: logging.Logger, limiter: RateLimiter | None = None) -> None:
        self._logger = logger
        self._limiter = limiter or RateLimiter()

    def log(self, level: int, cause: str, text: str) -> None:
        """Write `text` unless its cause was written lately."""
        if not self._logger.isEnabledFor(level):
            return
        suppressed = self._limiter.admit(cause)
        if suppressed is None:
            return
        more = f" ({suppressed} more of this kind before)" if suppressed else ""
        self._logger.log(level, "%s%s", text, more)

    def warning(self, cause: str, text: str) -> None:
        """Something a person should look at."""
        self.log(logging.WARNING, cause, text)

    def info(self, cause: str, text: str) -> None:
        """Something worth knowing."""
        self.log(logging.INFO, cause, text)


class _LibraryFilter(logging.Filter):
    """Limits records of libraries by their message template, and takes their tracebacks away."""

    def __init__(self) -> None:
        super().__init__()
        self._limiter = RateLimiter()

    def filter(self, record: logging.LogRecord) -> bool:
        record.exc_info = None
        record.exc_text = None
        return self._limiter.admit(f"{record.name}:{str(record.msg)[:120]}") is not None


class _OneLine(logging.Formatter):
    """One event, one line: control characters, which may come from a peer, are shown as escapes."""

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        head, *rest = text.split("\n")
        if record.exc_info:
            return "\n".join([_printable(head), *rest])
        return _printable(text)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode("ascii") for c in text)


class _JournalLine(_OneLine):
    """For journald, which has its own clock: a priority prefix, no time."""

    def format(self, record: logging.LogRecord) -> str:
        priority = _PRIORITIES.get(record.levelno, 5)
        return "\n".join(f"<{priority}>{line}" for line in super().format(record).split("\n"))


def under_journald(stream: TextIO) -> bool:
    """Whether `stream` is connected to journald (systemd.exec(5), $JOURNAL_STREAM)."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return device == str(status.st_dev) and inode == str(status.st_ino)


def configure_logging(level: str, stream: TextIO | None = None) -> None:
    """Send everything to `stream` (standard error): with priorities for journald, with time and level otherwise."""
    target = stream or sys.stderr
    number = _LEVELS[level]
    handler = logging.StreamHandler(target)
    if under_journald(target):
        handler.setFormatter(_JournalLine("%(message)s"))
    else:
        handler.setFormatter(_OneLine("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(number)
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.setLevel(logging.DEBUG if number <= logging.DEBUG else logging.ERROR)
        for old_filter in library.filters[:]:
            library.removeFilter(old_filter)
        if number > logging.DEBUG:
            library.addFilter(_LibraryFilter())
