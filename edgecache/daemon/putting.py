"""`put`: a stream from the command line becomes a blob."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from edgecache.adapters.control.server import Channel
from edgecache.daemon.engine import Engine, held, to_its_end
from edgecache.daemon.room import room_for
from edgecache.ports import Draft, StoredBlob
from edgecache.wire.manifest import ManifestBuilder

EMPTY_BLOB = ManifestBuilder().finish().blob


async def put(driver: Engine, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
    """Take the content that follows the request line; durable when this returns."""
    announced, name, pin = request.get("size"), str(request.get("name", "")), bool(request.get("pin", False))
    size = announced if isinstance(announced, int) else 0
    info = (await store_stream(driver, size, name, pin, b"", channel.content())).info
    return {"blob": info.blob, "size": info.size, "sha256": info.sha256.hex(), "chunks": info.chunks}


async def store_stream(
    driver: Engine, announced: int, name: str, pin: bool, begun: bytes | bytearray, parts: AsyncIterator[bytes]
) -> StoredBlob:
    """A blob of what was read already and what comes, of `announced` bytes if that is known; durable."""
    size = 0
    async with room_for(driver, announced) as room:
        draft = await driver.in_store(driver.store.draft)

        async def write(part: bytes | bytearray) -> None:
            nonlocal size
            await room.grow(size + len(part))
            await to_its_end(driver.in_store(draft.write, part))
            size += len(part)

        try:
            if begun:
                await write(begun)
            async for part in parts:
                await write(part)
            await room.settle(size)
            return await _committed(driver, draft, name, pin)
        except BaseException:
            await to_its_end(driver.in_store(draft.abort))
            raise


async def make_empty(driver: Engine) -> None:
    """Nobody announces the blob without chunks, as there is nothing to hold; everybody can make it."""
    await _committed(driver, await driver.in_store(driver.store.draft), "", False)


async def _committed(driver: Engine, draft: Draft, name: str, pin: bool) -> StoredBlob:
    """Durable, and known to the core."""
    async with driver.keeping:
        stored = await to_its_end(driver.in_store(lambda: draft.commit(name=name, pin=pin)))
        driver.post(held(stored))
    return stored
