"""The watchdog: finds the reason for a fetch's standstill in the state that decides, and has it logged.

Theory of operation. The reason is derived, never remembered: the same tables that let a chunk be asked for, or not, are
read in the same order, and the first thing in the way is the reason. So it cannot be out of date, and a fetch that
stands still without a reason would be a bug of this file.
"""

from __future__ import annotations

from collections.abc import Callable

from edgecache.core.swarm.blobs import Blob, Fetch, Phase, SwarmState
from edgecache.core.swarm.picker import Picker, bit_indexes
from edgecache.core.swarm.scoring import Neighbour
from edgecache.core.swarm.standing import (
    Completing,
    Limit,
    MissingEverywhere,
    Moving,
    NoLink,
    NoProvider,
    Seeking,
    Standing,
    StoreFull,
    Throttled,
    WaitingFor,
)
from edgecache.core.vocabulary import MachineName, Outbox, TimerKey, Warned
from edgecache.model.instant import Instant
from edgecache.model.priority import Priority

WATCH = TimerKey(MachineName.SWARM, "watch")
"""Fires while something is fetched: is it still moving?"""

_SHOWN = 16


class Watchdog:
    """Says why a fetch stands where it stands."""

    def __init__(self, state: SwarmState, limited: Callable[[Instant], float]) -> None:
        self._state, self._limited = state, limited
        self._watching = False

    # ---- the log

    def watch(self, now: Instant, out: Outbox) -> None:
        """Something is fetched: look at it from time to time."""
        if not self._watching:
            self._watching = True
            out.timer(WATCH, now + self._state.config.stall_after / 2)

    def look(self, now: Instant, out: Outbox) -> None:
        """Log each standstill once, and again when its reason is another."""
        self._watching = False
        for blob in self._state.fetching.values():
            assert blob.fetch is not None
            idle = now - blob.fetch.progressed
            if idle < self._state.config.stall_after:
                blob.fetch.stalled = ""
                continue
            reason = self.standing(blob, now)
            if reason.kind != blob.fetch.stalled:
                blob.fetch.stalled = reason.kind
                out.effect(Warned(f"stalled:{blob.blob}", f"{blob.blob} has not moved for {idle:.0f} s: {reason}"))
        if self._state.fetching:
            self.watch(now, out)

    # ---- the reason

    def standing(self, blob: Blob, now: Instant) -> Standing:
        """Where a fetch stands, and why."""
        fetch = blob.fetch
        assert fetch is not None
        if fetch.phase is Phase.COMPLETING:
            return Completing()
        if fetch.phase in (Phase.PAUSED, Phase.ROOM):
            return StoreFull(fetch.why, max(fetch.resume_at - now, 0.0))
        if fetch.picker is None:
            return self._root(blob, fetch, now)
        if fetch.flights and now - fetch.progressed < self._state.config.stall_after:
            return Moving(fetch.rate.rate)
        return self._asked(fetch, now) or self._unasked(blob, fetch, fetch.picker, now)

    def _root(self, blob: Blob, fetch: Fetch, now: Instant) -> Standing:
        """The size is not known yet."""
        holders = [neighbour for neighbour in blob.neighbours.values() if neighbour.have]
        return self._asked(fetch, now) or self._held_back(fetch, holders, now) or self._nobody(fetch)

    def _asked(self, fetch: Fetch, now: Instant) -> Standing | None:
        """What is under way: the request that is most overdue."""
        requests = [request for twice in fetch.flights.values() for request in twice]
        if requests:
            worst = max(requests, key=lambda request: now - request.started - request.expected)
            what = f"chunk {worst.index} ({worst.received} of {worst.size} bytes)"
            return WaitingFor(worst.neighbour.peer.node, what, now - worst.started, worst.expected)
        for page, request in fetch.manifests.items():
            what = "the manifest" if page is None else f"page {page} of the manifest"
            return WaitingFor(request.peer, what, now - request.started, request.timeout)
        return None

    def _unasked(self, blob: Blob, fetch: Fetch, picker: Picker, now: Instant) -> Standing:
        """Nothing is under way: what is in the way of the next request?"""
        holders = [n for n in blob.neighbours.values() if n.have & picker.missing]
        if not picker.obtainable() and holders and not picker.missing & picker.covered & picker.rarity.held():
            if picker.missing & ~picker.covered & picker.rarity.held():
                return self._held_back(fetch, holders, now) or Seeking()
            holders = []
        if not holders:
            nowhere = picker.nowhere()
            if fetch.searched and any(n.heard or n.have for n in blob.neighbours.values()):
                return MissingEverywhere(bit_indexes(nowhere, _SHOWN), nowhere.bit_count())
            return self._nobody(fetch)
        return self._held_back(fetch, holders, now) or self._left(blob, fetch, picker, now) or Seeking()

    def _held_back(self, fetch: Fetch, holders: list[Neighbour], now: Instant) -> Standing | None:
        """Limits of ours and of those who have something that is missing; None when one of them could be asked."""
        state = self._state
        if not holders:
            return None
        if state.quiet and fetch.priority is Priority.PREFETCH:
            return Throttled(Limit.QUIET)
        if wait := self._limited(now):
            return Throttled(Limit.DOWNLOAD, seconds=wait)
        if not state.has_memory:
            return Throttled(Limit.MEMORY)
        resting = [n.peer for n in holders if now < n.peer.resting_until(fetch.priority)]
        if len(resting) == len(holders):
            first = min(resting, key=lambda peer: peer.resting_until(fetch.priority))
            limit = Limit.REFUSAL if now < first.refused_until else Limit.PAUSE
            return Throttled(limit, first.node, first.resting_until(fetch.priority) - now)
        full = [n.peer for n in holders if n.peer not in resting and not n.peer.has_room(state.handling)]
        if len(full) + len(resting) == len(holders):
            return Throttled(Limit.WINDOW, full[0].node)
        return None

    def _left(self, blob: Blob, fetch: Fetch, picker: Picker, now: Instant) -> Standing | None:
        """What fellows have under way, and will give us: the one that has taken longest."""
        coming = [
            (since, index, neighbour.peer.node)
            for neighbour in blob.neighbours.values() if neighbour.fellow
            for index, since in neighbour.coming.items() if picker.missing >> index & 1
        ]
        if not coming:
            return None
        since, index, node = min(coming)
        return WaitingFor(node, f"chunk {index}, which it has under way", now - since, fetch.patience)

    def _nobody(self, fetch: Fetch) -> Standing:
        """No neighbour has any of it."""
        if known := [*fetch.linking, *fetch.candidates]:
            return NoLink(tuple(known[:_SHOWN]))
        return NoProvider() if fetch.searched else Seeking()
