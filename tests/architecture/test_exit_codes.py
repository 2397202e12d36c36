"""Exit codes are a promise to scripts: the table is pinned, and every error knows its row."""

from __future__ import annotations

from collections.abc import Iterator

from edgecache.model import errors
from edgecache.model.errors import EdgecacheError, ExitCode

PINNED = {
    "OK": 0,
    "FAILED": 1,
    "USAGE": 2,
    "CONFIG": 3,
    "NOT_FOUND": 4,
    "UNREACHABLE": 5,
    "TIMEOUT": 6,
    "STORE_FULL": 7,
    "STORE_CORRUPT": 8,
    "BUSY": 9,
    "DENIED": 10,
    "NEWER_DATA": 11,
    "INTERRUPTED": 130,
}

CODES = {
    "error": "FAILED",
    "usage": "USAGE",
    "config": "CONFIG",
    "not-found": "NOT_FOUND",
    "already-there": "FAILED",
    "denied": "DENIED",
    "protocol": "FAILED",
    "protocol-local": "FAILED",
    "protocol-remote": "FAILED",
    "malformed": "FAILED",
    "transport": "UNREACHABLE",
    "unreachable": "UNREACHABLE",
    "refused": "UNREACHABLE",
    "timeout": "TIMEOUT",
    "store": "FAILED",
    "store-full": "STORE_FULL",
    "store-corrupt": "STORE_CORRUPT",
    "busy": "BUSY",
    "newer-data": "NEWER_DATA",
    "newer-blob": "FAILED",
    "bug": "FAILED",
}


def tree(kind: type[EdgecacheError] = EdgecacheError) -> Iterator[type[EdgecacheError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from tree(child)


def own() -> list[type[EdgecacheError]]:
    return [kind for kind in tree() if kind.__module__ == errors.__name__]


def test_the_table_is_as_documented() -> None:
    assert {code.name: code.value for code in ExitCode} == PINNED
    assert len(set(PINNED.values())) == len(PINNED)


def test_every_error_has_its_own_code_and_its_exit_code() -> None:
    assert {kind.code: kind.exit_code.name for kind in own()} == CODES
    assert len({kind.code for kind in own()}) == len(own())


def test_errors_tell_programs_what_they_tell_people() -> None:
    shown = errors.StoreFull("no room", hint="rm something").as_json()
    assert shown == {
        "error": "store-full", "message": "no room", "hint": "rm something", "exit_code": 7, "retryable": True,
    }  # fmt: skip
