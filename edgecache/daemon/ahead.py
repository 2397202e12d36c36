"""The whole of a blob is hashed while its chunks still come: little is left after the last, and memory has them yet."""

from __future__ import annotations

import logging

from edgecache.daemon.engine import Engine, Lane
from edgecache.model.errors import EdgecacheError
from edgecache.model.ids import BlobId

log = logging.getLogger(__name__)

STEP = 16
"""Chunks (4 MiB, 8 of large blobs) that are hashed in a row. More: more is left after the last chunk; fewer: more
thread switches."""


class HashAhead:
    """Has the store go on with the digest of a blob, once at a time."""

    def __init__(self, driver: Engine) -> None:
        self._driver = driver
        self._hashing: set[BlobId] = set()

    def stored(self, blob: BlobId, index: int) -> None:
        """A chunk has been stored."""
        if index % STEP == STEP - 1 and blob not in self._hashing:
            self._hashing.add(blob)
            self._driver.spawn(self._hash(blob))

    async def _hash(self, blob: BlobId) -> None:
        try:
            await self._driver.in_store(self._driver.store.hash_ahead, blob, lane=Lane.WHOLE)
        except EdgecacheError as error:
            log.debug("hashing %s ahead: %s", blob, error)
        finally:
            self._hashing.discard(blob)
