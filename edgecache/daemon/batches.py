"""`put` and `get` of many blobs over one connection: pipelined, each acknowledged by itself.

put-many  After the request line each blob is a content of its own, whose first frame is a JSON object with its `name`
          and, where it is known, its `size`. A content without frames ends the batch. Replies, in the same order:
          `stored` when a blob is durable, `failed` when it is not.
get-many  After the request line one content whose frames are lines of names of blobs. Replies, as they come: `got` or
          `failed`, with the number of the line from 0; before `got` the content, when that was asked for.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import suppress
from typing import Any

from edgecache.adapters.control.server import Channel
from edgecache.daemon.engine import Engine
from edgecache.daemon.getting import Getting
from edgecache.daemon.grouping import SmallBlobs
from edgecache.daemon.priorities import priority_of
from edgecache.daemon.putting import store_stream
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import EdgecacheError, MalformedMessage
from edgecache.model.ids import parse_blob_ref
from edgecache.model.priority import Priority
from edgecache.ports import SmallBlob, StoredBlob

ACKNOWLEDGEMENTS_MAX = 1024
"""Blobs of a put that are read and not acknowledged; their content is bounded by the queue of small blobs."""

AT_ONCE = 96
"""Blobs of one get that are wanted at the same time: what is on its way, and what is being stored. More: larger groups
are stored together; less: somebody else's blobs wait for fewer."""

HEADER_BYTES_MAX = 64 * 1024
"""Of the header of a blob: so many headers as there are acknowledgements may wait. A path has at most 4 KiB."""

NAMES_MAX = 100_000
"""Blobs of one get."""

NAMES_BYTES_MAX = 16 * 1024 * 1024
"""The same, of their names with their lines' ends: an id has 55 bytes, a digest 71."""

PROGRESS_INTERVAL = 0.25


async def put_many(driver: Engine, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
    """Take blobs until one has no content at all, not even a header."""
    small, pin = SmallBlobs(driver), bool(request.get("pin", False))
    waiting: asyncio.Queue[asyncio.Future[StoredBlob] | None] = asyncio.Queue(ACKNOWLEDGEMENTS_MAX)
    told = asyncio.ensure_future(_acknowledge(waiting, channel))
    try:
        while True:
            parts = channel.content()
            header = await anext(parts, None)
            if header is None:
                break
            if told.done():
                await told  # it cannot say anything more: the client is gone
            await waiting.put(await _put_one(driver, small, _header(header), pin, parts))
            await small.room()
        await waiting.put(None)
        return await told
    finally:
        told.cancel()


def _header(frame: bytes) -> Mapping[str, Any]:
    if len(frame) > HEADER_BYTES_MAX:
        raise MalformedMessage(f"the header of a blob has at most {HEADER_BYTES_MAX} bytes", hint="give a shorter name")
    try:
        header = json.loads(frame)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("the first frame of a blob is a JSON object") from error
    if not isinstance(header, dict):
        raise MalformedMessage("the first frame of a blob is a JSON object")
    return header


async def _put_one(
    driver: Engine, small: SmallBlobs, header: Mapping[str, Any], pin: bool, parts: AsyncIterator[bytes]
) -> asyncio.Future[StoredBlob]:
    """Done when it is durable: a small blob later, with others; a larger one when this returns."""
    name, size, begun = str(header.get("name", "")), header.get("size"), bytearray()
    async for part in parts:
        begun += part
        if len(begun) > CHUNK_BYTES:
            break
    else:
        return small.keep(SmallBlob(bytes(begun), name, pin))
    done: asyncio.Future[StoredBlob] = asyncio.get_running_loop().create_future()
    try:
        done.set_result(await store_stream(driver, size if isinstance(size, int) else 0, name, pin, begun, parts))
    except EdgecacheError as error:
        if isinstance(error, MalformedMessage):
            raise
        done.set_exception(error)
        async for _ in parts:
            pass
    return done


async def _acknowledge(
    waiting: asyncio.Queue[asyncio.Future[StoredBlob] | None], channel: Channel
) -> Mapping[str, Any]:
    number = stored = size = 0
    while (done := await waiting.get()) is not None:
        try:
            info = (await done).info
        except EdgecacheError as error:
            said = {"event": "failed", "number": number, **error.as_json()}
        else:
            stored, size = stored + 1, size + info.size
            said = {
                "event": "stored", "number": number, "blob": info.blob, "size": info.size, "sha256": info.sha256.hex()
            }
        with suppress(ConnectionError):  # who reads the content finds out that the client is gone
            await channel.say(said)
        number += 1
    return {"stored": stored, "failed": number - stored, "bytes": size}


class ManyGets:
    """One get of many."""

    def __init__(self, driver: Engine, getting: Getting, request: Mapping[str, Any], channel: Channel) -> None:
        self._driver, self._getting, self._channel = driver, getting, channel
        self._pin, self._content = bool(request.get("pin", False)), bool(request.get("content", False))
        self._priority = priority_of(request.get("priority", Priority.NORMAL.word))
        self._speaking = asyncio.Lock()
        """Held while one blob is being told of, with its content."""
        self._got = self._failed = self._bytes = 0

    async def run(self) -> Mapping[str, Any]:
        """All of them; raises when the client hangs up, and then nothing of it is fetched any more."""
        names = await self._names()
        lines = iter(enumerate(names))
        over = asyncio.ensure_future(self._channel.closed())
        workers = [asyncio.ensure_future(self._work(lines, over)) for _ in range(min(AT_ONCE, len(names)))]
        ticker = asyncio.ensure_future(self._progress(len(names)))
        try:
            await asyncio.gather(*workers)
        except Exception:
            over.cancel()  # those who still wait see it, and end their fetches
            await asyncio.gather(*workers, return_exceptions=True)
            raise
        finally:
            for task in (*workers, ticker, over):
                task.cancel()
            await asyncio.gather(ticker, return_exceptions=True)
        return {"got": self._got, "failed": self._failed, "bytes": self._bytes}

    async def _names(self) -> list[str]:
        names: list[str] = []
        size = 0
        async for frame in self._channel.content():
            size += len(frame)
            names += frame.decode(errors="replace").split()
            if len(names) > NAMES_MAX or size > NAMES_BYTES_MAX:
                raise MalformedMessage(f"{NAMES_MAX} blobs may be got at once", hint="get them in several parts")
        return names

    async def _work(self, lines: Iterator[tuple[int, str]], over: asyncio.Future[None]) -> None:
        for number, name in lines:
            try:
                ref = parse_blob_ref(name)
                blob = await self._getting.resolved(ref)
                await self._getting.fetch_one_of_many(blob, self._priority, over)
                await self._getting.check(blob, ref)
                stored = await self._getting.kept(blob, pin=self._pin)
                first = await self._getting.first_chunk(stored) if self._content else b""
            except EdgecacheError as error:
                async with self._speaking:
                    await self._fail(number, name, error)
                continue
            async with self._speaking:
                try:
                    await self._deliver(number, stored, first, checked=ref.sha256 is not None)
                except EdgecacheError as error:
                    await self._fail(number, name, error)

    async def _fail(self, number: int, name: str, error: EdgecacheError) -> None:
        self._failed += 1
        await self._channel.fail({"event": "failed", "number": number, "name": name, **error.as_json()})

    async def _deliver(self, number: int, stored: StoredBlob, first: bytes, *, checked: bool) -> None:
        info = stored.info
        content = {"event": "content", "number": number, "blob": info.blob, "size": info.size}
        got = {
            "event": "got", "number": number, "blob": info.blob, "size": info.size, "sha256": info.sha256.hex(),
            "sha256_checked": checked,
        }
        if not self._content:
            await self._channel.say(got)
        elif info.chunks <= 1:
            await self._channel.say_whole(content, first, got)
        else:
            await self._getting.send_content(stored, self._channel, content, first)
            await self._channel.say(got)
        self._got, self._bytes = self._got + 1, self._bytes + info.size

    async def _progress(self, total: int) -> None:
        while True:
            async with self._speaking:
                done = {"done": self._got, "failed": self._failed, "of": total, "bytes": self._bytes}
                await self._channel.say({"event": "progress", **done})
            await asyncio.sleep(PROGRESS_INTERVAL)
