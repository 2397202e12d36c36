"""What the command line can ask of the agent: each operation takes a request and a channel, and returns the reply."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from edgecache import __version__
from edgecache.adapters.control.server import Channel, Operation
from edgecache.core import vocabulary as v
from edgecache.daemon.batches import ManyGets, put_many
from edgecache.daemon.engine import Engine
from edgecache.daemon.explaining import Explaining
from edgecache.daemon.getting import Getting, several
from edgecache.daemon.priorities import Priorities
from edgecache.daemon.putting import put
from edgecache.daemon.quiet import QuietHours
from edgecache.daemon.readings import ReadingsBoard
from edgecache.model.errors import NotFound, UsageError
from edgecache.model.ids import BlobId, NodeId, parse_blob_ref
from edgecache.ports import StoredBlob
from edgecache.wire.reading import series_of


class Operations:
    """The agent's side of every command."""

    def __init__(
        self, driver: Engine, board: ReadingsBoard, facts: Mapping[str, Any], *,
        priorities: Priorities | None = None, quiet: QuietHours | None = None,
    ) -> None:
        self._driver, self._board, self._facts = driver, board, facts
        self._quiet = quiet or QuietHours(driver, ())
        self._started = driver.clock.now()
        self._getting = Getting(driver, priorities or Priorities())

    def table(self) -> dict[str, Operation]:
        """Operations by name."""
        return {
            "status": self.status, "peers": self.peers, "readings": self.readings, "ls": self.ls, "put": self.put,
            "put-many": self.put_many, "get": self._getting.get, "get-many": self.get_many, "pin": self.pin,
            "unpin": self.unpin, "rm": self.remove, "explain": Explaining(self._driver).explain,
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
            "overhead": driver.node.swarm.overhead(),
            "bridge": driver.node.bridge.holder(driver.clock.now()),
            "strained": driver.node.swarm.strained,
            "quiet": self._quiet.view(),
            "yielding": {
                peer: {
                    "upload": round(view.upload), "download": round(view.download),
                    "upload_delay": round(view.upload_delay, 4), "download_delay": round(view.download_delay, 4),
                }
                for peer, view in driver.node.yielding.rates().items()
            },
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
                "weight": round(driver.node.serving.weight(peer.node, now), 3),
            })  # fmt: skip
        return {"peers": rows}

    async def readings(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """Latest value of every series of every node; with `follow` changes as they come until the client hangs up."""
        if not request.get("follow"):
            return {"readings": self._board.rows()}
        changed: dict[tuple[NodeId, str], None] = {}
        news = asyncio.Event()

        def heard(report: v.Report) -> None:
            if isinstance(report, v.MapChanged):
                changed.update({(report.owner, series): None for series in filter(None, map(series_of, report.keys))})
                news.set()

        stop = self._driver.listen(heard)
        gone: asyncio.Task[None] = asyncio.ensure_future(channel.closed())
        waiter: asyncio.Task[bool] | None = None
        try:
            for row in self._board.rows():
                await channel.say({"event": "reading", **row})
            while not gone.done():
                waiter = asyncio.ensure_future(news.wait())
                await asyncio.wait({waiter, gone}, return_when=asyncio.FIRST_COMPLETED)
                waiter.cancel()
                news.clear()
                series = list(changed)
                changed.clear()
                for node, name in series:
                    if (row_now := self._board.row(node, name)) is not None:
                        await channel.say({"event": "reading", **row_now})
            return {}
        finally:
            stop()
            gone.cancel()
            if waiter is not None:
                waiter.cancel()

    async def ls(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """Blobs held here."""
        return {"blobs": [_row(blob) for blob in await self._driver.in_store(self._driver.store.blobs)]}

    # ---- blobs

    async def put(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """Take the content that follows the request line; durable when this returns."""
        return await put(self._driver, request, channel)

    async def put_many(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """Take many blobs, each durable when it is acknowledged."""
        return await put_many(self._driver, request, channel)

    async def get_many(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """Fetch many blobs."""
        return await ManyGets(self._driver, self._getting, request, channel).run()

    async def _here(self, request: Mapping[str, Any], channel: Channel) -> BlobId:
        """The one blob of this store that the request names; a digest names only what has it."""
        ref = parse_blob_ref(str(request.get("blob", "")))
        store = self._driver.store
        found = await self._driver.in_store(lambda: store.find(prefix=ref.blob or ref.prefix or "", sha256=ref.sha256))
        if ref.sha256 is not None:
            found = sorted(await self._getting.attended(channel, self._getting.wholes.called(found, here=True)))
        if len(found) > 1:
            raise several(ref, found)
        if not found:
            raise NotFound(f"there is no blob {ref} here", hint="`edgecache ls` shows what is here")
        return found[0]

    async def pin(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """Never evict this blob."""
        return await self._set_pinned(await self._here(request, channel), True)

    async def unpin(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """Let this blob be evicted when room is needed."""
        return await self._set_pinned(await self._here(request, channel), False)

    async def _set_pinned(self, blob: BlobId, pinned: bool) -> Mapping[str, Any]:
        async with self._driver.keeping:
            await self._driver.in_store(self._driver.store.set_pinned, blob, pinned)
            self._driver.post(v.BlobPinned(blob, pinned))
        return {"blob": blob, "pinned": pinned}

    async def remove(self, request: Mapping[str, Any], channel: Channel) -> Mapping[str, Any]:
        """Drop a blob from this node."""
        blob = await self._here(request, channel)
        stored = await self._driver.in_store(self._driver.store.blob, blob)
        if stored.pinned and not request.get("force"):
            raise UsageError(f"{blob} is pinned", hint="unpin it first, or use --force")
        freed = await self._driver.in_store(self._driver.store.remove, blob)
        self._driver.post(v.BlobGone(blob))
        return {"blob": blob, "freed": freed}


def _row(stored: StoredBlob) -> dict[str, Any]:
    info = stored.info
    return {
        "blob": info.blob, "size": info.size, "sha256": info.sha256.hex(), "name": stored.name,
        "have": len(stored.have), "chunks": info.chunks, "complete": stored.complete, "pinned": stored.pinned,
        "wanted": stored.wanted, "added": stored.added,
    }
