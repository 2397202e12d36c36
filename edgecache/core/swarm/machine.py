"""The swarm machine.

Theory of operation. One `Blob` for each blob that is held or wanted, one `Peer` for each linked node, one `Neighbour`
where the two meet. Six parts share that state, and none of them waits for anything:

    seeking     claims and links: who might have it            seeking.py
    talk        have-sets: who does have it, who wants it      talk.py
    manifests   the root, then pages: what it consists of      manifests.py
    chunks      which chunk of whom (picker.py, scoring.py)    chunks.py
    fetches     the phases of a wanted blob                    fetches.py
    watchdog    why one stands still                           watchdog.py

Every event is first taken in, then windows are filled, then progress is reported. A fetch ends when the blob is here
and verified, when nobody wants it, or when the store has no room; when nobody has what is missing, it waits: links
that come up, messages that arrive and lookups that are repeated wake it. Chunk requests are the only thing that is
ever in flight for long, and each has its own deadline at the driver.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecache.core.swarm.blobs import NEVER, Blob, SwarmState, pages_here
from edgecache.core.swarm.chunks import Chunks
from edgecache.core.swarm.config import SwarmConfig
from edgecache.core.swarm.explain import Explanation, explain
from edgecache.core.swarm.fetches import Fetches
from edgecache.core.swarm.manifests import Manifests
from edgecache.core.swarm.reports import FetchView, announce, report, view
from edgecache.core.swarm.scoring import LAST_TIERS, Goodput, Peer
from edgecache.core.swarm.seeking import Seeking
from edgecache.core.swarm.standing import Moving, Standing
from edgecache.core.swarm.talk import Talk
from edgecache.core.swarm.watchdog import WATCH, Watchdog
from edgecache.core.vocabulary import (
    BlobCompleted,
    BlobGone,
    BlobHeld,
    ChunkFailed,
    ChunkProgress,
    ChunkReceived,
    ChunkStored,
    Event,
    FetchUnwanted,
    FetchWanted,
    HoldingChanged,
    Identity,
    LinkDown,
    LinkUnavailable,
    LinkUp,
    MachineName,
    ManifestFailed,
    ManifestStored,
    MapChanged,
    MessageReceived,
    Notice,
    Outbox,
    ProvidersFound,
    QuietChanged,
    RoomGranted,
    RoomRefused,
    RttMeasured,
    StrainChanged,
    TimerFired,
    TimerKey,
    UnitAsked,
    WholeReceived,
)
from edgecache.model.ids import BlobId, NodeId
from edgecache.model.instant import Instant
from edgecache.wire.messages import SERVES_LAST, Have

if TYPE_CHECKING:
    from random import Random

_PUMP = TimerKey(MachineName.SWARM, "pump")
"""Fires when something may be asked for that could not before: a pause or a limit ends."""


class Swarm:
    """Download planning of one node."""

    name = MachineName.SWARM
    hears = (
        LinkUp, LinkDown, RttMeasured, LinkUnavailable, ProvidersFound, RoomGranted, RoomRefused, FetchWanted,
        FetchUnwanted, BlobHeld, BlobGone, BlobCompleted, ManifestStored, ManifestFailed, ChunkProgress, ChunkStored,
        ChunkFailed, QuietChanged, StrainChanged, UnitAsked, WholeReceived,
    )
    hears_messages = (Have,)

    def __init__(self, me: Identity, config: SwarmConfig, rng: Random) -> None:
        state = self._state = SwarmState(me, config, rng)
        self._talk = Talk(state)
        self._seeking = Seeking(state, self._talk)
        self._chunks = Chunks(state)
        self._manifests = Manifests(state, self._chunks)
        self._fetches = Fetches(state, self._talk, self._seeking, self._manifests, self._chunks)
        self._watchdog = Watchdog(state, self._chunks.limited)
        self._alarm = NEVER

    # ---- what others may look at

    def fetches(self) -> list[FetchView]:
        """Fetches under way, then those that ended lately, latest first."""
        return [view(blob, self._state) for blob in self._state.fetching.values()] + list(reversed(self._fetches.ended))

    def explain(self, blob_id: BlobId, now: Instant) -> Explanation | None:
        """All about a fetch under way, or that ended lately; None when there was none."""
        blob = self._state.fetching.get(blob_id)
        if blob is not None:
            return explain(blob, self._state, self._watchdog.standing(blob, now), now)
        return next((one for one in reversed(self._fetches.explained) if one.blob == blob_id), None)

    def explained(self) -> list[BlobId]:
        """Blobs that `explain` knows of."""
        return list(dict.fromkeys([*self._state.fetching, *(one.blob for one in self._fetches.explained)]))

    def stalled(self, blob_id: BlobId, now: Instant) -> Standing | None:
        """Why a fetch stands still; None while it moves."""
        blob = self._state.fetching.get(blob_id)
        if blob is None or blob.fetch is None or now - blob.fetch.progressed < self._state.config.stall_shown:
            return None
        standing = self._watchdog.standing(blob, now)
        return None if isinstance(standing, Moving) else standing

    def overhead(self) -> dict[str, int]:
        """Since the start: bytes that `crossed` a site border, chunks asked for twice (`hedges`), bytes `wasted`."""
        state = self._state
        fetches = [blob.fetch for blob in state.fetching.values() if blob.fetch is not None]
        return {
            name: getattr(state, name) + sum(getattr(fetch, name) for fetch in fetches)
            for name in ("crossed", "hedges", "wasted")
        }

    @property
    def strained(self) -> bool:
        """Whether this device's processor is short."""
        return self._state.strained

    def received(self) -> dict[NodeId, int]:
        """Bytes of chunks that came from each peer since the start (a bounded number of peers)."""
        return dict(self._state.received)

    # ---- events

    def handle(self, event: Event | Notice | MapChanged, now: Instant, out: Outbox) -> None:
        """Take one event or notice, then ask for whatever may be asked for now."""
        match event:
            case MessageReceived(peer, Have() as message):
                known = self._have(peer, message, now, out)
                self._settle(now, out, ask=not (known and self._chunks.full))
                return
            case ChunkStored():
                self._chunk_stored(event, now, out)
            case ChunkProgress():
                self._chunks.progress(event, now)
            case UnitAsked():
                if (blob := self._state.blobs.get(event.blob)) is not None and blob.complete:
                    self._talk.asked(blob, event.index, now, out)
                return
            case TimerFired():
                self._timer(event.key, now, out)
            case ChunkFailed() | ManifestFailed() | ManifestStored():
                self._answered(event, now, out)
            case LinkUp() | LinkDown() | RttMeasured() | LinkUnavailable():
                self._link(event, now, out)
            case ProvidersFound():
                if (blob := self._state.fetching.get(event.blob)) is not None:
                    self._seeking.found(blob, event, now, out)
                    self._state.touch(blob.blob)
            case _:
                self._lifecycle(event, now, out)
        self._settle(now, out)

    def _lifecycle(self, event: Event | Notice | MapChanged, now: Instant, out: Outbox) -> None:
        match event:
            case FetchWanted():
                self._fetches.want(event.blob, now, out, event.priority, one_of_many=event.one_of_many)
            case FetchUnwanted():
                self._fetches.unwanted(event.blob, now, out)
            case RoomGranted():
                self._fetches.granted(event.blob)
            case RoomRefused():
                self._fetches.refused(event.blob, event.why, now, out)
            case BlobCompleted():
                self._fetches.completed(event, now, out)
            case BlobHeld():
                self._held(event, now, out)
            case WholeReceived():
                self._manifests.whole(event, now, out)
            case BlobGone():
                self._gone(event, now, out)
            case QuietChanged():
                self._state.quiet = event.until is not None
            case StrainChanged():
                self._state.strained = event.strained
            case _:
                pass

    def _settle(self, now: Instant, out: Outbox, *, ask: bool = True) -> None:
        """Fill windows, unless nothing can be asked for; set the alarm for what must wait, report what changed."""
        state = self._state
        if state.roomier:
            self._fetches.admit(now, out)
        if state.fetching:
            self._watchdog.watch(now, out)
            state.wake = NEVER
            for blob in state.fetching.values():
                self._manifests.pump(blob, now, out)
            if ask:
                self._chunks.pump(now, out)
            for blob in state.fetching.values():
                if blob.claiming:
                    self._talk.claim(blob, now, out)
            if state.wake < self._alarm:
                self._alarm = state.wake
                out.timer(_PUMP, state.wake)
        if state.touched:
            for blob_id in state.touched:
                if (touched := state.fetching.get(blob_id)) is not None:
                    report(touched, out)
            state.touched.clear()

    def _timer(self, key: TimerKey, now: Instant, out: Outbox) -> None:
        if key.name == _PUMP.name:
            self._alarm = NEVER
            return
        if key.name == WATCH.name:
            self._watchdog.look(now, out)
            return
        blob = self._state.blobs.get(BlobId(str(key.subject)))
        if blob is None:
            return
        if key.name == "flush":
            blob.flushing = False
            self._talk.flush(blob, out)
        elif blob.fetch is not None:
            if key.name == "refresh" and blob.wants:
                self._seeking.refresh(blob, now, out)
            elif key.name == "resume":
                self._fetches.resume(blob, now, out)

    # ---- links and messages

    def _link(self, event: LinkUp | LinkDown | RttMeasured | LinkUnavailable, now: Instant, out: Outbox) -> None:
        peers = self._state.peers
        match event:
            case LinkUp():
                peer = peers.get(event.peer)
                slots = max(event.hello.limits.window, 1)
                if peer is None:
                    config = self._state.config
                    prior = config.far_prior if event.tier >= 2 else config.near_prior
                    goodput = Goodput(config.goodput_span, prior)
                    peer = Peer(event.peer, event.tier, event.rtt, slots, config, goodput)
                    peers[event.peer] = peer
                peer.tier, peer.rtt, peer.slots = event.tier, event.rtt, slots
                if SERVES_LAST in event.hello.features:
                    peer.tier += LAST_TIERS
                self._seeking.linked(peer, now, out)
            case LinkDown():
                self._link_down(event.peer, now, out)
            case RttMeasured():
                if (peer := peers.get(event.peer)) is not None:
                    peer.rtt = event.rtt
            case LinkUnavailable():
                self._seeking.unavailable(event.peer, now, out)

    def _link_down(self, node: NodeId, now: Instant, out: Outbox) -> None:
        """What was asked of it is asked of others at once."""
        peer = self._state.peers.pop(node, None)
        if peer is None:
            return
        for blob_id in list(peer.blobs):
            blob = self._state.blobs[blob_id]
            neighbour = blob.neighbours[node]
            gave = bool(neighbour.have)
            if blob.fetch is not None:
                self._chunks.take_back(neighbour, blob, now, out, linked=False)
                self._manifests.lost(blob, neighbour, out)
            self._state.dismiss(blob, neighbour)
            if gave and blob.wants:
                self._seeking.source_lost(blob, now, out)
                self._state.touch(blob.blob)

    def _have(self, sender: NodeId, message: Have, now: Instant, out: Outbox) -> bool:
        """Returns whether the sender had something of it before, and wants the rest or not as before."""
        blob = self._state.blobs.get(message.blob)
        neighbour = blob.neighbours.get(sender) if blob is not None else None
        known = neighbour is not None and neighbour.have != 0 and neighbour.wanting == message.wanting
        self._talk.received(sender, message, now, out)
        self._state.touch(message.blob)
        return known

    # ---- what came of requests

    def _chunk_stored(self, event: ChunkStored, now: Instant, out: Outbox) -> None:
        request = self._chunks.stored(event, now, out)
        blob = self._state.blobs.get(event.blob)
        if blob is None or blob.info is None or not 0 <= event.index < blob.info.chunks:
            return
        if request is not None:
            self._state.credit(blob, request.neighbour.peer.node, request.size)
            out.tell(ChunkReceived(request.neighbour.peer.node, request.size))
        fetch, bit = blob.fetch, 1 << event.index
        if blob.have & bit:
            return
        blob.have |= bit
        if fetch is not None and fetch.picker is not None:
            fetch.full = 0
            fetch.picker.stored(event.index)
            fetch.moved.pop(event.index, None)
        self._talk.stored(blob, event.index, now, out)
        announce(blob, self._state.config.announce_steps, out)
        self._state.touch(blob.blob)
        if fetch is not None and fetch.picker is not None and not fetch.picker.missing:
            self._fetches.proceed(blob, now, out)

    def _answered(self, event: ChunkFailed | ManifestFailed | ManifestStored, now: Instant, out: Outbox) -> None:
        match event:
            case ManifestStored():
                self._manifests.stored(event, now, out)
                if (blob := self._state.fetching.get(event.info.blob)) is not None:
                    self._fetches.proceed(blob, now, out)
                return
            case ManifestFailed():
                full = self._manifests.failed(event, now, out)
            case ChunkFailed():
                full = self._chunks.failed(event, now, out)
        if full is not None:
            self._fetches.store_full(full, "", now, out)
        self._state.touch(event.blob)

    # ---- the store

    def _held(self, event: BlobHeld, now: Instant, out: Outbox) -> None:
        """The store's word on what it holds."""
        state, blob_id = self._state, event.info.blob
        blob = state.blobs.get(blob_id) or Blob(blob_id)
        state.blobs[blob_id] = blob
        everything = (1 << event.info.chunks) - 1
        before, blob.have = blob.have, everything if event.complete else event.have.bits & everything
        blob.info, blob.complete = event.info, event.complete
        blob.pages = pages_here(event.info, blob.have, event.pages)
        announce(blob, state.config.announce_steps, out, at_once=True)
        if blob.fetch is not None:
            if event.complete:
                self._fetches.finish(blob, "", now, out)
            else:
                self._fetches.revised(blob, event.info, now, out)
        elif event.complete:
            self._fetches.came(blob_id, out)
        elif event.wanted:
            self._fetches.want(blob_id, now, out, event.priority)
        if before != blob.have:
            self._talk.restate(blob, now, out)

    def _gone(self, event: BlobGone, now: Instant, out: Outbox) -> None:
        """The store has dropped it."""
        blob = self._state.blobs.get(event.blob)
        if blob is None:
            return
        if blob.fetch is not None:
            self._fetches.finish(blob, "it was removed from the store while it was being fetched", now, out)
        blob.have, blob.complete = 0, False
        if blob.info is not None and blob.announced:
            blob.announced = 0
            out.tell(HoldingChanged(blob.info, 0))
        self._talk.restate(blob, now, out)
        self._fetches.forget(blob)
