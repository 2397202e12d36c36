"""`sha256:HEX` as a name: whether a blob that is here really has the digest that its manifest says (decision 0015)."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from edgecache.core import vocabulary as v
from edgecache.daemon.engine import Engine, Lane, restate
from edgecache.model.errors import EdgecacheError, NotFound, StoreCorrupt
from edgecache.model.ids import BlobId

LEASE_INTERVAL = 20.0
"""A reader says so often that it is still reading: below the time for which a blob that is read is kept."""


class Wholes:
    """Has the store hash whole blobs: one after another, and each only once however many ask at the same time."""

    def __init__(self, driver: Engine) -> None:
        self._driver = driver
        self._hashing: dict[BlobId, asyncio.Future[bool | None]] = {}

    @property
    def hashing(self) -> bool:
        """Whether it takes its time at this moment."""
        return bool(self._hashing)

    async def right(self, blob: BlobId) -> bool | None:
        """Whether the manifest tells the truth about the whole; None when not all of the blob is here. StoreError."""
        answer = self._hashing.get(blob)
        if answer is None:
            if not self._is_here(blob):
                return None
            answer = self._hashing[blob] = asyncio.get_running_loop().create_future()
            self._driver.spawn(self._answer(blob, answer))
        return await asyncio.shield(answer)

    async def called(self, blobs: Collection[BlobId], *, here: bool = False) -> set[BlobId]:
        """Of those whose manifests say the same digest: one that is here and has it, else those that may have it, of
        which not all is here; none of these when it must be `here`."""
        possible = set[BlobId]()
        for blob in sorted(blobs):
            right = await self.right(blob)
            if right:
                return {blob}
            if right is None and not here:
                possible.add(blob)
        return possible

    def _is_here(self, blob: BlobId) -> bool:
        try:
            return self._driver.store.blob(blob).complete
        except NotFound:
            return False

    async def _answer(self, blob: BlobId, answer: asyncio.Future[bool | None]) -> None:
        try:
            answer.set_result(await self._hashed(blob))
        except EdgecacheError as error:
            answer.set_exception(error)
            answer.exception()  # perhaps nobody waits any more
        finally:
            answer.cancel()  # does nothing to one that is set
            del self._hashing[blob]

    async def _hashed(self, blob: BlobId) -> bool | None:
        driver = self._driver
        work = asyncio.ensure_future(driver.in_store(driver.store.whole_is_right, blob, lane=Lane.DIGEST))
        while not work.done():
            driver.post(v.BlobRead(blob))  # so that it is not evicted meanwhile
            await asyncio.wait([work], timeout=LEASE_INTERVAL)
        try:
            return work.result()
        except NotFound:
            return None
        except StoreCorrupt as error:
            driver.warn(f"corrupt:{blob}", f"{blob}: {error}")
            restate(driver, blob)
            return None
