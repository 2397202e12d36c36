"""YAML text to a tree of nodes with positions, within bounds; nothing is constructed, so nothing can be run."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import yaml

from edgecache.model.errors import ConfigError

FILE_BYTES_MAX = 256 * 1024
"""A configuration with a thousand sources has less."""

DEPTH_MAX = 12
"""The schema nests four deep."""

EVENTS_MAX = 50_000
"""Nodes and brackets; bounds the time that a file of brackets costs."""

PLAIN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "timestamp", "merge", "value")
)
"""What YAML 1.1 resolves plain scalars to; the schema decides what they are."""

NULL_TAG = "tag:yaml.org,2002:null"


class Position(Protocol):
    """A place in a file, counted from 0, as PyYAML marks it."""

    @property
    def line(self) -> int:
        """Line."""
        ...

    @property
    def column(self) -> int:
        """Column."""
        ...


@dataclass(frozen=True)
class Problem:
    """Something wrong at one place of a file; line and column count from 1, 0 is the file as a whole."""

    file: Path
    line: int
    column: int
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else str(self.file)
        return f"{where}: {self.message}" + (f"; {self.hint}" if self.hint else "")


def failure(problems: list[Problem]) -> ConfigError:
    """The error that reports all of them, in the order of the file."""
    ordered = sorted(problems, key=lambda problem: (str(problem.file), problem.line, problem.column))
    return ConfigError(
        "\n".join(str(problem) for problem in ordered), hint="`edgecache config reference` lists every setting"
    )


def problem_at(file: Path, mark: Position | None, message: str, hint: str = "") -> Problem:
    """A problem at a position that PyYAML reports."""
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (0, 0)
    return Problem(file, line, column, message, hint)


def read_bounded(path: Path, what: str, hint: str = "") -> tuple[bytes, int]:
    """Bytes and permission bits of a regular file of at most FILE_BYTES_MAX; raises ConfigError."""
    try:
        # Not blocking: opening a pipe would wait for its writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                raise ConfigError(f"{path}: not a regular file")
            data = os.read(descriptor, FILE_BYTES_MAX + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: there is no such {what}", hint=hint) from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > FILE_BYTES_MAX:
        raise ConfigError(f"{path}: larger than {FILE_BYTES_MAX // 1024} KiB", hint=f"this does not look like a {what}")
    return data, stat.S_IMODE(mode)


def _check_bounds(data: bytes, file: Path) -> None:
    """Refuses aliases (whose expansion is unbounded), deep nesting and endless collections, before any tree exists."""
    depth = 0
    for count, event in enumerate(yaml.parse(data, Loader=yaml.SafeLoader)):
        if isinstance(event, yaml.AliasEvent):
            hint = "write the value out where it is needed"
            raise failure([problem_at(file, event.start_mark, f"aliases (*{event.anchor}) are not supported", hint)])
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEPTH_MAX:
            raise failure([problem_at(file, event.start_mark, f"nested deeper than {DEPTH_MAX} levels")])
        if count > EVENTS_MAX:
            raise failure([problem_at(file, event.start_mark, "too many values for a configuration file")])


def compose(data: bytes, file: Path) -> yaml.Node | None:
    """The root node of the one document in `data`; None when it is empty; raises ConfigError with the position."""
    try:
        _check_bounds(data, file)
        node: yaml.Node | None = yaml.compose(data, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = re.sub(r"\s+", " ", error.problem or error.context or "cannot be parsed")
        hint = "indent with spaces" if r"'\t'" in reason else ""
        raise failure([problem_at(file, mark, f"not valid YAML: {reason}", hint)]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = re.sub(r"\s+", " ", str(error))[:200]
        raise ConfigError(f"{file}: not valid YAML: {reason}", hint="the file must be UTF-8 text") from error
    return node
