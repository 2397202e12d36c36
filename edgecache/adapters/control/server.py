"""The agent's end of the control socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from edgecache.adapters.control.frames import END, FRAME_MAX, LENGTH, LINE_MAX
from edgecache.model.errors import EdgecacheError, MalformedMessage, UsageError

log = logging.getLogger(__name__)

REQUEST_TIMEOUT = 10.0
"""A client writes its request line at once."""
CONTENT_TIMEOUT = 60.0
"""Longest pause between two frames of a put: a slow disk, a pipe."""
CLIENTS_MAX = 64
"""Commands at once; each may hold a frame of 1 MiB."""


class Channel:
    """One client's connection, as an operation sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def say(self, reply: Mapping[str, Any]) -> None:
        """One JSON line; waits while the client does not read."""
        self._writer.write(json.dumps(reply).encode() + b"\n")
        await self._writer.drain()

    async def content(self) -> AsyncIterator[bytes]:
        """The frames that the client sends; raises MalformedMessage when it stops in the middle."""
        while True:
            try:
                async with asyncio.timeout(CONTENT_TIMEOUT):
                    (length,) = LENGTH.unpack(await self._reader.readexactly(LENGTH.size))
                    if length == 0:
                        return
                    if length > FRAME_MAX:
                        raise MalformedMessage("a frame has at most 1 MiB")
                    frame = await self._reader.readexactly(length)
            except (asyncio.IncompleteReadError, TimeoutError) as error:
                raise MalformedMessage("the content ended early") from error
            yield frame

    async def send(self, data: bytes) -> None:
        """One frame of content; waits while the client does not read."""
        self._writer.write(LENGTH.pack(len(data)))
        self._writer.write(data)
        await self._writer.drain()

    async def end(self) -> None:
        """No more content."""
        self._writer.write(END)
        await self._writer.drain()

    async def closed(self) -> None:
        """Returns when the client hangs up."""
        while await self._reader.read(4096):
            pass


Operation: TypeAlias = Callable[[Mapping[str, Any], Channel], Awaitable[Mapping[str, Any]]]
"""Takes the request, may report progress on the channel, returns the final reply."""


class ControlServer:
    """Serves operations by name on a Unix socket that only its owner may use."""

    def __init__(self, path: Path, operations: Mapping[str, Operation]) -> None:
        self._path, self._operations = path, operations
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen; a socket file that a killed agent left is replaced (the data directory's lock says that we may)."""
        self._path.unlink(missing_ok=True)
        try:
            self._server = await asyncio.start_unix_server(self._accept, str(self._path), limit=LINE_MAX)
        except OSError as error:
            hint = "a socket path has at most 107 characters: set control.socket" if len(str(self._path)) > 107 else ""
            raise UsageError(f"cannot listen on {self._path}: {error}", hint=hint) from error
        self._path.chmod(0o600)

    async def stop(self) -> None:
        """Hang up on everybody."""
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= CLIENTS_MAX:
            writer.close()
            return
        task = asyncio.ensure_future(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        channel = Channel(reader, writer)
        try:
            try:
                reply = await self._answer(reader, channel)
            except EdgecacheError as error:
                reply = error.as_json()
            await channel.say(reply)
        except ConnectionError:
            log.debug("a command hung up")
        except Exception:
            log.exception("a command failed")
            with contextlib.suppress(ConnectionError):
                await channel.say({"error": "bug", "message": "internal error, see the agent's log", "exit_code": 1})
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, channel: Channel) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                request = json.loads(await reader.readuntil(b"\n"))
        except (ValueError, TimeoutError, asyncio.LimitOverrunError, asyncio.IncompleteReadError) as error:
            raise MalformedMessage("a request is one line of JSON") from error
        operation = self._operations.get(request.get("op", "")) if isinstance(request, dict) else None
        if operation is None:
            raise UsageError("the agent does not know this operation", hint="is the agent of the same version?")
        return {"ok": True, **await operation(request, channel)}
