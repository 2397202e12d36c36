"""The retention machine: what the cache keeps, and room for what comes in.

Theory of operation. The cap is divided between what is held and what is promised: a fetch or a put asks for its bytes
beforehand and gets them all or a sentence why not. When they are not there, victims are planned in the order of
S3-FIFO, the store is asked to drop them, and the asker gets its answer when it has. Nobody overtakes: what an
earlier asker waits for is not given to a later one. Pins never go. A fetch leases its blob from its wish to its end,
readers and askers lease it for a while, so that nobody loses what is just being used.

    absent --room granted--> arriving --verified--> kept --planned--> leaving --BlobGone--> absent
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecache.core.retention.policy import plan_eviction
from edgecache.core.retention.s3fifo import S3Fifo
from edgecache.core.retention.wording import no_room, show_bytes
from edgecache.core.vocabulary import (
    BlobGone,
    BlobHeld,
    BlobPinned,
    BlobRead,
    BlobVerified,
    ChunkStored,
    Event,
    EvictBlob,
    FetchUnwanted,
    FetchWanted,
    Identity,
    MachineName,
    MapChanged,
    Notice,
    Outbox,
    PutAdmitted,
    PutEnded,
    PutWanted,
    RequestId,
    RoomGranted,
    RoomRefused,
    RoomWanted,
    StoreSpace,
    UnitAsked,
    Warned,
)
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.ids import BlobId

if TYPE_CHECKING:
    from edgecache.core.retention.config import RetentionConfig
    from edgecache.model.instant import Instant


@dataclass(frozen=True, slots=True)
class RetentionView:
    """How full the cache is, in bytes."""

    cap: int
    held: int
    promised: int
    pinned: int
    blobs: int


@dataclass(slots=True)
class _Blob:
    """What is known of one blob."""

    held: int = 0
    promised: int = 0
    """Bytes that a fetch may still store."""
    complete: bool = False
    pinned: bool = False
    fetching: bool = False
    leaving: bool = False
    leased_until: Instant = float("-inf")


class Retention:
    """Admission and eviction."""

    name = MachineName.RETENTION
    hears = (
        BlobHeld, BlobPinned, BlobGone, BlobRead, BlobVerified, ChunkStored, FetchWanted, FetchUnwanted, PutWanted,
        PutEnded, RoomWanted, StoreSpace, UnitAsked,
    )  # fmt: skip
    hears_messages = ()

    def __init__(self, me: Identity, config: RetentionConfig, cap: int) -> None:
        self._config, self._cap = config, cap
        self._queues = S3Fifo(cap, config)
        self._blobs: dict[BlobId, _Blob] = {}
        self._puts: dict[RequestId, int] = {}
        self._asking: dict[BlobId | RequestId, int] = {}
        """Who waits for room, first come first."""
        self._held = self._promised = self._leaving = 0
        self._free: int | None = None
        """What the disk allows, as far as we know; None before anybody said."""
        self._pressed = False
        self._handlers = {
            BlobHeld: self._blob_held, BlobPinned: self._blob_pinned, BlobGone: self._blob_gone,
            BlobRead: self._blob_read, BlobVerified: self._verified, ChunkStored: self._chunk_stored,
            FetchWanted: self._fetch_wanted, FetchUnwanted: self._fetch_unwanted, PutWanted: self._put_wanted,
            PutEnded: self._put_ended, RoomWanted: self._room_wanted, StoreSpace: self._space,
            UnitAsked: self._unit_asked,
        }  # fmt: skip

    def view(self) -> RetentionView:
        """How full the cache is."""
        pinned = sum(blob.held + blob.promised for blob in self._blobs.values() if blob.pinned)
        return RetentionView(self._cap, self._held, self._promised, pinned, len(self._queues))

    def handle(self, event: Event | Notice | MapChanged, now: Instant, out: Outbox) -> None:
        """Take one event or notice."""
        self._handlers[type(event)](event, now, out)  # type: ignore[operator]

    # ---- what is here

    def _blob_held(self, event: BlobHeld, now: Instant, out: Outbox) -> None:
        info = event.info
        held = info.size if event.complete else len(event.have) * CHUNK_BYTES
        if not event.complete and info.chunks and info.chunks - 1 in event.have:
            held -= CHUNK_BYTES - info.chunk_bytes(info.chunks - 1)
        blob = self._known(info.blob)
        if blob.leaving:
            blob.leaving = False
            self._leaving -= blob.held
        self._redeem(held - blob.held - blob.promised)
        self._account(info.blob, blob, held, 0 if event.complete else blob.promised)
        blob.complete, blob.pinned = event.complete, event.pinned
        blob.fetching = not event.complete and (event.wanted or blob.fetching)
        if blob.pinned:
            self._queues.promote(info.blob)
        self._settle(now, out)

    def _blob_pinned(self, event: BlobPinned, now: Instant, out: Outbox) -> None:
        if (blob := self._blobs.get(event.blob)) is None:
            return
        blob.pinned = event.pinned
        if event.pinned:
            self._queues.promote(event.blob)
        else:
            self._settle(now, out)

    def _blob_gone(self, event: BlobGone, now: Instant, out: Outbox) -> None:
        if (blob := self._blobs.get(event.blob)) is None:
            return
        if blob.leaving:
            blob.leaving = False
            self._leaving -= blob.held
        if self._free is not None:
            self._free += blob.held
        self._account(event.blob, blob, 0, blob.promised)
        blob.complete = False
        self._drop_unused(event.blob, blob)
        self._settle(now, out)

    def _blob_read(self, event: BlobRead, now: Instant, out: Outbox) -> None:
        self._queues.use(event.blob)
        self._lease(event.blob, now)

    def _unit_asked(self, event: UnitAsked, now: Instant, out: Outbox) -> None:
        self._lease(event.blob, now)

    def _lease(self, name: BlobId, now: Instant) -> None:
        if (blob := self._blobs.get(name)) is not None:
            blob.leased_until = now + self._config.read_lease

    # ---- what comes in

    def _fetch_wanted(self, event: FetchWanted, now: Instant, out: Outbox) -> None:
        blob = self._known(event.blob)
        blob.pinned = blob.pinned or event.pin
        blob.fetching = not blob.complete
        if event.pin:
            self._queues.promote(event.blob)

    def _fetch_unwanted(self, event: FetchUnwanted, now: Instant, out: Outbox) -> None:
        self._fetch_ended(event.blob, now, out)

    def _verified(self, event: BlobVerified, now: Instant, out: Outbox) -> None:
        if (blob := self._blobs.get(event.blob)) is not None:
            blob.complete = event.ok
            self._fetch_ended(event.blob, now, out)

    def _fetch_ended(self, name: BlobId, now: Instant, out: Outbox) -> None:
        if (blob := self._blobs.get(name)) is None:
            return
        self._asking.pop(name, None)
        blob.fetching = False
        self._account(name, blob, blob.held, 0)
        self._drop_unused(name, blob)
        self._settle(now, out)

    def _chunk_stored(self, event: ChunkStored, now: Instant, out: Outbox) -> None:
        blob = self._known(event.blob)
        if self._free is not None:
            self._free -= event.size
        self._account(event.blob, blob, blob.held + event.size, max(0, blob.promised - event.size))

    def _room_wanted(self, event: RoomWanted, now: Instant, out: Outbox) -> None:
        blob = self._known(event.blob)
        blob.fetching = True
        self._account(event.blob, blob, blob.held, 0)
        self._ask(event.blob, event.need, now, out)

    def _put_wanted(self, event: PutWanted, now: Instant, out: Outbox) -> None:
        self._promised -= self._puts.pop(event.request, 0)
        self._ask(event.request, event.need, now, out)

    def _put_ended(self, event: PutEnded, now: Instant, out: Outbox) -> None:
        self._asking.pop(event.request, None)
        self._promised -= self._puts.pop(event.request, 0)
        self._settle(now, out)

    def _redeem(self, size: int) -> None:
        """What was put is here: its room must not count twice until PutEnded comes."""
        request = next((request for request, need in self._puts.items() if need == size), None)
        if request is not None:
            self._promised -= size
            self._puts[request] = 0

    def _space(self, event: StoreSpace, now: Instant, out: Outbox) -> None:
        self._free = event.free_over_reserve
        self._settle(now, out)

    # ---- room

    def _ask(self, asker: BlobId | RequestId, need: int, now: Instant, out: Outbox) -> None:
        self._asking.pop(asker, None)
        self._asking[asker] = max(0, need)
        self._settle(now, out)

    def _settle(self, now: Instant, out: Outbox) -> None:
        """Answer whom it is possible to answer, evict for the others, and give back what is too much."""
        waiting = 0
        for asker, need in list(self._asking.items()):
            short = self._short(waiting + need)
            if short <= 0:
                self._grant(asker, need, out)
            elif short <= self._leaving or self._evict(short - self._leaving, now, out):
                waiting += need
            else:
                self._refuse(asker, need, now, out)
        self._relieve(waiting, now, out)

    def _short(self, more: int) -> int:
        """Bytes missing, if `more` is promised besides, as long as nothing has left."""
        by_cap = self._held + self._promised + more - self._cap
        return by_cap if self._free is None else max(by_cap, self._promised + more - self._free)

    def _relieve(self, waiting: int, now: Instant, out: Outbox) -> None:
        """The cap was lowered, or somebody else fills the disk: go back, as far as pins and leases allow."""
        slack = self._config.disk_slack if self._free is not None and self._free <= 0 else 0
        excess = self._short(waiting + slack) - self._leaving
        if excess <= 0:
            self._pressed = False
        elif not self._evict(excess, now, out, as_far_as=True) and not self._pressed:
            self._pressed = True
            text = f"the cache is {show_bytes(excess)} over its bounds, and all that is in it is pinned or in use"
            out.effect(Warned("cache-full", text))

    def _evict(self, need: int, now: Instant, out: Outbox, *, as_far_as: bool = False) -> bool:
        plan = plan_eviction(self._queues, need, lambda name: self._may_go(name, now), as_far_as=as_far_as)
        self._queues = plan.after
        for name in plan.victims:
            blob = self._blobs[name]
            blob.leaving = True
            self._leaving += blob.held
            out.effect(EvictBlob(name))
        return plan.enough

    def _may_go(self, name: BlobId, now: Instant) -> bool:
        blob = self._blobs[name]
        return blob.held > 0 and not blob.pinned and not blob.fetching and blob.leased_until <= now

    def _grant(self, asker: BlobId | RequestId, need: int, out: Outbox) -> None:
        del self._asking[asker]
        if isinstance(asker, str):
            blob = self._blobs[asker]
            self._account(asker, blob, blob.held, need)
            out.tell(RoomGranted(asker))
        else:
            self._puts[asker] = need
            self._promised += need
            out.effect(PutAdmitted(asker))

    def _refuse(self, asker: BlobId | RequestId, need: int, now: Instant, out: Outbox) -> None:
        del self._asking[asker]
        can_go = sum(self._blobs[name].held for name in self._queues.blobs() if self._may_go(name, now))
        pinned = sum(blob.held + blob.promised for blob in self._blobs.values() if blob.pinned)
        by_disk = self._free is not None and self._promised + need - self._free > can_go + self._leaving
        why = no_room(need, self._cap, pinned, self._held + self._promised - self._leaving - can_go, by_disk=by_disk)
        if isinstance(asker, str):
            out.tell(RoomRefused(asker, why))
        else:
            out.effect(PutAdmitted(asker, why))

    # ---- the books

    def _known(self, name: BlobId) -> _Blob:
        return self._blobs.setdefault(name, _Blob())

    def _account(self, name: BlobId, blob: _Blob, held: int, promised: int) -> None:
        """The only place where bytes of a blob change; a blob with bytes is in the queues, unless it is leaving."""
        self._held += held - blob.held
        self._promised += promised - blob.promised
        if blob.leaving:
            self._leaving += held - blob.held
        blob.held, blob.promised = held, promised
        if blob.leaving:
            return
        if name in self._queues:
            self._queues.resize(name, held + promised)
        elif held + promised:
            self._queues.admit(name, held + promised)
            if blob.pinned:
                self._queues.promote(name)

    def _drop_unused(self, name: BlobId, blob: _Blob) -> None:
        """Forget a blob of which nothing is here and nothing is to come."""
        if not blob.held and not blob.promised and not blob.fetching:
            self._queues.remove(name)
            del self._blobs[name]
