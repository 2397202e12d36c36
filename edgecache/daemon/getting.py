"""`get`: from whatever a user calls a blob to its verified bytes, with progress on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Coroutine, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeVar

from edgecache.adapters.control.server import Channel
from edgecache.core import vocabulary as v
from edgecache.daemon.engine import Engine, Lane, held
from edgecache.daemon.priorities import Priorities, priority_of
from edgecache.daemon.putting import EMPTY_BLOB, make_empty
from edgecache.daemon.room import reported
from edgecache.daemon.wholes import LEASE_INTERVAL, Wholes
from edgecache.model.errors import EdgecacheError, NotFound, StoreFull, UsageError
from edgecache.model.ids import BlobId, BlobRef, parse_blob_ref
from edgecache.model.priority import Priority
from edgecache.ports import StoredBlob

FIND_TIMEOUT = 10.0
"""A blob of which nobody has even the manifest for so long is reported as not found."""
PROGRESS_INTERVAL = 0.2
"""Progress goes to the command line at most this often. Measured, eight agents on half a core: at 0.1 s a twentieth of
the CPU went into it ..."""
SILENCE_MAX = 1.0
"""... and at least this often, so that it knows that we live."""

_HASHING: dict[str, Any] = {
    "event": "progress", "blob": None, "size": None, "chunks": None, "have": 0, "sources": 0, "missing_nowhere": [],
    "store_full": False, "stalled": "computing the SHA-256 of the whole",
}

T = TypeVar("T")


class _Reports:
    """What the core reports of one wanted blob: the latest progress, and the end."""

    def __init__(self, driver: Engine, blob: BlobId) -> None:
        self._driver, self._blob = driver, blob
        self.newest: v.FetchProgressed | None = None
        self._began: float | None = None
        """Until then it waited for its turn."""
        self.end: asyncio.Future[v.FetchFinished] = asyncio.get_running_loop().create_future()

    def heard(self, report: v.FetchProgressed | v.FetchFinished) -> None:
        """The core reports."""
        if isinstance(report, v.FetchProgressed):
            self.newest = report
            self._began = self._began or asyncio.get_running_loop().time()
        elif not self.end.done():
            self.end.set_result(report)
            if not report.failure:
                self._driver.post(v.BlobRead(self._blob))  # now: a moment later it may have been evicted

    def over(self) -> bool:
        """Whether the blob is here; raises the reason when it cannot be."""
        if not self.end.done():
            return False
        end = self.end.result()
        if end.failure:
            raise (StoreFull if end.full else NotFound)(end.failure)
        return True

    def expect_a_manifest(self) -> None:
        """Raises NotFound when nobody had so much as the manifest for too long."""
        if self.newest is None or self.newest.info is not None or self._began is None:
            return
        if asyncio.get_running_loop().time() - self._began > FIND_TIMEOUT:
            raise NotFound("nobody in reach has this blob", hint="`edgecache peers` shows who is in reach")


class Getting:
    """Fetches that users wait for, and those that go on without anybody waiting."""

    def __init__(self, driver: Engine, priorities: Priorities) -> None:
        self._driver, self._priorities = driver, priorities
        self.wholes = Wholes(driver)
        self._waiting: dict[BlobId, int] = {}
        """Commands that wait for a blob: the last to hang up ends the fetch."""
        self._alone: dict[BlobId, None] = {}
        """Blobs that are fetched whether anybody waits or not."""
        self._following: dict[BlobId, list[_Reports]] = {}
        driver.listen(self._heard)

    def _heard(self, report: v.Report) -> None:
        if isinstance(report, v.FetchProgressed | v.FetchFinished):
            for reports in self._following.get(report.blob, ()):
                reports.heard(report)
        if isinstance(report, v.FetchFinished):
            self._alone.pop(report.blob, None)
            self._priorities.forget(report.blob)

    async def get(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """Fetch a blob, report progress, and send its content when `content` is asked for."""
        driver = self._driver
        pin = bool(request.get("pin", False))
        if request.get("wait") is False and (pin or request.get("content")):
            raise UsageError("pinning and reading a blob take the whole of it", hint="wait for it")
        priority = priority_of(request.get("priority", Priority.NORMAL.word))
        ref = parse_blob_ref(str(request.get("blob", "")))
        blob = await self.attended(channel, self.resolved(ref), show=True)
        if blob == EMPTY_BLOB:
            await make_empty(driver)
        if request.get("wait") is False:
            return await self._start(blob, priority)
        await self._fetch(blob, priority, channel)
        await self.attended(channel, self.check(blob, ref), show=True)
        stored = await self.kept(blob, pin=pin)
        if request.get("content"):
            await self.send_content(stored, channel, {"event": "content", "size": stored.info.size})
        views = [view for view in driver.node.swarm.fetches() if view.blob == blob]
        sources = {source.node: source.bytes for source in views[0].sources if source.bytes} if views else {}
        return {
            "blob": blob, "size": stored.info.size, "sha256": stored.info.sha256.hex(), "chunks": stored.info.chunks,
            "sha256_checked": ref.sha256 is not None, "sources": sources,
        }

    async def _start(self, blob: BlobId, priority: Priority) -> Mapping[str, Any]:
        """Fetch in the background."""
        self._alone[blob] = None
        async with self._waited_for(blob, v.FetchWanted(blob, priority=priority)) as reports:
            reports.over()
        return {"blob": blob, "started": True}

    async def kept(self, blob: BlobId, *, pin: bool) -> StoredBlob:
        """A blob that was fetched, as it is here now."""
        driver = self._driver
        if pin:
            async with driver.keeping:
                await driver.in_store(driver.store.set_pinned, blob, True)
                driver.post(v.BlobPinned(blob, True))
        return driver.store.blob(blob)

    async def check(self, blob: BlobId, ref: BlobRef) -> None:
        """Raises NotFound when a digest names something else than what is here."""
        if ref.sha256 is None:
            return
        right = self._driver.store.blob(blob).info.sha256 == ref.sha256 and await self.wholes.right(blob)
        if right is None:
            raise NotFound(f"{blob} is not all here any more", hint="get it again: only what is lost is fetched")
        if not right:
            raise NotFound(
                f"a peer says that {blob} is {ref}, and it is not", hint="get the blob by the ID that `put` printed"
            )

    async def first_chunk(self, stored: StoredBlob) -> bytes:
        """The beginning of a blob, perhaps all of it."""
        if not stored.info.chunks:
            return b""
        return await self._driver.in_store(self._driver.store.read, stored.info.blob, 0, lane=Lane.READ)

    async def send_content(
        self, stored: StoredBlob, channel: Channel, about: Mapping[str, Any], first: bytes | None = None
    ) -> None:
        """All of a blob, after the line that says so; `first` is its first chunk if that was read already."""
        driver, info = self._driver, stored.info
        loop = asyncio.get_running_loop()
        await channel.say(about)
        leased = loop.time()
        for index in range(info.chunks):
            if loop.time() - leased > LEASE_INTERVAL:
                driver.post(v.BlobRead(info.blob))
                leased = loop.time()
            if index or first is None:
                first = await driver.in_store(driver.store.read, info.blob, index, lane=Lane.READ)
            await channel.send(first)
        await channel.end()

    # ---- waiting

    async def _fetch(self, blob: BlobId, priority: Priority, channel: Channel) -> None:
        """Progress until the blob is here; raises when it cannot be. A client that hangs up ends the fetch."""
        gone: asyncio.Task[None] = asyncio.ensure_future(channel.closed())
        try:
            async with self._waited_for(blob, v.FetchWanted(blob, priority=priority)) as reports:
                await self._follow(reports, gone, channel)
        finally:
            gone.cancel()

    async def fetch_one_of_many(self, blob: BlobId, priority: Priority, over: asyncio.Future[None]) -> None:
        """Wait until the blob is here; raises when it cannot be, or when nobody waits for it any more: `over`."""
        driver = self._driver
        with suppress(NotFound):
            if driver.store.blob(blob).complete:
                driver.post(v.BlobRead(blob))
                return
        if blob == EMPTY_BLOB:
            await make_empty(driver)
            return
        async with self._waited_for(blob, v.FetchWanted(blob, priority=priority, one_of_many=True)) as reports:
            either: set[asyncio.Future[Any]] = {over, reports.end}
            while not reports.over():
                if over.done():
                    raise ConnectionAbortedError("the command hung up")
                reports.expect_a_manifest()
                await asyncio.wait(either, timeout=SILENCE_MAX, return_when=asyncio.FIRST_COMPLETED)

    @asynccontextmanager
    async def _waited_for(self, blob: BlobId, wish: v.FetchWanted) -> AsyncIterator[_Reports]:
        """Who waits for a blob meanwhile: when the last one has gone before its end, the fetch ends too."""
        if await self._mark(blob) and blob not in self._waiting:
            self._alone[blob] = None
        self._waiting[blob] = self._waiting.get(blob, 0) + 1
        self._priorities.set(blob, wish.priority)
        reports = _Reports(self._driver, blob)
        self._following.setdefault(blob, []).append(reports)
        stopping = False
        try:
            self._driver.post(wish)
            yield reports
        except asyncio.CancelledError:
            stopping = True  # the agent, not the fetch: it goes on after the restart
            raise
        finally:
            self._following[blob].remove(reports)
            self._waiting[blob] -= 1
            if not self._waiting[blob]:
                del self._waiting[blob], self._following[blob]
                if not reports.end.done() and blob not in self._alone and not stopping:
                    self._driver.spawn(self._give_up(blob))

    async def _mark(self, blob: BlobId) -> bool:
        """What is here in part is to go on after a restart; whether that was so before."""
        store = self._driver.store
        try:
            store.blob(blob)
        except EdgecacheError:
            return False

        def mark() -> bool:
            stored = store.blob(blob)
            if not stored.complete:
                store.set_wanted(blob, True)
            return stored.wanted

        try:
            return await self._driver.in_store(mark)
        except EdgecacheError:  # not here at all, or the disk is full: then it does not go on
            return False

    async def _follow(self, reports: _Reports, gone: asyncio.Future[None], channel: Channel) -> None:
        """News at most every PROGRESS_INTERVAL, the end at once."""
        loop = asyncio.get_running_loop()
        told = loop.time()
        shown: v.FetchProgressed | None = None
        first: set[asyncio.Future[Any]] = {gone, reports.end}
        while not reports.over():
            if gone.done():
                raise ConnectionAbortedError("the command hung up")
            newest = reports.newest
            if newest is not None and (newest is not shown or loop.time() - told >= SILENCE_MAX):
                shown, told = newest, loop.time()
                await channel.say(_progress(newest, self._driver))
            reports.expect_a_manifest()
            await asyncio.wait(first, timeout=PROGRESS_INTERVAL, return_when=asyncio.FIRST_COMPLETED)

    async def attended(self, channel: Channel, work: Coroutine[Any, Any, T], *, show: bool = False) -> T:
        """What comes of `work`; a client that hangs up meanwhile ends it. `show`: news if a whole blob is hashed."""
        working, gone = asyncio.ensure_future(work), asyncio.ensure_future(channel.closed())
        either: set[asyncio.Future[Any]] = {working, gone}
        try:
            while not working.done():
                await asyncio.wait(either, timeout=SILENCE_MAX, return_when=asyncio.FIRST_COMPLETED)
                if working.done():
                    break
                if gone.done():
                    raise ConnectionAbortedError("the command hung up")
                if show and self.wholes.hashing:
                    await channel.say(_HASHING)
            return await working
        finally:
            working.cancel()
            gone.cancel()

    async def _give_up(self, blob: BlobId) -> None:
        """Nobody waits any more. What is here of the blob stays, known to the core: it has its room in the store."""
        driver = self._driver
        driver.post(v.FetchUnwanted(blob))
        self._priorities.forget(blob)
        try:
            await driver.in_store(driver.store.set_wanted, blob, False)
            stored = await driver.in_store(driver.store.blob, blob)
        except NotFound:
            return
        except EdgecacheError as error:
            driver.warn("unwanted", f"{blob} could not be marked as unwanted: {error}")
            return
        if blob not in self._waiting and blob not in self._alone:
            driver.post(held(stored))

    # ---- names

    async def resolved(self, ref: BlobRef) -> BlobId:
        """The one blob that `ref` names, here or in the mesh."""
        if ref.blob is not None:
            return ref.blob
        driver = self._driver
        found = set(await driver.in_store(lambda: driver.store.find(prefix=ref.prefix or "", sha256=ref.sha256)))
        if ref.sha256 is not None:
            found = await self.wholes.called(found)
        if not found:
            answer = await reported(driver, v.Resolved, lambda report: report.ref == ref, v.ResolveWanted(ref))
            found = {claim.blob for claim in answer.claims}
            if ref.sha256 is not None:
                found = await self.wholes.called(found)
        if len(found) > 1:
            raise several(ref, found)
        if not found:
            raise NotFound(f"nobody in reach has a blob {ref}", hint="`edgecache peers` shows who is in reach")
        return found.pop()


def several(ref: BlobRef, found: Collection[BlobId]) -> UsageError:
    """What to say when one blob was meant."""
    what = "give more characters" if ref.sha256 is None else "they differ in their chunks, give an id"
    return UsageError(f"{ref} names {len(found)} blobs", hint=f"{what}: {', '.join(sorted(found)[:4])}")


def _progress(report: v.FetchProgressed, driver: Engine) -> dict[str, Any]:
    info = report.info
    stalled = driver.node.swarm.stalled(report.blob, driver.clock.now())
    return {
        "event": "progress", "blob": report.blob,
        "size": info.size if info else None, "chunks": info.chunks if info else None,
        "have": report.have, "sources": report.sources, "missing_nowhere": list(report.missing_nowhere),
        "store_full": report.store_full, "stalled": str(stalled) if stalled is not None else "",
    }
