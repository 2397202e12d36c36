"""The agent's end of the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from edgecache.adapters.control.frames import BROKEN_OFF, END, FRAME_MAX, LENGTH, LINE_MAX, addressable
from edgecache.model.errors import EdgecacheError, MalformedMessage, StoreBusy, UsageError

log = logging.getLogger(__name__)

REQUEST_TIMEOUT = 10.0
"""A client writes its request line at once."""
CONTENT_TIMEOUT = 60.0
"""Longest pause between two frames of a put: a slow disk, a pipe."""
WORKING_INTERVAL = 5.0
"""A long operation says that it is still at work: well below what the client takes for a hang-up."""
CLIENTS_MAX = 64
"""Commands at once; each may hold a frame of 1 MiB."""


class Channel:
    """One client's connection, as an operation sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._taking = self._giving = False

    async def say(self, reply: Mapping[str, Any]) -> None:
        """One JSON line; waits while the client does not read."""
        self._giving = reply.get("event") == "content"
        self._writer.write(_line(reply))
        await self._writer.drain()

    async def say_whole(self, reply: Mapping[str, Any], data: bytes, after: Mapping[str, Any]) -> None:
        """A line, a content of at most one frame, and another line, at one stroke."""
        frame = (LENGTH.pack(len(data)), data) if data else ()
        self._writer.write(b"".join((_line(reply), *frame, END, _line(after))))
        await self._writer.drain()

    async def content(self) -> AsyncIterator[bytes]:
        """The frames that the client sends; raises MalformedMessage when it stops in the middle."""
        self._taking = True
        while True:
            try:
                async with asyncio.timeout(CONTENT_TIMEOUT):
                    (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
                    if length > FRAME_MAX:
                        raise MalformedMessage("a frame has at most 1 MiB")
                    frame = await self._reader.readexactly(length)
            except (asyncio.IncompleteReadError, TimeoutError) as error:
                raise MalformedMessage("the content ended early") from error
            if not length:
                self._taking = False
                return
            yield frame

    async def send(self, data: bytes) -> None:
        """One frame of content; waits while the client does not read."""
        self._writer.write(LENGTH.pack(len(data)))
        self._writer.write(data)
        await self._writer.drain()

    async def end(self) -> None:
        """No more content."""
        self._giving = False
        self._writer.write(END)
        await self._writer.drain()

    async def closed(self) -> None:
        """Returns when the client hangs up."""
        with contextlib.suppress(ConnectionError):
            while await self._reader.read(4096):
                pass

    async def fail(self, error: Mapping[str, Any]) -> None:
        """A line with an error; breaks off content that is on its way."""
        if self._giving:
            self._writer.write(LENGTH.pack(BROKEN_OFF))
        await self.say(error)

    async def keep_awake(self, interval: float) -> None:
        """Says now and then that the operation is at work, while nobody's content is on its way."""
        while True:
            await asyncio.sleep(interval)
            if not (self._taking or self._giving):
                await self.say({"event": "working"})


def _line(reply: Mapping[str, Any]) -> bytes:
    return json.dumps(reply).encode() + b"\n"


Operation: TypeAlias = Callable[[Mapping[str, Any], Channel], Awaitable[Mapping[str, Any]]]
"""Takes the request, may report progress on the channel, returns the final reply."""


class ControlServer:
    """Serves operations by name on a Unix socket that only its owner may use."""

    def __init__(
        self, path: Path, operations: Mapping[str, Operation], *, working_interval: float = WORKING_INTERVAL
    ) -> None:
        self._path, self._operations, self._working_interval = path, operations, working_interval
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; a socket that a killed agent left is replaced (the data directory's lock says that we may).

        Raises UsageError when that cannot be.
        """
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._remove_socket()
            with addressable(self._path) as address:
                listener.bind(address)
            self._path.chmod(0o600)  # nobody can have connected: it does not listen yet
            self._server = await asyncio.start_unix_server(self._accept, sock=listener, limit=LINE_MAX)
        except (OSError, ValueError) as error:
            listener.close()
            hint = "set control.socket to a path in a directory that the agent may write to"
            raise UsageError(f"cannot listen on {self._path}: {error}", hint=hint) from error
        except UsageError:
            listener.close()
            raise

    def _remove_socket(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISSOCK(self._path.lstat().st_mode):
                raise UsageError(f"{self._path} is there, and no socket", hint="set control.socket to another path")
            self._path.unlink()

    async def stop(self) -> None:
        """Hang up on everybody."""
        if self._server is None:
            return
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= CLIENTS_MAX:
            busy = StoreBusy(f"{CLIENTS_MAX} commands are at work already", hint="try again when some have ended")
            writer.write(json.dumps(busy.as_json()).encode() + b"\n")
            writer.close()
            return
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel = Channel(reader, writer)
        awake = asyncio.ensure_future(channel.keep_awake(self._working_interval))
        try:
            reply = await self._answer(reader, channel)
            awake.cancel()
            await channel.say(reply)
        except EdgecacheError as error:
            with contextlib.suppress(ConnectionError):
                await channel.fail(error.as_json())
        except ConnectionError:
            log.debug("a command hung up")
        except Exception:
            log.exception("a command failed")
            with contextlib.suppress(ConnectionError):
                await channel.fail({"error": "bug", "message": "internal error, see the agent's log", "exit_code": 1})
        finally:
            awake.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await awake
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, channel: Channel) -> Mapping[str, Any]:
        unreadable = (
            ValueError, RecursionError, TimeoutError, asyncio.LimitOverrunError, asyncio.IncompleteReadError
        )
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                request = json.loads(await reader.readuntil(b"\n"))
        except unreadable as error:
            raise MalformedMessage("a request is one line of JSON") from error
        name = request.get("op") if isinstance(request, dict) else None
        operation = self._operations.get(name) if isinstance(name, str) else None
        if operation is None:
            raise UsageError("the agent does not know this operation", hint="is the agent of the same version?")
        return {"ok": True, **await operation(request, channel)}
