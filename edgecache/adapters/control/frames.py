"""What goes over the control socket, shared by both ends.

A connection carries one request. The client writes one JSON line (`op` and its arguments). The server answers with JSON
lines: progress objects with an `event`, and last one with `ok` true or an `error`. Bytes travel in frames of a 4-byte
length and that many bytes, ended by a frame of length 0: from the client after its request line (`put`), from the
server after a line with `event: content` (`get`).
"""

from __future__ import annotations

import struct

from edgecache.model import errors

LINE_MAX = 1024 * 1024
"""A line holds at most a listing; more is a bug or an attack."""

FRAME_MAX = 1024 * 1024
LENGTH = struct.Struct(">I")
END = LENGTH.pack(0)

_BY_CODE: dict[str, type[errors.EdgecacheError]] = {}


def _collect(kind: type[errors.EdgecacheError]) -> None:
    _BY_CODE[kind.code] = kind
    for child in kind.__subclasses__():
        _collect(child)


_collect(errors.EdgecacheError)


def error_from_json(reply: dict[str, object]) -> errors.EdgecacheError:
    """The typed error that the agent reported."""
    kind = _BY_CODE.get(str(reply.get("error")), errors.EdgecacheError)
    return kind(str(reply.get("message", "")), hint=str(reply.get("hint", "")))
