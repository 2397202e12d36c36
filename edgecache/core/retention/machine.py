"""The retention machine: what the cache keeps, and room for what comes in.

Theory of operation. The cap is divided between what is held and what is promised: a fetch or a put asks for its bytes
beforehand and gets them all or a sentence why not. When they are not there, victims are planned in the order of
S3-FIFO, the store is asked to drop them, and the asker gets its answer when it has. Nobody overtakes: what an
earlier asker waits for is not given to a later one. Pins never go. A fetch leases its blob from its wish to its end,
readers and askers lease it for a while, so that nobody loses what is just being used.

The books are kept as the store keeps them: a blob that is here in part takes the room of the whole until it goes, and
what the store says of the disk has that taken off already.

    absent --room granted--> arriving --completed--> kept --planned--> leaving --BlobGone--> absent
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecache.core.retention.policy import plan_eviction
from edgecache.core.retention.s3fifo import S3Fifo
from edgecache.core.retention.wording import no_room, show_bytes
from edgecache.core.vocabulary import (
    BlobCompleted,
    BlobGone,
    BlobHeld,
    BlobPinned,
    BlobRead,
    ChunkFailed,
    ChunkStored,
    Event,
    EvictBlob,
    FetchFailure,
    FetchUnwanted,
    FetchWanted,
    Identity,
    MachineName,
    ManifestFailed,
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
from edgecache.model.ids import BlobId

if TYPE_CHECKING:
    from edgecache.core.retention.config import RetentionConfig
    from edgecache.model.instant import Instant

_LONG_AGO = float("-inf")


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
    """Bytes of it that are not here but have their room."""
    complete: bool = False
    pinned: bool = False
    fetching: bool = False
    leaving: bool = False
    leased_until: Instant = _LONG_AGO

    @property
    def size(self) -> int:
        """What it takes of the cap."""
        return self.held + self.promised


class Retention:
    """Admission and eviction."""

    name = MachineName.RETENTION
    hears = (
        BlobHeld, BlobPinned, BlobGone, BlobRead, BlobCompleted, ChunkStored, ChunkFailed, ManifestFailed, FetchWanted,
        FetchUnwanted, PutWanted, PutEnded, RoomWanted, StoreSpace, UnitAsked,
    )  # fmt: skip
    hears_messages = ()

    def __init__(self, me: Identity, config: RetentionConfig, cap: int) -> None:
        self._config, self._cap = config, cap
        self._queues = S3Fifo(cap, config)
        self._blobs: dict[BlobId, _Blob] = {}
        self._puts: dict[RequestId, int] = {}
        """Room promised to puts that are under way."""
        self._asking: dict[BlobId | RequestId, int] = {}
        """Who waits for room, first come first."""
        self._held = self._promised = self._putting = self._leaving = 0
        """Sums: bytes here, bytes of blobs to come, bytes of puts to come, sizes of the blobs that are leaving."""
        self._free: int | None = None
        """What the disk allows besides all that; None before anybody said."""
        self._warned = False
        self._fulls = 0
        self._no_relief_before: Instant = _LONG_AGO
        self._handlers = {
            BlobHeld: self._blob_held, BlobPinned: self._blob_pinned, BlobGone: self._blob_gone,
            BlobRead: self._blob_read, BlobCompleted: self._completed, ChunkStored: self._chunk_stored,
            ChunkFailed: self._write_failed, ManifestFailed: self._write_failed, FetchWanted: self._fetch_wanted,
            FetchUnwanted: self._fetch_unwanted, PutWanted: self._put_wanted, PutEnded: self._put_ended,
            RoomWanted: self._room_wanted, StoreSpace: self._space, UnitAsked: self._unit_asked,
        }  # fmt: skip

    def view(self) -> RetentionView:
        """How full the cache is."""
        return RetentionView(self._cap, self._held, self._promised + self._putting, self._pinned(), len(self._queues))

    def handle(self, event: Event | Notice | MapChanged, now: Instant, out: Outbox) -> None:
        """Take one event or notice."""
        self._handlers[type(event)](event, now, out)  # type: ignore[operator]

    # ---- what is here

    def _blob_held(self, event: BlobHeld, now: Instant, out: Outbox) -> None:
        info = event.info
        held = info.size if event.complete else info.bytes_of(event.have)
        blob = self._known(info.blob)
        self._no_longer_leaving(blob)
        self._redeem(info.size - blob.size)
        self._account(info.blob, blob, held, info.size - held)
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
        self._no_longer_leaving(blob)
        if self._free is not None:
            self._free += blob.size
        self._account(event.blob, blob, 0, 0)
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

    def _completed(self, event: BlobCompleted, now: Instant, out: Outbox) -> None:
        if (blob := self._blobs.get(event.blob)) is not None:
            blob.complete = True
            self._fetch_ended(event.blob, now, out)

    def _fetch_ended(self, name: BlobId, now: Instant, out: Outbox) -> None:
        if (blob := self._blobs.get(name)) is None:
            return
        self._asking.pop(name, None)
        blob.fetching = False
        self._drop_unused(name, blob)
        self._settle(now, out)

    def _chunk_stored(self, event: ChunkStored, now: Instant, out: Outbox) -> None:
        blob = self._known(event.blob)
        self._fulls = 0
        self._account(event.blob, blob, blob.held + event.size, max(0, blob.promised - event.size))

    def _room_wanted(self, event: RoomWanted, now: Instant, out: Outbox) -> None:
        self._known(event.blob).fetching = True
        self._ask(event.blob, event.need, now, out)

    def _put_wanted(self, event: PutWanted, now: Instant, out: Outbox) -> None:
        self._putting -= self._puts.pop(event.request, 0)
        self._ask(event.request, event.need, now, out)

    def _put_ended(self, event: PutEnded, now: Instant, out: Outbox) -> None:
        self._asking.pop(event.request, None)
        self._putting -= self._puts.pop(event.request, 0)
        self._settle(now, out)

    def _redeem(self, size: int) -> None:
        """What was put is here: its room must not count twice until PutEnded comes."""
        request = next((request for request, need in self._puts.items() if need == size), None)
        if request is not None:
            self._puts[request] = 0
            self._putting -= size

    # ---- the disk

    def _space(self, event: StoreSpace, now: Instant, out: Outbox) -> None:
        self._free = event.free_over_reserve
        self._settle(now, out)
        if self._free <= 0:
            self._relieve(self._config.disk_slack - self._free, now, out)

    def _write_failed(self, event: ChunkFailed | ManifestFailed, now: Instant, out: Outbox) -> None:
        """There was room by our books, but somebody else fills the disk: make room, more each time in a row."""
        if event.reason is not FetchFailure.STORE_FULL:
            return
        self._end_unless_repeated(event.blob, now)
        if now >= self._no_relief_before:
            self._no_relief_before = now + self._config.relief_pause
            self._relieve(self._config.disk_slack << self._fulls, now, out)
            self._fulls = min(self._fulls + 1, self._config.relief_doublings)

    def _end_unless_repeated(self, name: BlobId, now: Instant) -> None:
        """A fetch that got no room either asks again soon or has failed, which nobody tells."""
        if (blob := self._blobs.get(name)) is not None and blob.fetching:
            blob.fetching = False
            blob.leased_until = max(blob.leased_until, now + self._config.retry_lease)

    # ---- room

    def _ask(self, asker: BlobId | RequestId, need: int, now: Instant, out: Outbox) -> None:
        self._asking.pop(asker, None)
        self._asking[asker] = max(0, need)
        self._settle(now, out)

    def _settle(self, now: Instant, out: Outbox) -> None:
        """Answer whom it is possible to answer, evict for the others, and give back what is over the cap."""
        waiting = putting = 0
        for asker, need in list(self._asking.items()):
            blob = self._blobs[asker] if isinstance(asker, str) else None
            more = need if blob is None or blob.leaving else need - blob.promised
            by_cap, by_disk = self._over_cap(waiting + more), self._over_disk(putting + need) if blob is None else 0
            short = max(by_cap, by_disk)
            if short <= 0 and not (blob is not None and blob.leaving):
                self._grant(asker, need, out)
            elif short <= self._leaving or self._evict(short - self._leaving, now, out):
                waiting += more
                putting += need if blob is None else 0
            else:
                self._refuse(asker, need, now, out, by_disk=by_disk > by_cap)
        if (excess := self._over_cap(waiting)) > 0:
            self._relieve(excess, now, out)
        elif self._free is None or self._free > 0:
            self._warned = False

    def _over_cap(self, more: int) -> int:
        """Bytes by which the cap is exceeded if `more` is promised besides, as long as nothing has left."""
        return self._held + self._promised + self._putting + more - self._cap

    def _over_disk(self, more: int) -> int:
        """The same for the disk; fetches are left out, since the store has taken their room off."""
        return 0 if self._free is None else self._putting + more - self._free

    def _relieve(self, need: int, now: Instant, out: Outbox) -> None:
        """Free this much, beyond what is just leaving, as far as pins and leases allow."""
        if need <= self._leaving or self._evict(need - self._leaving, now, out, as_far_as=True) or self._warned:
            return
        self._warned = True
        short = show_bytes(need - self._leaving)
        text = f"{short} have to be freed on the disk or in the cache, and all that is cached is pinned or in use"
        out.effect(Warned("cache-full", text))

    def _evict(self, need: int, now: Instant, out: Outbox, *, as_far_as: bool = False) -> bool:
        plan = plan_eviction(self._queues, need, lambda name: self._may_go(name, now), as_far_as=as_far_as)
        self._queues = plan.after
        for name in plan.victims:
            blob = self._blobs[name]
            blob.leaving = True
            self._leaving += blob.size
            out.effect(EvictBlob(name))
        return plan.enough

    def _may_go(self, name: BlobId, now: Instant) -> bool:
        blob = self._blobs[name]
        return not blob.pinned and not blob.fetching and blob.leased_until <= now

    def _grant(self, asker: BlobId | RequestId, need: int, out: Outbox) -> None:
        del self._asking[asker]
        if isinstance(asker, str):
            blob = self._blobs[asker]
            self._account(asker, blob, blob.held, need)
            out.tell(RoomGranted(asker))
        else:
            self._puts[asker] = need
            self._putting += need
            out.effect(PutAdmitted(asker))

    def _refuse(self, asker: BlobId | RequestId, need: int, now: Instant, out: Outbox, *, by_disk: bool) -> None:
        del self._asking[asker]
        can_go = sum(self._blobs[name].size for name in self._queues.blobs() if self._may_go(name, now))
        stays = self._over_cap(0) + self._cap - self._leaving - can_go
        why = no_room(need, self._cap, self._pinned(), stays, by_disk=by_disk)
        if isinstance(asker, str):
            self._end_unless_repeated(asker, now)
            if not self._blobs[asker].size:
                del self._blobs[asker]
                out.effect(EvictBlob(asker))  # the store has its manifest already
            out.tell(RoomRefused(asker, why))
        else:
            out.effect(PutAdmitted(asker, why))

    # ---- the books

    def _known(self, name: BlobId) -> _Blob:
        return self._blobs.setdefault(name, _Blob())

    def _pinned(self) -> int:
        return sum(blob.size for blob in self._blobs.values() if blob.pinned)

    def _no_longer_leaving(self, blob: _Blob) -> None:
        if blob.leaving:
            blob.leaving = False
            self._leaving -= blob.size

    def _account(self, name: BlobId, blob: _Blob, held: int, promised: int) -> None:
        """The only place where bytes of a blob change; one that takes room is in the queues, unless it is leaving."""
        self._held += held - blob.held
        self._promised += promised - blob.promised
        grown = held + promised - blob.size
        blob.held, blob.promised = held, promised
        if blob.leaving:
            self._leaving += grown
        elif not blob.size:
            self._queues.remove(name)
        elif name in self._queues:
            if grown:
                self._queues.resize(name, blob.size)
        else:
            self._queues.admit(name, blob.size)
            if blob.pinned:
                self._queues.promote(name)

    def _drop_unused(self, name: BlobId, blob: _Blob) -> None:
        """Forget a blob of which nothing is here and nothing is to come."""
        if not blob.size and not blob.fetching:
            del self._blobs[name]
