"""What the command line can ask of the agent: each operation takes a request and a channel, and returns the reply."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from edgecache import __version__
from edgecache.adapters.control.server import Channel, Operation
from edgecache.core import vocabulary as v
from edgecache.daemon.engine import Engine
from edgecache.daemon.readings import ReadingsBoard
from edgecache.daemon.room import reported, room_for
from edgecache.daemon.transfers import held
from edgecache.model.errors import EdgecacheError, NotFound, StoreFull, UsageError
from edgecache.model.ids import BlobId, BlobRef, parse_blob_ref
from edgecache.ports import StoredBlob
from edgecache.wire.manifest import ManifestBuilder
from edgecache.wire.messages import Claim

EMPTY_BLOB = ManifestBuilder().finish().blob
FIND_TIMEOUT = 10.0
"""A blob of which nobody has even the manifest for so long is reported as not found."""
PROGRESS_INTERVAL = 0.1
"""Progress goes to the command line at most this often."""
PART_BYTES = 256 * 1024
"""Content is streamed to the command line in parts of so much."""


@dataclass(slots=True)
class _Waiters:
    """How many commands wait for a blob: the last to hang up ends the fetch."""

    count: dict[BlobId, int] = field(default_factory=dict)

    @contextlib.contextmanager
    def waiting(self, blob: BlobId) -> Iterator[None]:
        self.count[blob] = self.count.get(blob, 0) + 1
        try:
            yield
        finally:
            self.count[blob] -= 1
            if not self.count[blob]:
                del self.count[blob]


class Operations:
    """The agent's side of every command."""

    def __init__(self, driver: Engine, board: ReadingsBoard, facts: Mapping[str, Any]) -> None:
        self._driver, self._board, self._facts = driver, board, facts
        self._started = driver.clock.now()
        self._waiters = _Waiters()

    def table(self) -> dict[str, Operation]:
        """Operations by name."""
        return {
            "status": self.status, "peers": self.peers, "readings": self.readings, "ls": self.ls, "put": self.put,
            "get": self.get, "pin": self.pin, "unpin": self.unpin, "rm": self.remove,
        }

    # ---- views

    async def status(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """One screen about this node."""
        driver = self._driver
        peers, usage = driver.node.membership.peers(), await driver.in_store(driver.store.usage)
        served = driver.node.serving.served()
        return {
            **self._facts,
            "version": __version__,
            "uptime": round(driver.clock.now() - self._started, 1),
            "links": sum(peer.linked for peer in peers),
            "members": 1 + sum(peer.status.name == "ALIVE" for peer in peers),
            "blobs": len(await driver.in_store(driver.store.blobs)),
            "store": {
                "used": usage.used, "cap": usage.cap, "free_over_reserve": usage.free_over_reserve,
                "written": usage.written, "fsyncs": usage.fsyncs,
            },
            "served": served,
            "fetched": driver.node.swarm.received(),
            "bridge": driver.node.bridge.holder(driver.clock.now()),
        }

    async def peers(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """Everybody known, linked or not."""
        driver, now = self._driver, self._driver.clock.now()
        carried = {stats.peer: stats for stats in driver.links.stats()}
        rows = []
        for peer in driver.node.membership.peers():
            stats = carried.get(peer.node)
            rows.append({
                "node": peer.node, "name": peer.name, "site": peer.site, "status": peer.status.name.lower(),
                "linked": peer.linked, "overlay": peer.overlay, "seen_via": peer.via.value,
                "rtt": peer.rtt, "addresses": [str(address) for address in peer.addresses],
                "since": round(now - peer.since, 1), "sent": stats.sent if stats else 0,
                "received": stats.received if stats else 0,
            })  # fmt: skip
        return {"peers": rows}

    async def readings(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """Latest value of every series of every node; with `follow` changes as they come until the client hangs up."""
        if not request.get("follow"):
            return {"readings": self._board.rows()}
        changes: asyncio.Queue[None] = asyncio.Queue(maxsize=1)

        def changed(report: v.Report) -> None:
            if isinstance(report, v.MapChanged) and changes.empty():
                changes.put_nowait(None)

        stop = self._driver.listen(changed)
        gone: asyncio.Task[None] = asyncio.ensure_future(channel.closed())
        try:
            shown: dict[tuple[str, str], object] = {}
            while not gone.done():
                for row in self._board.rows():
                    key = (row["node"], row["series"])
                    if shown.get(key) != row["mark"]:
                        shown[key] = row["mark"]
                        await channel.say({"event": "reading", **row})
                change: asyncio.Task[None] = asyncio.ensure_future(changes.get())
                await asyncio.wait({change, gone}, return_when=asyncio.FIRST_COMPLETED)
                change.cancel()
            return {}
        finally:
            stop()
            gone.cancel()

    async def ls(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """Blobs held here."""
        return {"blobs": [_row(blob) for blob in await self._driver.in_store(self._driver.store.blobs)]}

    # ---- blobs

    async def put(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """Take the content that follows the request line; durable when this returns."""
        driver, size = self._driver, 0
        announced = request.get("size")
        async with room_for(driver, announced if isinstance(announced, int) else 0):
            draft = await driver.in_store(driver.store.draft)
            try:
                async for part in channel.content():
                    await driver.in_store(draft.write, part)
                    size += len(part)
                name, pin = str(request.get("name", "")), bool(request.get("pin", False))
                stored = await driver.in_store(lambda: draft.commit(name=name, pin=pin))
            except BaseException:
                await driver.in_store(draft.abort)
                raise
            driver.post(held(stored))
        info = stored.info
        return {"blob": info.blob, "size": size, "sha256": info.sha256.hex(), "chunks": info.chunks}

    async def get(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """Fetch a blob, report progress, and send its content when `content` is asked for."""
        driver = self._driver
        blob = await self._resolve(parse_blob_ref(str(request.get("blob", ""))))
        if request.get("wait") is False:
            driver.post(v.FetchWanted(blob))
            return {"blob": blob, "started": True}
        if blob == EMPTY_BLOB:
            await self._make_empty()
        async for report in self._fetch(blob, channel):
            await channel.say(_progress(report))
        stored = await driver.in_store(driver.store.blob, blob)
        driver.post(v.BlobRead(blob))
        if request.get("pin"):
            await self._set_pinned(blob, True)
        if request.get("content"):
            await channel.say({"event": "content", "size": stored.info.size})
            await self._send_content(stored, channel)
        views = [view for view in driver.node.swarm.fetches() if view.blob == blob]
        sources = {source.node: source.bytes for source in views[0].sources if source.bytes} if views else {}
        return {
            "blob": blob, "size": stored.info.size, "sha256": stored.info.sha256.hex(), "chunks": stored.info.chunks,
            "sources": sources,
        }

    async def _make_empty(self) -> None:
        """Nobody announces the blob without chunks, as there is nothing to hold; everybody can make it."""
        driver = self._driver
        draft = await driver.in_store(driver.store.draft)
        driver.post(held(await driver.in_store(lambda: draft.commit(name="", pin=False))))

    async def _send_content(self, stored: StoredBlob, channel: Channel) -> None:
        driver, info = self._driver, stored.info
        for index in range(info.chunks):
            await channel.send(await driver.in_store(driver.store.read, info.blob, index))
        await channel.end()

    async def _fetch(self, blob: BlobId, channel: Channel) -> AsyncIterator[v.FetchProgressed]:
        """Progress until the blob is here; raises when it cannot be. A client that hangs up ends the fetch."""
        driver = self._driver
        reports: asyncio.Queue[v.FetchProgressed | v.FetchFinished] = asyncio.Queue()

        def heard(report: v.Report) -> None:
            if isinstance(report, v.FetchProgressed | v.FetchFinished) and report.blob == blob:
                reports.put_nowait(report)

        stop = driver.listen(heard)
        gone: asyncio.Task[None] = asyncio.ensure_future(channel.closed())
        finished = False
        with self._waiters.waiting(blob):
            try:
                driver.post(v.FetchWanted(blob))
                async for report in _thinned(reports, gone):
                    if isinstance(report, v.FetchFinished):
                        finished = True
                        if report.failure:
                            raise (StoreFull if report.full else NotFound)(report.failure)
                        return
                    yield report
                raise EdgecacheError("the command hung up")
            finally:
                stop()
                gone.cancel()
                if not finished and self._waiters.count.get(blob) == 1:
                    driver.post(v.FetchUnwanted(blob))

    async def _resolve(self, ref: BlobRef) -> BlobId:
        """The one blob that `ref` names, here or in the mesh."""
        if ref.blob is not None:
            return ref.blob
        driver = self._driver
        found = set(await driver.in_store(lambda: driver.store.find(prefix=ref.prefix or "", sha256=ref.sha256)))
        if not found:
            found = {claim.blob for claim in await self._ask_around(ref)}
        if len(found) > 1:
            several = ", ".join(sorted(found)[:4])
            raise UsageError(f"{ref} names {len(found)} blobs", hint=f"give more characters: {several}")
        if not found:
            raise NotFound(f"nobody in reach has a blob {ref}", hint="`edgecache peers` shows who is in reach")
        return found.pop()

    async def _ask_around(self, ref: BlobRef) -> tuple[Claim, ...]:
        return (await reported(self._driver, v.Resolved, lambda report: report.ref == ref, v.ResolveWanted(ref))).claims

    async def _here(self, request: Mapping[str, Any]) -> BlobId:
        """The one blob of this store that the request names."""
        ref = parse_blob_ref(str(request.get("blob", "")))
        store = self._driver.store
        found = await self._driver.in_store(lambda: store.find(prefix=ref.blob or ref.prefix or "", sha256=ref.sha256))
        if len(found) > 1:
            raise UsageError(f"{ref} names {len(found)} blobs", hint="give more characters: " + ", ".join(found[:4]))
        if not found:
            raise NotFound(f"there is no blob {ref} here", hint="`edgecache ls` shows what is here")
        return found[0]

    async def pin(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """Never evict this blob."""
        return await self._set_pinned(await self._here(request), True)

    async def unpin(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """Let this blob be evicted when room is needed."""
        return await self._set_pinned(await self._here(request), False)

    async def _set_pinned(self, blob: BlobId, pinned: bool) -> Mapping[str, Any]:
        await self._driver.in_store(self._driver.store.set_pinned, blob, pinned)
        self._driver.post(v.BlobPinned(blob, pinned))
        return {"blob": blob, "pinned": pinned}

    async def remove(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """Drop a blob from this node."""
        blob = await self._here(request)
        stored = await self._driver.in_store(self._driver.store.blob, blob)
        if stored.pinned and not request.get("force"):
            raise UsageError(f"{blob} is pinned", hint="unpin it first, or use --force")
        self._driver.post(v.FetchUnwanted(blob))
        freed = await self._driver.in_store(self._driver.store.remove, blob)
        self._driver.post(v.BlobGone(blob))
        return {"blob": blob, "freed": freed}


async def _thinned(
    reports: asyncio.Queue[v.FetchProgressed | v.FetchFinished], gone: asyncio.Future[None]
) -> AsyncIterator[v.FetchProgressed | v.FetchFinished]:
    """The newest report, at most every PROGRESS_INTERVAL and at least every second; ends when the client hangs up.

    Raises NotFound when nothing is known of the blob for FIND_TIMEOUT.
    """
    loop = asyncio.get_running_loop()
    newest: v.FetchProgressed | None = None
    started = loop.time()
    while not gone.done():
        waiter = asyncio.ensure_future(reports.get())
        waiting: set[asyncio.Future[Any]] = {waiter, gone}
        await asyncio.wait(waiting, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
        if waiter.done():
            report = waiter.result()
            while not reports.empty() and not isinstance(report, v.FetchFinished):
                report = reports.get_nowait()
            if isinstance(report, v.FetchFinished):
                yield report
                return
            newest = report
        else:
            waiter.cancel()
        if newest is not None:
            yield newest
        if (newest is None or newest.info is None) and loop.time() - started > FIND_TIMEOUT:
            raise NotFound("nobody in reach has this blob", hint="`edgecache peers` shows who is in reach")
        await asyncio.wait({gone}, timeout=PROGRESS_INTERVAL)


def _row(stored: StoredBlob) -> dict[str, Any]:
    info = stored.info
    return {
        "blob": info.blob, "size": info.size, "sha256": info.sha256.hex(), "name": stored.name,
        "have": len(stored.have), "chunks": info.chunks, "complete": stored.complete, "pinned": stored.pinned,
        "wanted": stored.wanted, "added": stored.added,
    }


def _progress(report: v.FetchProgressed) -> dict[str, Any]:
    info = report.info
    return {
        "event": "progress", "blob": report.blob,
        "size": info.size if info else None, "chunks": info.chunks if info else None,
        "have": report.have, "sources": report.sources, "missing_nowhere": list(report.missing_nowhere),
        "store_full": report.store_full,
    }
