"""`put`: a stream from the command line becomes a blob."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import Any, TypeVar

from edgecache.adapters.control.server import Channel
from edgecache.daemon.engine import Engine
from edgecache.daemon.room import room_for
from edgecache.daemon.transfers import held
from edgecache.ports import Draft, StoredBlob
from edgecache.wire.manifest import ManifestBuilder

EMPTY_BLOB = ManifestBuilder().finish().blob

T = TypeVar("T")


async def put(driver: Engine, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
    """Take the content that follows the request line; durable when this returns."""
    announced, size = request.get("size"), 0
    async with room_for(driver, announced if isinstance(announced, int) else 0) as room:
        draft = await driver.in_store(driver.store.draft)
        try:
            async for part in channel.content():
                await room.grow(size + len(part))
                await to_its_end(driver.in_store(draft.write, part))
                size += len(part)
            await room.settle(size)
            stored = await _committed(driver, draft, str(request.get("name", "")), bool(request.get("pin", False)))
        except BaseException:
            await to_its_end(driver.in_store(draft.abort))
            raise
    info = stored.info
    return {"blob": info.blob, "size": size, "sha256": info.sha256.hex(), "chunks": info.chunks}


async def make_empty(driver: Engine) -> None:
    """Nobody announces the blob without chunks, as there is nothing to hold; everybody can make it."""
    await _committed(driver, await driver.in_store(driver.store.draft), "", False)


async def _committed(driver: Engine, draft: Draft, name: str, pin: bool) -> StoredBlob:
    """Durable, and known to the core."""
    async with driver.keeping:
        stored = await to_its_end(driver.in_store(lambda: draft.commit(name=name, pin=pin)))
        driver.post(held(stored))
    return stored


async def to_its_end(work: Coroutine[Any, Any, T]) -> T:
    """Wait for a call in a thread even when cancelled: nobody may touch what it works on meanwhile."""
    running = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise
