"""The manifest of a wanted blob: its root from one source, its pages from several."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecache.core.swarm.blobs import Blob, Fetch, ManifestRequest, Phase, SwarmState
from edgecache.core.swarm.picker import Picker
from edgecache.core.swarm.reports import announce
from edgecache.core.swarm.scoring import Neighbour
from edgecache.core.vocabulary import (
    CancelFetch,
    ChunkReceived,
    FetchFailure,
    FetchManifest,
    LinkBusy,
    ManifestFailed,
    ManifestStored,
    Misbehaved,
    Outbox,
    RoomWanted,
    WholeReceived,
)
from edgecache.model.content import BlobInfo
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant
from edgecache.wire.limits import SMALL_BYTES_MAX

if TYPE_CHECKING:
    from edgecache.core.swarm.chunks import Chunks

CORRUPT_WEIGHT = 5
"""Bytes that fail their digest: twice bans."""


class Manifests:
    """Asks for roots and pages, and takes what comes."""

    def __init__(self, state: SwarmState, chunks: Chunks) -> None:
        self._state, self._chunks = state, chunks

    def pump(self, blob: Blob, now: Instant, out: Outbox) -> None:
        """Ask for the root or for pages, as far as there is need, room and somebody to ask."""
        fetch = blob.fetch
        assert fetch is not None
        if fetch.phase is Phase.SEEKING:
            if not fetch.manifests:
                self._ask(blob, fetch, None, now, out)
        elif fetch.phase is Phase.FETCHING and fetch.picker is not None and fetch.picker.covered != fetch.picker.all:
            for page in range(fetch.picker.info.pages):
                if len(fetch.manifests) >= self._state.config.pages_in_flight:
                    return
                if not blob.pages >> page & 1 and page not in fetch.manifests:
                    self._ask(blob, fetch, page, now, out)

    def known(self, blob: Blob, info: BlobInfo) -> None:
        """The size of a wanted blob is known: chunks can be counted."""
        fetch = blob.fetch
        assert fetch is not None
        blob.info = info
        picker = fetch.picker = Picker(info, blob.have)
        blob.have = picker.have
        for page in range(info.pages):
            if blob.pages >> page & 1:
                picker.cover(info.page_range(page))
        for neighbour in blob.neighbours.values():
            bits, neighbour.have = blob.clip(neighbour.have, self._state.config), 0
            blob.learn(neighbour, bits)
        blob.reshare(self._state.me.node)

    def want_room(self, blob: Blob, out: Outbox) -> None:
        """Before chunks are asked for, the store must have room for what is missing."""
        assert blob.fetch is not None
        blob.fetch.phase = Phase.ROOM
        self._state.touch(blob.blob)
        out.tell(RoomWanted(blob.blob, blob.missing_bytes()))

    def stored(self, event: ManifestStored, now: Instant, out: Outbox) -> None:
        """A root or a page came."""
        request = self._state.manifests.pop(event.request, None)
        blob = self._state.fetching.get(request.blob) if request is not None else None
        if request is None or blob is None or blob.fetch is None or event.info.blob != blob.blob:
            return
        blob.fetch.manifests.pop(request.page, None)
        self._chunks.spend(-request.most, now)
        blob.fetch.progressed = now
        if (peer := self._state.peers.get(request.peer)) is not None:
            peer.well()
        if request.page is None:
            if blob.fetch.phase is Phase.SEEKING:
                blob.have |= event.have.bits
                self.known(blob, event.info)
                announce(blob, self._state.config.announce_steps, out)
        elif (picker := blob.fetch.picker) is not None:
            blob.pages |= 1 << request.page
            picker.cover(picker.info.page_range(request.page))

    def whole(self, event: WholeReceived, now: Instant, out: Outbox) -> None:
        """All of a small blob came instead of its root; that it is stored we hear of the store."""
        request = self._state.manifests.get(event.request)
        blob = self._state.fetching.get(request.blob) if request is not None else None
        if request is None or blob is None or request.storing:
            return
        request.storing = self._state.roomier = True
        self._chunks.spend(event.size - request.most, now)
        self._state.credit(blob, request.peer, event.size)
        out.tell(ChunkReceived(request.peer, event.size))
        if (peer := self._state.peers.get(request.peer)) is not None:
            peer.well()
            peer.used = now

    def failed(self, event: ManifestFailed, now: Instant, out: Outbox) -> Blob | None:
        """A root or a page did not come; returns the blob whose store is full, if that is why."""
        request = self._state.manifests.pop(event.request, None)
        blob = self._state.fetching.get(request.blob) if request is not None else None
        if request is None or blob is None or blob.fetch is None:
            return None
        blob.fetch.manifests.pop(request.page, None)
        if not request.storing:
            self._chunks.spend(-request.most, now)
        if event.reason is FetchFailure.STORE_FULL:
            return blob
        self._blame(blob, request, event.reason, now, out)
        return None

    def cancel(self, blob: Blob, out: Outbox) -> None:
        """Nothing of it is wanted any more."""
        assert blob.fetch is not None
        for request in blob.fetch.manifests.values():
            self._state.manifests.pop(request.request, None)
            out.effect(CancelFetch(request.request))
        blob.fetch.manifests.clear()

    def lost(self, blob: Blob, neighbour: Neighbour, out: Outbox) -> None:
        """The link to a neighbour is gone: what was asked of it is to be asked of others."""
        assert blob.fetch is not None
        for request in [r for r in blob.fetch.manifests.values() if r.peer == neighbour.peer.node and not r.storing]:
            del blob.fetch.manifests[request.page]
            self._state.manifests.pop(request.request, None)
            out.effect(CancelFetch(request.request))

    def _blame(self, blob: Blob, request: ManifestRequest, reason: FetchFailure, now: Instant, out: Outbox) -> None:
        peer, neighbour = self._state.peers.get(request.peer), blob.neighbours.get(request.peer)
        if peer is None:
            return
        if reason is FetchFailure.TIMEOUT:
            peer.strike(now)
        elif reason is FetchFailure.CORRUPT:
            what = "root" if request.page is None else f"page {request.page}"
            out.tell(Misbehaved(peer.node, CORRUPT_WEIGHT, f"sent a corrupt manifest {what} of {blob.blob}"))
            bar(self._state, blob, peer.node)
        elif reason is FetchFailure.NOT_FOUND and neighbour is not None:
            lost = neighbour.have if request.page is None or blob.info is None else self._page_bits(blob, request.page)
            blob.learn(neighbour, neighbour.have & ~lost)
            neighbour.heard = False
        else:
            peer.rest(self._state.config.cool_min, now)

    def _ask(self, blob: Blob, fetch: Fetch, page: int | None, now: Instant, out: Outbox) -> None:
        wanted = -1 if page is None else self._page_bits(blob, page)
        holders = [n for n in blob.neighbours.values() if n.have & wanted]
        for neighbour in holders:
            if now < (resting_until := neighbour.peer.resting_until(fetch.priority)):
                self._state.wake_at(resting_until)
        holders = [n for n in holders if now >= n.peer.resting_until(fetch.priority)]
        if not holders:
            return
        nearest = min(n.peer.tier for n in holders)
        holders = [n for n in holders if n.peer.tier == nearest]
        asked = [request.peer for request in fetch.manifests.values()]
        holders = [n for n in holders if n.peer.node not in asked] or holders
        small = page is None and all(n.have <= 1 for n in blob.neighbours.values())
        if small:
            holders = self._with_room(holders)
            if not holders or not self._chunks.may_ask(now):
                return
        peer = self._state.rng.choice(holders).peer
        timeout, most = self._state.config.manifest_timeout + peer.rtt, 0
        if small:
            most = min(SMALL_BYTES_MAX, self._state.config.unit_most)
            timeout += peer.expected(most)
            if not peer.busy:
                peer.busy = True
                out.tell(LinkBusy(peer.node, True))
            peer.used = now
        request = ManifestRequest(self._state.next_request(), blob.blob, peer.node, page, now, timeout, most)
        self._chunks.spend(most, now)
        fetch.manifests[page] = self._state.manifests[request.request] = request
        out.effect(FetchManifest(request.request, peer.node, blob.blob, page, timeout, most, fetch.priority))

    def _with_room(self, holders: list[Neighbour]) -> list[Neighbour]:
        """Those of whom not too many small blobs have been asked for."""
        asked: dict[NodeId, int] = {}
        for request in self._state.manifests.values():
            if request.most and not request.storing:
                asked[request.peer] = asked.get(request.peer, 0) + 1
        return [n for n in holders if asked.get(n.peer.node, 0) < min(n.peer.slots, self._state.config.small_in_flight)]

    def _page_bits(self, blob: Blob, page: int) -> int:
        assert blob.info is not None
        chunks = blob.info.page_range(page)
        return (1 << chunks.stop) - (1 << chunks.start)


def bar(state: SwarmState, blob: Blob, node: NodeId) -> None:
    """Ask this peer for nothing of this blob any more; what chunks were asked of it was taken back before."""
    fetch = blob.fetch
    if fetch is None:
        return
    while len(fetch.barred) >= state.config.barred_max:
        del fetch.barred[next(iter(fetch.barred))]
    fetch.barred[node] = None
    neighbour = blob.neighbours.get(node)
    if neighbour is not None:
        blob.learn(neighbour, 0)
        if not neighbour.wanting and not neighbour.requests:
            state.dismiss(blob, neighbour)
