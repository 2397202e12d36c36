"""Chunks and manifests from the store to the links: what peers ask for waits for its turn, which the core gives."""

from __future__ import annotations

import asyncio
import contextlib

from edgecache.core import vocabulary as v
from edgecache.daemon.engine import Engine, Lane, restate
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import NotFound, StoreCorrupt, StoreError
from edgecache.model.ids import BlobId, Digest, NodeId, sha256
from edgecache.model.priority import Priority
from edgecache.ports import ChunkStore, Part, Refusal, Whole
from edgecache.wire.messages import LARGE_CHUNKS, Hello

TURN_TIMEOUT = 60.0
"""A unit waits for its turn at least so long, at most twice: its asker has given up long before. One timer for all, as
one for each, that never fires, would cost more than the unit's way through the core."""


class Serving:
    """Requests of peers under way, by their number."""

    def __init__(self, driver: Engine) -> None:
        self._driver = driver
        self._turns: dict[v.RequestId, asyncio.Future[Refusal | None]] = {}
        self._sending: dict[tuple[NodeId, BlobId, int, int], list[v.RequestId]] = {}
        """Units on their way; a peer may ask for one again before the first has left."""
        self._looked_at: set[v.RequestId] = set()
        """Those that waited when `_look` came by last."""
        self._look_again: asyncio.TimerHandle | None = None
        self._large_chunks: set[NodeId] = set()
        """Linked peers that know them."""

    @property
    def under_way(self) -> bool:
        """Whether somebody is served, or waits for it, at this moment."""
        return bool(self._turns or self._sending)

    async def manifest(
        self, peer: NodeId, blob: BlobId, page: int | None, most: int, priority: Priority
    ) -> bytes | Whole:
        """The root or a page; instead of the root all of a blob of one chunk, in its turn, if it is small enough.

        NotFound when it is not here, or nothing for this peer.
        """
        store = self._driver.store
        stored = store.blob(blob)
        if stored.info.chunk_size > CHUNK_BYTES and peer not in self._large_chunks:
            raise NotFound(f"{blob} has chunks that this peer does not know")
        if page is not None:
            return await self._driver.in_store(store.page, blob, page)
        if stored.complete and stored.info.chunks == 1 and stored.info.size <= most:
            part = await self.unit(peer, blob, 0, None, 0, most, priority)
            if not isinstance(part, Refusal):
                if sha256(part.data) == stored.info.sha256:
                    return Whole(bytes(part.data))
                self.sent(peer, blob, 0, 0)  # the manifest lies about the whole: its reader would take us for the liar
        return store.root(blob)

    async def unit(
        self, peer: NodeId, blob: BlobId, index: int, digest: Digest | None, offset: int, size: int,
        priority: Priority = Priority.NORMAL,
    ) -> Part | Refusal:
        """Queue with the core, wait for the turn, read verified bytes."""
        driver, chunk = self._driver, _chunk_bytes(self._driver.store, blob, index)
        end = min(offset + size, chunk)
        if end <= offset:
            return Refusal()
        request = driver.next_request()
        turn: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        self._turns[request] = turn
        if self._look_again is None:
            self._look_again = asyncio.get_running_loop().call_later(TURN_TIMEOUT, self._look)

        def read() -> bytes:
            if digest is not None and driver.store.chunk_digest(blob, index) != digest:
                raise NotFound("that chunk is not in that blob")
            return driver.store.read(blob, index, offset, end - offset)

        try:
            driver.post(v.UnitAsked(request, peer, blob, index, end - offset, chunk, priority))
            if (refusal := await turn) is not None:
                return refusal
            data = driver.store.read_now(blob, index, digest, offset, end - offset)
            if data is None:
                data = await driver.in_store(read, lane=Lane.READ)
        except (NotFound, StoreError) as error:
            driver.post(v.UnitWithdrawn(request))
            if isinstance(error, StoreCorrupt):
                driver.warn(f"corrupt:{blob}", f"{blob}: {error}")
                restate(driver, blob)
            return Refusal()
        except BaseException:
            driver.post(v.UnitWithdrawn(request))
            raise
        finally:
            self._turns.pop(request, None)
        self._sending.setdefault((peer, blob, index, offset), []).append(request)
        return Part(data, end < chunk)

    def serve(self, effect: v.ServeUnit) -> None:
        """Effect ServeUnit."""
        self._turn(effect.request, None)

    def refuse(self, effect: v.RefuseUnit) -> None:
        """Effect RefuseUnit."""
        self._turn(effect.request, Refusal(effect.retry_after))

    def _turn(self, request: v.RequestId, answer: Refusal | None) -> None:
        turn = self._turns.get(request)
        if turn is not None and not turn.done():
            turn.set_result(answer)

    def _look(self) -> None:
        """Refuse what waited at the last look already."""
        waiting = {request for request, turn in self._turns.items() if not turn.done()}
        for request in self._looked_at & waiting:
            self._turn(request, Refusal())
            self._driver.post(v.UnitWithdrawn(request))
        self._looked_at = waiting
        loop = asyncio.get_running_loop()
        self._look_again = loop.call_later(TURN_TIMEOUT, self._look) if self._turns else None

    def sent(self, peer: NodeId, blob: BlobId, index: int, offset: int) -> None:
        """The last byte of a unit went to the socket."""
        key = (peer, blob, index, offset)
        requests = self._sending.get(key)
        if requests:
            request = requests.pop(0)
            if not requests:
                del self._sending[key]
            self._driver.post(v.UnitServed(request))

    def link_opened(self, hello: Hello) -> None:
        """A peer says what it knows."""
        if LARGE_CHUNKS in hello.features:
            self._large_chunks.add(hello.node)

    def link_closed(self, peer: NodeId, *, last: bool) -> None:
        """Units that were on their way over a link that is gone; `last`: no other link to that peer is left."""
        if last:
            self._large_chunks.discard(peer)
        for key in [key for key in self._sending if key[0] == peer]:
            for request in self._sending.pop(key):
                self._driver.post(v.UnitWithdrawn(request, sent=True))


def _chunk_bytes(store: ChunkStore, blob: BlobId, index: int) -> int:
    """Length of a chunk; 0 when there is none."""
    with contextlib.suppress(NotFound, IndexError):
        return store.blob(blob).info.chunk_bytes(index)
    return 0
