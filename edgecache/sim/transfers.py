"""Both sides of a transfer on a virtual device: manifests and chunks asked of peers, and units that peers ask of us."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from edgecache.core.vocabulary import (
    BlobRead,
    CancelFetch,
    ChunkFailed,
    ChunkProgress,
    ChunkStored,
    Event,
    FetchChunk,
    FetchFailure,
    FetchManifest,
    LinkId,
    ManifestFailed,
    ManifestStored,
    RefuseUnit,
    RequestId,
    ServeUnit,
    UnitAsked,
    UnitServed,
    UnitWithdrawn,
)
from edgecache.model.content import CHUNK_BYTES, UNITS_AHEAD
from edgecache.model.errors import StoreFull
from edgecache.model.ids import BlobId
from edgecache.model.instant import Instant
from edgecache.sim.links import Link

if TYPE_CHECKING:
    from edgecache.sim.device import Device

REQUEST_BYTES = 120
"""A CoAP request for a chunk or a manifest page with its TLS record."""

ANSWER_BYTES = 60
"""What a CoAP answer has besides its payload."""

DIGEST_BYTES = 32


@dataclass(slots=True)
class _Fetch:
    """A FetchChunk or FetchManifest under way."""

    effect: FetchChunk | FetchManifest
    link: Link
    window: int
    size: int
    """Of the chunk; 0 for a manifest, which is no bulk."""
    began: Instant
    received: int = 0
    asked: int = 0
    """Bytes asked for, from the first on."""
    turn: int = 0
    """Counts what was asked for, so that a late time-out of an earlier unit is recognised."""


class Fetches:
    """What this device asks of its peers; at most the peer's window at once, the rest waits here."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self.bytes = 0
        """Of chunks that peers have been asked for, or will be when their windows allow it."""
        self._open: dict[RequestId, _Fetch] = {}
        self._asked: dict[LinkId, dict[RequestId, None]] = {}
        self._waiting: dict[LinkId, deque[RequestId]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def _forget(self, request: RequestId) -> _Fetch | None:
        """It is no longer open; what the core asked for that is in flight is less by it."""
        fetch = self._open.pop(request, None)
        if fetch is not None:
            self.bytes -= fetch.size
        return fetch

    def window_use(self) -> list[tuple[int, int]]:
        """For each link: chunk requests that the peer has, and how many it accepts."""
        fetch_of = self._open
        return [
            (len(asked), fetch_of[next(iter(asked))].window) for asked in self._asked.values() if asked
        ]

    def start(self, effect: FetchChunk | FetchManifest) -> None:
        """Carry out the effect; an event follows, unless it is cancelled."""
        device = self._device
        found = device.link_to(effect.peer)
        if found is None:
            device.soon(_failed(effect, FetchFailure.LINK_LOST))
            return
        link, window = found
        size = device.mesh.blobs[effect.blob].chunk_bytes(effect.index) if isinstance(effect, FetchChunk) else 0
        fetch = self._open[effect.request] = _Fetch(effect, link, window, size, device.now)
        self.bytes += size
        if isinstance(effect, FetchManifest):
            self._ask_manifest(fetch, effect)
            return
        asked = self._asked.setdefault(link.id, {})
        if len(asked) < window:
            asked[effect.request] = None
            self._ask_unit(fetch, effect)
        else:
            self._waiting.setdefault(link.id, deque()).append(effect.request)

    def clear(self) -> None:
        """A boot has ended."""
        self.bytes = 0
        self._open.clear()
        self._asked.clear()
        self._waiting.clear()

    def cancel(self, effect: CancelFetch) -> None:
        """Forget it; what still comes is dropped."""
        if (fetch := self._forget(effect.request)) is not None:
            self._done(fetch)

    def _done(self, fetch: _Fetch) -> None:
        """Its place in the window goes to the next."""
        link = fetch.link.id
        asked = self._asked.get(link)
        if asked is None or fetch.effect.request not in asked:
            return
        del asked[fetch.effect.request]
        waiting = self._waiting.get(link)
        while waiting and len(asked) < fetch.window:
            request = waiting.popleft()
            following = self._open.get(request)
            if following is not None and isinstance(following.effect, FetchChunk):
                asked[request] = None
                self._ask_unit(following, following.effect)

    def _ask_manifest(self, fetch: _Fetch, effect: FetchManifest) -> None:
        device, link = self._device, fetch.link
        provider = device.peer_of(link)
        device.network.send(link, device, REQUEST_BYTES, lambda: provider.serving.manifest(link, effect))
        device.later(effect.timeout, self._expired, effect.request, fetch.turn)

    def _ask_unit(self, fetch: _Fetch, effect: FetchChunk) -> None:
        """Ask for the next units, so many that `UNITS_AHEAD` are under way."""
        device, link = self._device, fetch.link
        provider = device.peer_of(link)
        while fetch.asked < min(fetch.size, fetch.received + UNITS_AHEAD * effect.unit):
            offset, fetch.asked = fetch.asked, fetch.asked + effect.unit
            device.network.send(link, device, REQUEST_BYTES, partial(provider.serving.asked, link, effect, offset))
        fetch.turn += 1
        device.later(effect.timeout, self._expired, effect.request, fetch.turn)

    def _expired(self, request: RequestId, turn: int) -> None:
        fetch = self._open.get(request)
        if fetch is not None and fetch.turn == turn:
            self._fail(fetch, FetchFailure.TIMEOUT)

    def _fail(self, fetch: _Fetch, reason: FetchFailure, retry_after: float = 0.0) -> None:
        self._forget(fetch.effect.request)
        self._done(fetch)
        self._device.deliver(_failed(fetch.effect, reason, retry_after))

    # ---- answers

    def manifest_arrived(self, request: RequestId, found: bool, genuine: bool) -> None:
        """The root or a page is here, or is not there."""
        fetch = self._open.get(request)
        if fetch is None or not isinstance(fetch.effect, FetchManifest):
            return
        effect, device = fetch.effect, self._device
        if not found or not genuine:
            self._fail(fetch, FetchFailure.CORRUPT if found else FetchFailure.NOT_FOUND)
            return
        if effect.page is None:
            held = device.disk.begin(device.mesh.blobs[effect.blob])
            held.wanted = not held.complete
        elif device.disk.get(effect.blob) is not None:
            held = device.disk.put_page(effect.blob, effect.page)
        else:
            self._fail(fetch, FetchFailure.NOT_FOUND)
            return
        self._forget(request)
        device.deliver(ManifestStored(request, effect.peer, held.info, effect.page, held.have))

    def unit_arrived(self, request: RequestId, size: int, genuine: bool) -> None:
        """A unit is here; the last one completes the chunk, which is verified before it is stored."""
        fetch = self._open.get(request)
        if fetch is None or not isinstance(fetch.effect, FetchChunk):
            return
        effect, device = fetch.effect, self._device
        fetch.received += size
        if fetch.received < fetch.size:
            self._ask_unit(fetch, effect)
            device.deliver(ChunkProgress(request, fetch.received))
            return
        self._forget(request)
        self._done(fetch)
        device.work(device.profile.chunk_work, self._store, effect, genuine, device.now - fetch.began)

    def _store(self, effect: FetchChunk, genuine: bool, elapsed: float) -> None:
        """A chunk that has come is verified and stored, whether it is still wanted or not."""
        device = self._device
        if not genuine and device.verifies:
            device.deliver(_failed(effect, FetchFailure.CORRUPT))
            return
        if device.disk.get(effect.blob) is None:
            device.deliver(_failed(effect, FetchFailure.NOT_FOUND))
            return
        try:
            stored = device.disk.put_chunk(effect.blob, effect.index, genuine=genuine)
        except StoreFull:
            device.deliver(_failed(effect, FetchFailure.STORE_FULL))
            return
        device.space_changed()
        device.deliver(ChunkStored(effect.request, effect.blob, effect.index, stored, elapsed))

    def refused(self, request: RequestId, retry_after: float) -> None:
        """4.04, or 5.03 with a Max-Age."""
        if (fetch := self._open.get(request)) is not None:
            self._fail(fetch, FetchFailure.REFUSED if retry_after else FetchFailure.NOT_FOUND, retry_after)

    def link_lost(self, link: Link) -> None:
        """Everything asked over it has failed."""
        self._asked.pop(link.id, None)
        self._waiting.pop(link.id, None)
        for fetch in [fetch for fetch in self._open.values() if fetch.link is link]:
            self._forget(fetch.effect.request)
            self._device.soon(_failed(fetch.effect, FetchFailure.LINK_LOST))


def _failed(effect: FetchChunk | FetchManifest, reason: FetchFailure, retry_after: float = 0.0) -> Event:
    if isinstance(effect, FetchManifest):
        return ManifestFailed(effect.request, effect.peer, effect.blob, reason)
    return ChunkFailed(effect.request, effect.blob, effect.index, reason, retry_after)


@dataclass(slots=True)
class _Unit:
    """A unit that a peer has asked for: where its answer goes, and what it is."""

    link: Link
    request: RequestId
    blob: BlobId
    index: int
    size: int


class Serving:
    """What peers ask of this device."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._units: dict[RequestId, _Unit] = {}
        self.asked_units = 0
        """Units that peers have asked for so far."""

    def __len__(self) -> int:
        return len(self._units)

    def clear(self) -> None:
        """A boot has ended."""
        self._units.clear()

    def what(self, request: RequestId) -> tuple[BlobId, int] | None:
        """Blob and chunk of a unit that was asked for and not yet sent."""
        unit = self._units.get(request)
        return (unit.blob, unit.index) if unit else None

    def manifest(self, link: Link, effect: FetchManifest) -> None:
        """Answered by the driver alone."""
        device = self._device
        held, page = device.disk.get(effect.blob), effect.page
        asker = device.peer_of(link)
        size = ANSWER_BYTES
        found = held is not None and (page is None or page in held.pages)
        if found and held is not None:
            count = held.info.pages if page is None else len(held.info.page_range(page))
            size += DIGEST_BYTES * (1 + count)
        genuine = not device.lies
        device.network.send(
            link, device, size, lambda: asker.fetches.manifest_arrived(effect.request, found, genuine)
        )
        if found and page is None:
            device.deliver(BlobRead(effect.blob))

    def asked(self, link: Link, effect: FetchChunk, offset: int) -> None:
        """A request has arrived: the core decides."""
        self.asked_units += 1
        here = RequestId(self.asked_units)
        device = self._device
        info = device.mesh.blobs[effect.blob]
        whole = info.chunk_bytes(effect.index)
        size = min(effect.unit, whole - offset)
        self._units[here] = _Unit(link, effect.request, effect.blob, effect.index, size)
        device.deliver(UnitAsked(
            here, device.peer_of(link).node, effect.blob, effect.index, size, whole, effect.priority
        ))

    def serve(self, effect: ServeUnit) -> None:
        """Read, verified, and queue; 4.04 when it is not here any more."""
        if (unit := self._units.get(effect.request)) is not None:
            work = self._device.profile.chunk_work * unit.size / CHUNK_BYTES
            self._device.work(work, self._read, effect, unit)

    def _read(self, effect: ServeUnit, unit: _Unit) -> None:
        if effect.request not in self._units:
            return
        device, link, request = self._device, unit.link, unit.request
        held = device.disk.get(unit.blob)
        if held is None or unit.index not in held.have:
            self._answer_no(unit, 0.0)
            device.later(0.0, self._withdraw, effect.request)
            return
        asker, size = device.peer_of(link), unit.size
        genuine = unit.index not in held.spoiled and not device.lies
        device.served_bytes += size
        device.network.send_bulk(
            link,
            device,
            size + ANSWER_BYTES,
            lambda: asker.fetches.unit_arrived(request, size, genuine),
            lambda: self._sent(effect.request),
        )

    def _sent(self, request: RequestId) -> None:
        if self._units.pop(request, None) is not None:
            self._device.deliver(UnitServed(request))

    def refuse(self, effect: RefuseUnit) -> None:
        """Say no."""
        if (unit := self._units.pop(effect.request, None)) is not None:
            self._answer_no(unit, effect.retry_after)

    def _answer_no(self, unit: _Unit, retry_after: float) -> None:
        device, request = self._device, unit.request
        asker = device.peer_of(unit.link)
        device.network.send(unit.link, device, ANSWER_BYTES, lambda: asker.fetches.refused(request, retry_after))

    def link_lost(self, link: Link) -> None:
        """Whoever asked over it is gone."""
        for request, unit in self._units.items():
            if unit.link is link:
                self._device.later(0.0, self._withdraw, request)

    def _withdraw(self, request: RequestId) -> None:
        if self._units.pop(request, None) is not None:
            self._device.deliver(UnitWithdrawn(request))
