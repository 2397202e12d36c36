"""Chunks and manifests from the links to the store, as the core orders: fetch, verify, store, evict."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque

from edgecache.core import vocabulary as v
from edgecache.daemon.engine import Engine, Lane, restate
from edgecache.daemon.grouping import SmallBlobs
from edgecache.daemon.pacing import Pace
from edgecache.daemon.room import begun, wished_no_more
from edgecache.model.content import UNITS_AHEAD
from edgecache.model.errors import (
    EdgecacheError,
    MalformedMessage,
    NotFound,
    Refused,
    StoreCorrupt,
    StoreError,
    StoreFull,
    TimedOut,
    UnknownRule,
)
from edgecache.model.ids import BlobId, Digest, NodeId
from edgecache.ports import SmallBlob
from edgecache.wire.manifest import is_whole

log = logging.getLogger(__name__)

COMPLETE_AGAIN = 5.0
"""Pause before it is tried again to complete a blob when the disk had no room for the record of it."""
_ENDED = ("done", "failed", "stopped")
"""Phases of a fetch that is none any more."""


def failure_of(error: EdgecacheError) -> v.FetchFailure:
    """How the core names what went wrong with a request."""
    if isinstance(error, NotFound | UnknownRule):
        return v.FetchFailure.NOT_FOUND
    if isinstance(error, Refused):
        return v.FetchFailure.REFUSED
    if isinstance(error, TimedOut):
        return v.FetchFailure.TIMEOUT
    if isinstance(error, StoreCorrupt | MalformedMessage):
        return v.FetchFailure.CORRUPT
    if isinstance(error, StoreError):
        return v.FetchFailure.STORE_FULL
    return v.FetchFailure.LINK_LOST


def _seen(task: asyncio.Task[bytes | memoryview]) -> None:
    """What became of a unit that nobody waits for any more."""
    if not task.cancelled():
        task.exception()


class Transfers:
    """Requests of ours under way, by their number."""

    def __init__(self, driver: Engine, download_rate: int = 0) -> None:
        """`download_rate` is the limit over all peers, in bytes a second on the link; 0 is none."""
        self._driver = driver
        self.pace = Pace(driver.clock.now, download_rate)
        self._sources: dict[v.RequestId, NodeId] = {}
        """Whom chunks are asked of."""
        self.small = SmallBlobs(driver)
        self._fetching: dict[v.RequestId, asyncio.Task[None]] = {}
        self._storing: set[v.RequestId] = set()

    @property
    def under_way(self) -> bool:
        """Whether chunks are asked for at this moment."""
        return bool(self._sources)

    def sources(self) -> list[NodeId]:
        """Whom chunks are asked of at this moment."""
        return list(dict.fromkeys(self._sources.values()))

    def fetch_manifest(self, effect: v.FetchManifest) -> None:
        """Effect FetchManifest."""
        self._start(effect.request, self._manifest(effect))

    def fetch_chunk(self, effect: v.FetchChunk) -> None:
        """Effect FetchChunk."""
        self._start(effect.request, self._chunk(effect))

    def cancel(self, effect: v.CancelFetch) -> None:
        """Effect CancelFetch; what has arrived already is stored all the same, and the core hears of it."""
        task = self._fetching.pop(effect.request, None)
        if task is not None and effect.request not in self._storing:
            task.cancel()

    def _start(self, request: v.RequestId, work: object) -> None:
        task = self._driver.spawn(work)  # type: ignore[arg-type]
        self._fetching[request] = task
        task.add_done_callback(lambda _: self._fetching.pop(request, None))

    async def _manifest(self, effect: v.FetchManifest) -> None:
        driver, store = self._driver, self._driver.store
        try:
            if effect.most:
                data, whole = await driver.links.fetch_small(
                    effect.peer, effect.blob, effect.most, effect.timeout, effect.priority
                )
                if whole:
                    await self._whole(effect, data)
                    return
            else:
                data = await driver.links.fetch_manifest(effect.peer, effect.blob, effect.page, effect.timeout)
            if effect.page is None:
                self._storing.add(effect.request)
                stored = await begun(driver, effect.blob, data)
                if effect.request not in self._fetching:
                    await self._keep_known(effect.blob)
            else:
                await driver.in_store(store.put_page, effect.blob, effect.page, data)
                stored = await driver.in_store(store.blob, effect.blob)
        except StoreFull as error:
            driver.post(v.RoomRefused(effect.blob, error.message))
            driver.post(v.ManifestFailed(effect.request, effect.peer, effect.blob, v.FetchFailure.STORE_FULL))
            return
        except EdgecacheError as error:
            log.debug("manifest of %s from %s: %s", effect.blob, effect.peer, error)
            if isinstance(error, UnknownRule):
                driver.warn(f"newer:{effect.blob}", f"{effect.blob} cannot be fetched: {error}")
            driver.post(v.ManifestFailed(effect.request, effect.peer, effect.blob, failure_of(error)))
            return
        except Exception:
            driver.post(v.ManifestFailed(effect.request, effect.peer, effect.blob, v.FetchFailure.LINK_LOST))
            raise
        finally:
            self._storing.discard(effect.request)
        driver.post(v.ManifestStored(effect.request, effect.peer, stored.info, effect.page, stored.have))

    async def _whole(self, effect: v.FetchManifest, data: bytes) -> None:
        """All of a small blob has come."""
        if not is_whole(effect.blob, data):
            raise MalformedMessage(f"what should be all of {effect.blob} is not")
        self._storing.add(effect.request)
        self._driver.post(v.WholeReceived(effect.request, effect.blob, len(data)))
        await self.small.keep(SmallBlob(data))

    async def _keep_known(self, blob: BlobId) -> None:
        """A blob was begun after the core took its request back: it has its room in the store all the same."""
        driver = self._driver
        under_way = [view.blob for view in driver.node.swarm.fetches() if view.phase not in _ENDED]
        if blob not in under_way:
            await driver.in_store(driver.store.set_wanted, blob, False)
        restate(self._driver, blob)

    async def _chunk(self, effect: v.FetchChunk) -> None:
        driver, store = self._driver, self._driver.store
        started = driver.clock.now()
        self._sources[effect.request] = effect.peer
        ours = True  # what goes wrong is no fault of the peer's
        try:
            digest = store.chunk_digest(effect.blob, effect.index)
            size = store.blob(effect.blob).info.chunk_bytes(effect.index)
            ours = False
            data = await self._units(effect, digest, size)
            elapsed = driver.clock.now() - started
            self._storing.add(effect.request)
            await driver.in_store(store.put_chunk, effect.blob, effect.index, data)
        except EdgecacheError as error:
            log.debug("chunk %d of %s from %s: %s", effect.index, effect.blob, effect.peer, error)
            wait = getattr(error, "retry_after", 0.0)
            if isinstance(error, StoreError) and (ours or not isinstance(error, StoreFull | StoreCorrupt)):
                restate(self._driver, effect.blob)
            ours = ours or (isinstance(error, NotFound) and effect.request in self._storing)
            reason = v.FetchFailure.LINK_LOST if ours else failure_of(error)
            driver.post(v.ChunkFailed(effect.request, effect.blob, effect.index, reason, wait))
            return
        except Exception:
            driver.post(v.ChunkFailed(effect.request, effect.blob, effect.index, v.FetchFailure.LINK_LOST))
            raise
        finally:
            self._storing.discard(effect.request)
            self._sources.pop(effect.request, None)
        driver.post(v.ChunkStored(effect.request, effect.blob, effect.index, size, elapsed))

    async def _units(self, effect: v.FetchChunk, digest: Digest, size: int) -> bytes | bytearray | memoryview:
        links, pace = self._driver.links, self.pace
        if min(effect.unit, pace.unit(effect.peer)) >= size:
            await pace.turn(effect.peer, size)
            return await links.fetch_unit(
                effect.peer, effect.blob, effect.index, digest, 0, size, effect.timeout, effect.priority
            )
        data, asked, begin = bytearray(), deque[tuple[int, asyncio.Task[bytes | memoryview]]](), 0
        try:
            while len(data) < size:
                while begin < size and len(asked) < UNITS_AHEAD:
                    want = min(effect.unit, pace.unit(effect.peer), size - begin)
                    await pace.turn(effect.peer, want)
                    work = links.fetch_unit(
                        effect.peer, effect.blob, effect.index, digest, begin, want, effect.timeout, effect.priority
                    )
                    asked.append((want, asyncio.create_task(work)))
                    begin += want
                want, unit = asked[0][0], await asked[0][1]
                asked.popleft()
                if len(unit) != want:
                    raise MalformedMessage(f"asked for {want} bytes of a chunk, got {len(unit)}")
                data += unit
                if len(data) < size:
                    self._driver.post(v.ChunkProgress(effect.request, len(data)))
        finally:
            for _, task in asked:
                task.cancel()
                task.add_done_callback(_seen)
        return data

    def complete(self, effect: v.CompleteBlob) -> None:
        """Effect CompleteBlob."""
        self._driver.spawn(self._completed(effect.blob))

    async def _completed(self, blob: BlobId) -> None:
        driver = self._driver
        try:
            await driver.in_store(driver.store.complete, blob, lane=Lane.WHOLE)
        except NotFound:
            restate(self._driver, blob)  # it was removed, or a sync that failed took a chunk of it
            return
        except StoreFull:
            await asyncio.sleep(COMPLETE_AGAIN)
            driver.spawn(self._completed(blob))
            return
        except StoreError as error:
            driver.warn(f"complete:{blob}", f"{blob} cannot be completed: {error}")
            if not isinstance(error, StoreCorrupt):
                await asyncio.sleep(COMPLETE_AGAIN)
            restate(self._driver, blob)
            return
        driver.post(v.BlobCompleted(blob))

    def evict(self, effect: v.EvictBlob) -> None:
        """Effect EvictBlob."""
        with contextlib.suppress(NotFound):
            partial = not self._driver.store.blob(effect.blob).complete
            self._driver.spawn(self._evicted(effect.blob, partial=partial))
            return
        self._driver.post(v.BlobGone(effect.blob))

    async def _evicted(self, blob: BlobId, *, partial: bool) -> None:
        driver = self._driver
        try:
            async with driver.keeping:
                stored = driver.store.blob(blob)
                if stored.pinned or (partial and stored.complete):
                    restate(self._driver, blob)  # a user has put or pinned it meanwhile
                    return
                freed = await driver.in_store(driver.store.remove, blob)
            log.info("evicted %s, %d bytes freed", blob, freed)
        except NotFound:
            log.debug("%s was gone before it could be evicted", blob)
        except StoreError as error:
            driver.warn("evict", f"{blob} could not be evicted: {error}")
            restate(self._driver, blob)
            return
        driver.post(v.BlobGone(blob))

    def finished(self, report: v.FetchFinished) -> None:
        """A wanted blob is here, or given up: no need to go on after a restart."""
        self._driver.spawn(wished_no_more(self._driver, report.blob))
