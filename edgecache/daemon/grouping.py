"""Small blobs on their way into the store: whatever waits goes in together, for one round of syncs (group commit)."""

from __future__ import annotations

import asyncio
from collections import deque

from edgecache.daemon.engine import Engine, held, to_its_end
from edgecache.daemon.room import room_for
from edgecache.model.errors import StoreFull
from edgecache.ports import SmallBlob, StoredBlob

GROUP_BYTES = 4 * 1024 * 1024
"""Content stored together. More: fewer syncs; less: the first of a group is acknowledged sooner."""

GROUP_BLOBS = 256
"""The same for tiny blobs: each is a file to be made."""

WAITING_BYTES_MAX = 2 * GROUP_BYTES
"""One group is stored while the next comes in: that much content is in memory."""


class SmallBlobs:
    """A queue of blobs of at most one chunk. While one group is being stored the next one gathers."""

    def __init__(self, driver: Engine) -> None:
        self._driver = driver
        self._waiting: deque[tuple[SmallBlob, asyncio.Future[StoredBlob]]] = deque()
        self._bytes = 0
        self._working = False
        self._progress = asyncio.Event()

    def keep(self, blob: SmallBlob) -> asyncio.Future[StoredBlob]:
        """Done when it is durable and the core knows; fails with StoreFull or another StoreError."""
        done: asyncio.Future[StoredBlob] = asyncio.get_running_loop().create_future()
        self._waiting.append((blob, done))
        self._bytes += len(blob.data)
        if not self._working:
            self._working = True
            self._driver.spawn(self._work())
        return done

    async def room(self) -> None:
        """Wait until not too much is waiting."""
        while self._bytes > WAITING_BYTES_MAX:
            self._progress.clear()
            await self._progress.wait()

    async def _work(self) -> None:
        try:
            while self._waiting:
                group = self._next_group()
                await self._keep(group)
                self._bytes -= sum(len(blob.data) for blob, _ in group)
                self._progress.set()
        finally:
            self._working = False
            self._bytes = 0
            for _, done in self._waiting:  # the agent stops: nobody is told that these are kept
                done.cancel()
            self._waiting.clear()
            self._progress.set()

    def _next_group(self) -> list[tuple[SmallBlob, asyncio.Future[StoredBlob]]]:
        group, size = [self._waiting.popleft()], 0
        while self._waiting and len(group) < GROUP_BLOBS:
            size += len(group[-1][0].data)
            if size + len(self._waiting[0][0].data) > GROUP_BYTES:
                break
            group.append(self._waiting.popleft())
        return group

    async def _keep(self, group: list[tuple[SmallBlob, asyncio.Future[StoredBlob]]]) -> None:
        try:
            stored = await self._stored([blob for blob, _ in group])
        except Exception as error:  # whoever waits handles it, a bug too
            if isinstance(error, StoreFull) and len(group) > 1:
                for one in group:  # some of them may fit
                    await self._keep([one])
                return
            for _, done in group:
                if not done.done():
                    done.set_exception(error)
        except BaseException:
            for _, done in group:
                done.cancel()
            raise
        else:
            for (_, done), blob in zip(group, stored, strict=True):
                if not done.done():
                    done.set_result(blob)

    async def _stored(self, blobs: list[SmallBlob]) -> list[StoredBlob]:
        """Nothing comes between the end of their room and their being known, so that they never count twice."""
        driver = self._driver
        async with room_for(driver, sum(len(blob.data) for blob in blobs)), driver.keeping:
            stored = await to_its_end(driver.in_store(driver.store.small.keep, blobs))
        for one in stored:
            driver.post(held(one))
        return stored
