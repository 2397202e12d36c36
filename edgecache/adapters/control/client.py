"""The command line's end: plain blocking sockets, so that a command starts fast."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from io import BufferedReader
from pathlib import Path
from socket import SocketIO
from typing import Any

from edgecache.adapters.control.frames import (
    BROKEN_OFF,
    END,
    FRAME_MAX,
    LENGTH,
    REPLY_MAX,
    addressable,
    error_from_json,
)
from edgecache.model.errors import MalformedMessage, TimedOut, Unreachable

ANSWER_TIMEOUT = 30.0
"""Longest silence of a healthy agent: it says every few seconds that it is still at work."""


class ControlClient:
    """One request to the local agent; a context manager."""

    def __init__(self, path: Path, *, timeout: float = ANSWER_TIMEOUT) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        try:
            with addressable(path) as address:
                self._socket.connect(address)
        except (OSError, ValueError) as error:
            self._socket.close()
            hint = "start it with `edgecache run`, or name its configuration with --config"
            if isinstance(error, PermissionError):
                hint = f"{path} belongs to another user: use the agent's user, or sudo"
            raise Unreachable(f"no agent answers at {path}", hint=hint) from error
        self._file = BufferedReader(self._socket.makefile("rb", buffering=0), FRAME_MAX)

    def __enter__(self) -> ControlClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()
        self._socket.close()

    def request(self, op: str, **arguments: object) -> None:
        """Send the request line."""
        try:
            self._socket.sendall(json.dumps({"op": op, **arguments}).encode() + b"\n")
        except ConnectionError:
            return  # it may have said why

    def send_content(self, chunks: Iterable[bytes]) -> None:
        """Send frames after the request line; stops early when the agent has already answered (with an error).

        Raises TimedOut when the agent takes nothing for a while.
        """
        try:
            for chunk in chunks:
                self._socket.sendall(LENGTH.pack(len(chunk)) + chunk)
            self._socket.sendall(END)
        except ConnectionError:
            return
        except TimeoutError as error:
            raise TimedOut("the agent takes no more of the content", hint="see its log: its disk is slow") from error

    def hang_up(self) -> None:
        """End the connection, from any thread; whoever reads gets Unreachable."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def replies(self) -> Iterator[dict[str, Any]]:
        """Events (one may tell of an error of its own) and last the final reply; raises the typed error that the agent
        reports."""
        while True:
            reply = self._line()
            if "error" in reply and "event" not in reply:
                raise error_from_json(reply)
            yield reply
            if reply.get("ok"):
                return

    def call(self, op: str, **arguments: object) -> dict[str, Any]:
        """Request without progress: the final reply."""
        self.request(op, **arguments)
        *_, last = self.replies()
        return last

    def content(self) -> Iterator[bytes]:
        """The frames after a line with `event: content`; raises the typed error that breaks them off."""
        while True:
            (length,) = LENGTH.unpack(self._exactly(LENGTH.size))
            if length == 0:
                return
            if length == BROKEN_OFF:
                raise error_from_json(self._line())
            if length > FRAME_MAX:
                raise MalformedMessage("the agent sent an oversized frame")
            yield self._exactly(length)

    def _line(self) -> dict[str, Any]:
        try:
            line = self._file.readline(REPLY_MAX)
        except TimeoutError as error:
            raise TimedOut("the agent has not answered for a while", hint="see its log") from error
        except ConnectionError as error:
            raise Unreachable("the agent hung up", hint="see its log") from error
        if not line.endswith(b"\n"):
            raise Unreachable("the agent closed the connection", hint="see its log")
        try:
            reply = json.loads(line)
        except ValueError as error:
            raise MalformedMessage("the agent sent something else than JSON") from error
        if not isinstance(reply, dict):
            raise MalformedMessage("the agent sent something else than an object")
        return reply

    def _exactly(self, count: int) -> bytes:
        data = _read(self._file, count)
        if len(data) != count:
            raise Unreachable("the agent closed the connection in the middle of the content")
        return data


def _read(file: BufferedReader[SocketIO], count: int) -> bytes:
    try:
        return file.read(count)
    except TimeoutError as error:
        raise TimedOut("the agent has not sent anything for a while", hint="see its log") from error
    except ConnectionError as error:
        raise Unreachable("the agent hung up in the middle of the content", hint="see its log") from error
