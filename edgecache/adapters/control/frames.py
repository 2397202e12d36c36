"""What goes over the control socket, shared by both ends.

A connection carries one request. The client writes one JSON line (`op` and its arguments). The server answers with JSON
lines: objects with an `event` (`progress`, `working` when there is nothing else to say), and last one with `ok` true or
an `error`. Bytes travel in frames of a 4-byte length and that many bytes, ended by a frame of length 0: from the client
after its request line (`put`), from the server after a line with `event: content` (`get`). When the content cannot be
completed, the server ends it with the length 0xFFFFFFFF, and the line with the error follows: the last one, or of many
blobs an `event: failed` about this one.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from edgecache.model import errors

LINE_MAX = 1024 * 1024
"""Of a request; more is a bug or an attack."""

REPLY_MAX = 256 * 1024 * 1024
"""Of a reply: the listing of everything that a full store or a large site has."""

FRAME_MAX = 1024 * 1024
LENGTH = struct.Struct(">I")
END = LENGTH.pack(0)
BROKEN_OFF = 0xFFFFFFFF

_ADDRESS_BYTES_MAX = 107
"""What a socket address holds of a path, on Linux (unix(7))."""

_BY_CODE: dict[str, type[errors.EdgecacheError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.EdgecacheError)
}
"""Those of the vocabulary only: kinds that other modules derive carry their parent's code and cross as their parent."""


def error_from_json(reply: dict[str, object]) -> errors.EdgecacheError:
    """The typed error that the agent reported."""
    kind = _BY_CODE.get(str(reply.get("error")), errors.EdgecacheError)
    return kind(str(reply.get("message", "")), hint=str(reply.get("hint", "")))


@contextmanager
def addressable(path: Path) -> Iterator[str]:
    """A name of `path` that a socket address can hold: a longer one leads through its directory, opened."""
    if len(os.fsencode(path)) <= _ADDRESS_BYTES_MAX:
        yield str(path)
        return
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)
