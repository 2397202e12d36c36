"""Chunks: which is asked of whom now, and what happens when it comes or does not.

Theory of operation. After each event the machine fills windows: the rarest chunk that can be had from a neighbour with
room is asked of the best such neighbour, until windows, the global bound or the rate limit are full. Locality is a hard
tier: what a nearer neighbour holds is never asked of a farther one, even if that means waiting for room. Complete
holders are spared in a softer way: what a partial holder will have delivered soon is left to it. What is late
may be asked of a second neighbour (hedging.py); the first answer cancels the other. What waits in a long line is taken
back for one that has become free (moving.py).
"""

from __future__ import annotations

from edgecache.core.swarm.blobs import NEVER, Blob, ChunkRequest, Fetch, Phase, SwarmState
from edgecache.core.swarm.crossing import Crossing
from edgecache.core.swarm.hedging import Hedging
from edgecache.core.swarm.manifests import CORRUPT_WEIGHT, bar
from edgecache.core.swarm.moving import Moving
from edgecache.core.swarm.offer import Offer, rested
from edgecache.core.swarm.picker import Picker
from edgecache.core.swarm.scoring import Neighbour, choose
from edgecache.core.swarm.turns import Turns
from edgecache.core.vocabulary import (
    CancelFetch,
    ChunkFailed,
    ChunkProgress,
    ChunkStored,
    FetchChunk,
    FetchFailure,
    LinkBusy,
    Misbehaved,
    Outbox,
)
from edgecache.model.instant import Instant
from edgecache.model.pacing import TokenBucket, wire_bytes
from edgecache.model.priority import Priority
from edgecache.wire.messages import Cancel

_NOTHING_CAME = (FetchFailure.REFUSED, FetchFailure.NOT_FOUND, FetchFailure.TIMEOUT, FetchFailure.LINK_LOST)
"""What was asked for and did not come is given back to the rate limit. What was taken back is not: it may be on its
way, and then too little is fetched, never too much."""


class Chunks:
    """Starts, accounts for and ends chunk requests."""

    def __init__(self, state: SwarmState) -> None:
        self._state = state
        config = state.config
        self._tokens = TokenBucket(config.download_rate, config.download_rate * config.download_burst)
        self._turns = Turns()
        self._hedging = Hedging(state)
        self._moving = Moving(state)
        self._crossing = Crossing(config)
        self.full = False
        """When windows were last filled no room was left: as long as nothing ends or changes its pace, or somebody new
        has something, or wants it or no longer does, nothing can be asked for."""

    def limited(self, now: Instant) -> float:
        """Seconds until the rate limit allows another chunk."""
        return self._tokens.wait(now)

    # ---- asking

    def pump(self, now: Instant, out: Outbox) -> None:
        """Fill the windows: the most urgent class first, one chunk of each of its fetches in turn."""
        hungry = [blob for blob in self._state.fetching.values() if blob.fetch and blob.fetch.phase is Phase.FETCHING]
        groups = self._turns.groups(hungry, quiet=self._state.quiet)
        self.full = True
        for blob in self._turns.neglected(groups):
            offer = self._offer(blob, now)
            if offer is not None and self._start_one(offer, now, out):
                break
        for group in groups:
            offers = (self._offer(blob, now) for blob in group)
            able = [offer for offer in offers if offer is not None and self._start_one(offer, now, out)]
            while able:
                able = [offer for offer in able if self._lasts(offer, now) and self._start_one(offer, now, out)]

    def may_ask(self, now: Instant) -> bool:
        """Whether the limits of rate and memory allow to ask for content at this moment."""
        if not self._state.has_memory:
            return False
        if wait := self._tokens.wait(now):
            self._state.wake_at(now + wait)
            return False
        return True

    def _offer(self, blob: Blob, now: Instant) -> Offer | None:
        """What the neighbours offer to a fetch; None when nothing can be asked of any of them at this moment."""
        fetch = blob.fetch
        if fetch is None or fetch.picker is None or not self.may_ask(now):
            return None
        usable = rested(blob, fetch, self._state, now)
        ready = self._with_room(usable, fetch.picker)
        return Offer(blob, fetch, fetch.picker, usable, ready) if ready else None

    def _lasts(self, offer: Offer, now: Instant) -> bool:
        """Whether something of an offer is left after what was asked since."""
        offer.ready = self._with_room(offer.ready, offer.picker) if self.may_ask(now) else []
        return bool(offer.ready)

    def _with_room(self, neighbours: list[Neighbour], picker: Picker) -> list[Neighbour]:
        handling, crossing, askers = self._state.handling, self._crossing, picker.askers
        return [n for n in neighbours if n.peer.has_room(handling) and crossing.has_room(n.peer, handling, askers)]

    def _start_one(self, offer: Offer, now: Instant, out: Outbox) -> bool:
        """Ask for one chunk, if there is one to ask of those who are ready."""
        found = self._select(offer, now) if offer.picker.todo else None
        if found is None:
            self._moving.look(offer.fetch, offer.ready, now, out)
            found = self._hedging.choose(offer.fetch, offer.picker, offer.ready, now)
        if found is None:
            self.full = False
            return False
        self._ask(offer.fetch, offer.picker, *found, now, out)
        return True

    def _select(self, offer: Offer, now: Instant) -> tuple[int, Neighbour] | None:
        """A chunk and whom to ask for it: the nearest tier that has something that no nearer one holds."""
        config, ready = self._state.config, offer.ready
        among_us, tiers = offer.among_us, offer.tiers
        bias = config.whole_bias if offer.picker.missing & ~among_us else 1.0
        nearer = 0
        for tier in tiers:
            if tier[0].peer.elsewhere:
                nearer |= offer.blob.soon_back(config.crossing_patience, now)
            here = ready if len(tiers) == 1 else [n for n in ready if n.peer.tier == tier[0].peer.tier]
            index = self._pick(offer, here, tier, nearer, bias, now) if here else None
            if index is not None:
                holders = here if len(here) == 1 else [n for n in here if n.have >> index & 1]
                holders = self._moving.others(offer.fetch, index, holders)
                return index, choose(holders, offer.picker.info.chunk_size, bias, self._state.rng, config.exploration)
            for neighbour in tier:
                nearer |= neighbour.have
        return None

    def _pick(
        self, offer: Offer, ready: list[Neighbour], usable: list[Neighbour], nearer: int, bias: float, now: Instant
    ) -> int | None:
        """A chunk that one tier has: first what no leecher has, from whoever has it; then what leechers have, from
        them, and from others only what leechers without room will not have delivered about as soon."""
        config, rng = self._state.config, self._state.rng
        picker, among_us, size = offer.picker, offer.among_us, offer.picker.info.chunk_size
        ours = others = spared = 0
        soonest = first = NEVER
        for neighbour in ready:
            if neighbour.fellow:
                ours |= neighbour.have
            else:
                others |= neighbour.have
                soonest = min(soonest, neighbour.score(size, bias))
                first = min(first, neighbour.peer.expected(size))
        others &= picker.todo & ~nearer
        if not others:
            return picker.pick(ours & ~nearer, rng, config.random_first)
        least = config.crossing_patience if ready[0].peer.elsewhere else 0.0
        patience = min(max(config.left_patience * (first + self._state.news_delay), least), config.timeout_max)
        if (scarce := others & ~among_us) and (unclaimed := offer.unclaimed(scarce, patience, self._state, now)):
            index = picker.own(unclaimed)
            return picker.pick_for_others(unclaimed, rng) if index is None else index
        for neighbour in usable:
            if neighbour.fellow and neighbour.score(size, bias) <= soonest:
                spared |= neighbour.have
        return picker.pick((ours & ~nearer) | (others & among_us & ~spared), rng, config.random_first)

    def _ask(
        self, fetch: Fetch, picker: Picker, index: int, neighbour: Neighbour, now: Instant, out: Outbox
    ) -> None:
        peer, size, blob = neighbour.peer, picker.info.chunk_bytes(index), picker.info.blob
        askers = 1 if peer.elsewhere else picker.askers
        unit = min(peer.unit(askers, self._state.shared_unit), self._state.config.unit_most, picker.info.chunk_size)
        expected = peer.expected(size)
        request = ChunkRequest(
            self._state.next_request(), blob, neighbour, index, size, now, expected, priority=fetch.priority,
            unit=unit, late_at=now + expected * peer.lateness.bound(), crosses=peer.elsewhere,
        )
        timeout = peer.timeout(min(unit, size))
        if not peer.busy:
            peer.busy = True
            out.tell(LinkBusy(peer.node, True))
        peer.asked(size, now)
        if request.crosses:
            self._crossing.asked(size, now)
        if not neighbour.fellow and len(picker.shares) > 1:
            self._state.blobs[blob].claiming = True
            self._state.blobs[blob].crossing |= request.crosses
        fetch.rate.begin(now)
        picker.asked(index)
        fetch.left_at.pop(index, None)
        fetch.flights.setdefault(index, []).append(request)
        self._hedging.asked(fetch, request)
        neighbour.requests += 1
        self._state.chunks[request.request] = request
        self._state.inflight += size
        self._tokens = self._tokens.take(wire_bytes(size), now)
        out.effect(FetchChunk(request.request, peer.node, blob, index, unit, timeout, fetch.priority))

    def spend(self, size: int, now: Instant) -> None:
        """Content was asked for in another way; less than 0 when it came to less."""
        if size:
            self._tokens = self._tokens.take(wire_bytes(size), now)

    # ---- what came of it

    def progress(self, event: ChunkProgress, now: Instant) -> None:
        """A unit arrived."""
        request = self._state.chunks.get(event.request)
        if request is not None and request.received < event.received <= request.size:
            self._delivered(request, event.received, now)
            if (fetch := self._fetch_of(request)) is not None:
                fetch.progressed = now

    def _delivered(self, request: ChunkRequest, received: int, now: Instant) -> None:
        """So much of it is here by now."""
        request.neighbour.peer.delivered(received - request.received, now)
        if request.crosses:
            self._crossing.delivered(received - request.received, now)
        request.received = received

    def stored(self, event: ChunkStored, now: Instant, out: Outbox) -> ChunkRequest | None:
        """A chunk is here: account for it, cancel its other requests; None when it came of one that was taken back."""
        request = self._state.chunks.get(event.request)
        if request is None:
            blob = self._state.fetching.get(event.blob)
            if blob is not None and blob.fetch is not None:
                for other in list(blob.fetch.flights.get(event.index, ())):
                    self._cancel(other, now, out)
            return None
        request.neighbour.peer.lateness.add(event.elapsed, request.expected)
        storing = min(max(now - request.started - event.elapsed, 0.0), self._state.config.storing_max)
        self._state.storing += (storing - self._state.storing) / 8
        self._delivered(request, request.size, now)
        request.neighbour.peer.well()
        self._take(request, now)
        fetch = self._fetch_of(request)
        if fetch is not None:
            fetch.progressed = now
            for other in fetch.flights.pop(request.index, []):
                self._hedging.lost(fetch, other, now)
                self._cancel(other, now, out)
            fetch.rate.delivered(request.size, now)
            if not fetch.flights:
                fetch.rate.end(now)
        return request

    def failed(self, event: ChunkFailed, now: Instant, out: Outbox) -> Blob | None:
        """A chunk did not come: to be asked of others; returns the blob whose store is full, if that is why."""
        request = self._state.chunks.get(event.request)
        if request is None:
            return None
        self._take(request, now)
        blob = self._state.fetching.get(request.blob)
        if blob is not None and blob.fetch is not None:
            blob.fetch.wasted += request.received
        if event.reason in _NOTHING_CAME:
            self._tokens = self._tokens.take(-wire_bytes(request.size - request.received), now)
        if event.reason is FetchFailure.STORE_FULL:
            return blob
        if event.reason is FetchFailure.NOT_FOUND and request.promised is not None:
            if blob is not None and blob.fetch is not None:
                self._moving.refused(blob.fetch, request)
            return None
        self._blame(blob, request, event, now, out)
        return None

    def give_up(self, blob: Blob, now: Instant, out: Outbox) -> None:
        """Nothing of it is wanted any more: take all requests back."""
        assert blob.fetch is not None
        for request in [request for requests in blob.fetch.flights.values() for request in requests]:
            self._cancel(request, now, out)

    def take_back(self, neighbour: Neighbour, blob: Blob, now: Instant, out: Outbox, *, linked: bool) -> None:
        """Nothing is awaited of this neighbour any more: its chunks of this blob are to be asked of others."""
        fetch = blob.fetch
        if fetch is None:
            return
        mine = [r for requests in fetch.flights.values() for r in requests if r.neighbour is neighbour]
        for request in mine:
            self._cancel(request, now, out, tell=linked)

    def _blame(
        self, blob: Blob | None, request: ChunkRequest, event: ChunkFailed, now: Instant, out: Outbox
    ) -> None:
        config, neighbour = self._state.config, request.neighbour
        peer = neighbour.peer
        match event.reason:
            case FetchFailure.TIMEOUT:
                peer.lateness.add(now - request.started, request.expected)
                peer.strike(now, request.size / max(now - request.started, config.timeout_min))
                out.send(peer.node, Cancel(request.blob, (request.index,)))
            case FetchFailure.CORRUPT:
                why = f"sent a corrupt chunk {request.index} of {request.blob}"
                out.tell(Misbehaved(peer.node, CORRUPT_WEIGHT, why))
                if blob is not None:
                    self.take_back(neighbour, blob, now, out, linked=True)
                    bar(self._state, blob, peer.node)
            case FetchFailure.NOT_FOUND:
                if blob is not None and neighbour.peer.node in blob.neighbours:
                    blob.learn(neighbour, neighbour.have & ~(1 << request.index))
                    neighbour.heard = False
                peer.denials += 1
                if peer.denials >= config.denials_max:
                    peer.strike(now)
            case FetchFailure.REFUSED:
                pause = min(event.retry_after or config.cool_min, config.retry_after_max)
                peer.refused_until = max(peer.refused_until, now + pause)
                peer.rest(pause, now, spare_updates=request.priority is not Priority.OTA)
            case _:
                peer.rest(config.cool_min, now)

    def _fetch_of(self, request: ChunkRequest) -> Fetch | None:
        blob = self._state.fetching.get(request.blob)
        return blob.fetch if blob is not None else None

    def _cancel(self, request: ChunkRequest, now: Instant, out: Outbox, *, tell: bool = True) -> None:
        if request.request not in self._state.chunks:
            return
        self._take(request, now)
        out.effect(CancelFetch(request.request))
        if tell:
            out.send(request.neighbour.peer.node, Cancel(request.blob, (request.index,)))

    def _take(self, request: ChunkRequest, now: Instant) -> None:
        """A request is no longer under way; its chunk is to be asked for again unless somebody else is."""
        del self._state.chunks[request.request]
        self._state.inflight -= request.size
        request.neighbour.requests -= 1
        if request.promised is not None:
            request.promised.promised = False
        request.neighbour.peer.released(request.size - request.received, now)
        if request.crosses:
            self._crossing.released(request.size - request.received, now)
        fetch = self._fetch_of(request)
        if fetch is None or fetch.picker is None:
            return
        fetch.crossed += request.received if request.crosses else 0
        requests = fetch.flights.get(request.index)
        if requests is not None and request in requests:
            requests.remove(request)
            if not requests:
                del fetch.flights[request.index]
                fetch.picker.failed(request.index)
