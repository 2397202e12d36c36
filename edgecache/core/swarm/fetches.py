"""The life of a fetch, from "wanted here" to "here and verified", or to the sentence that says why not."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from edgecache.core.swarm.blobs import Blob, Fetch, Phase, SwarmState
from edgecache.core.swarm.chunks import Chunks
from edgecache.core.swarm.explain import Explanation, explain
from edgecache.core.swarm.manifests import Manifests
from edgecache.core.swarm.reports import FetchView, announce, view
from edgecache.core.swarm.scoring import Goodput
from edgecache.core.swarm.seeking import Seeking
from edgecache.core.swarm.standing import Ended
from edgecache.core.swarm.talk import Talk
from edgecache.core.vocabulary import BlobCompleted, CompleteBlob, FetchFinished, MachineName, Outbox, TimerKey
from edgecache.model.content import BlobInfo
from edgecache.model.ids import BlobId
from edgecache.model.instant import Instant
from edgecache.model.priority import Priority

_RATE_SPAN = 2.0
"""Seconds over which the rate of a fetch is smoothed, for people."""


def resume_timer(blob: BlobId) -> TimerKey:
    """Fires when a fetch that found the store full is tried again."""
    return TimerKey(MachineName.SWARM, "resume", blob)


@dataclass(frozen=True, slots=True)
class _Wish:
    """How a blob is wanted."""

    priority: Priority
    one_of_many: bool


class Fetches:
    """Moves fetches from phase to phase."""

    def __init__(self, state: SwarmState, talk: Talk, seeking: Seeking, manifests: Manifests, chunks: Chunks) -> None:
        self._state, self._talk, self._seeking = state, talk, seeking
        self._manifests, self._chunks = manifests, chunks
        self.waiting: dict[BlobId, _Wish] = {}
        """Wanted blobs whose turn has not come."""
        self.ended: deque[FetchView] = deque(maxlen=state.config.history_max)
        self.explained: deque[Explanation] = deque(maxlen=state.config.history_max)

    def want(
        self, blob_id: BlobId, now: Instant, out: Outbox, priority: Priority = Priority.NORMAL, *,
        one_of_many: bool = False,
    ) -> None:
        """Somebody wants it here, now or when it is its turn; the most urgent of those who do decides its class."""
        state = self._state
        blob = state.blobs.get(blob_id)
        if blob is not None and blob.complete:
            out.effect(FetchFinished(blob_id))
            return
        if blob is not None and blob.fetch is not None:
            blob.fetch.priority = min(blob.fetch.priority, priority)
            blob.fetch.told = ()
            state.touch(blob.blob)
            return
        if (wish := self.waiting.get(blob_id)) is not None:
            self.waiting[blob_id] = _Wish(min(wish.priority, priority), wish.one_of_many and one_of_many)
        elif not self._crowded():
            self._begin(blob_id, _Wish(priority, one_of_many), now, out)
        elif len(self.waiting) < state.config.waiting_max:
            self.waiting[blob_id] = _Wish(priority, one_of_many)
        else:
            failure = f"{len(self.waiting)} blobs are waiting to be fetched already; try again when some are done"
            out.effect(FetchFinished(blob_id, failure))

    def _crowded(self) -> bool:
        """Whether those who want more blobs have to wait."""
        fetching, config = self._state.fetching, self._state.config
        if len(fetching) < config.fetches_max:
            return False
        idle = min(sum(1 for blob in fetching.values() if blob.idle), config.idle_fetches_max)
        return len(fetching) - idle >= config.fetches_max

    def admit(self, now: Instant, out: Outbox) -> None:
        """Begin with what has waited for its turn: the most urgent class first, then who came first."""
        self._state.roomier = False
        while self.waiting and not self._crowded():
            blob_id = min(self.waiting, key=lambda waiting: self.waiting[waiting].priority)
            self._begin(blob_id, self.waiting.pop(blob_id), now, out)

    def came(self, blob_id: BlobId, out: Outbox) -> None:
        """It is here, and was not being fetched: perhaps it was to be."""
        if self.waiting.pop(blob_id, None) is not None:
            out.effect(FetchFinished(blob_id))

    def _begin(self, blob_id: BlobId, wish: _Wish, now: Instant, out: Outbox) -> None:
        state = self._state
        blob = state.blobs.get(blob_id) or Blob(blob_id)
        blob.fetch = Fetch(
            Goodput(_RATE_SPAN, 0.0), priority=wish.priority, one_of_many=wish.one_of_many, began=now, progressed=now
        )
        state.blobs[blob_id] = state.fetching[blob_id] = blob
        state.touch(blob.blob)
        if blob.info is not None:
            self._manifests.known(blob, blob.info)
            self.proceed(blob, now, out)
        if blob.wants:
            self._seeking.begin(blob, now, out)

    def unwanted(self, blob_id: BlobId, now: Instant, out: Outbox) -> None:
        """Nobody waits for it any more."""
        self.waiting.pop(blob_id, None)
        blob = self._state.fetching.get(blob_id)
        if blob is not None:
            self._end(blob, "stopped", "nobody waits for it any more", now, out)

    def proceed(self, blob: Blob, now: Instant, out: Outbox) -> None:
        """Once the size is known: complete it if all is here, else see that there is room for the rest."""
        fetch = blob.fetch
        if fetch is None or fetch.picker is None or fetch.phase is Phase.COMPLETING:
            return
        if fetch.picker.missing:
            if fetch.phase in (Phase.SEEKING, Phase.PAUSED):
                self._manifests.want_room(blob, out)
            return
        self._withdraw(blob, now, out)
        fetch.phase = Phase.COMPLETING
        fetch.progressed = now
        self._talk.hush(blob, out)
        self._state.touch(blob.blob)
        out.effect(CompleteBlob(blob.blob))

    def revised(self, blob: Blob, info: BlobInfo, now: Instant, out: Outbox) -> None:
        """The store holds other chunks of it than we thought: count again, and fetch what is missing."""
        assert blob.fetch is not None
        self._chunks.give_up(blob, now, out)
        self._manifests.cancel(blob, out)
        self._manifests.known(blob, info)
        if blob.fetch.phase is Phase.COMPLETING:
            blob.fetch.phase = Phase.SEEKING
            self._seeking.begin(blob, now, out)
        self.proceed(blob, now, out)

    def granted(self, blob_id: BlobId) -> None:
        """The store has room."""
        blob = self._state.fetching.get(blob_id)
        if blob is not None and blob.fetch is not None and blob.fetch.phase is Phase.ROOM:
            blob.fetch.phase = Phase.FETCHING
            self._state.touch(blob.blob)

    def refused(self, blob_id: BlobId, why: str, now: Instant, out: Outbox) -> None:
        """The store has no room: final while nothing of it is here, waited for on the way."""
        blob = self._state.fetching.get(blob_id)
        if blob is not None and blob.fetch is not None and blob.fetch.phase in (Phase.SEEKING, Phase.ROOM):
            if blob.fetch.full or blob.have:
                self.store_full(blob, why, now, out)
            else:
                self.finish(blob, why or "there is no room for it in the store", now, out, full=True)

    def store_full(self, blob: Blob, why: str, now: Instant, out: Outbox) -> None:
        """A write did not fit: pause, and try again for as long as somebody wants the blob."""
        fetch, config = blob.fetch, self._state.config
        if fetch is None or fetch.phase not in (Phase.SEEKING, Phase.ROOM, Phase.FETCHING):
            return
        fetch.full += 1
        fetch.why = why
        fetch.resume_at = now + config.store_retry
        fetch.phase = Phase.PAUSED
        self._state.roomier = True
        self._state.touch(blob.blob)
        out.timer(resume_timer(blob.blob), fetch.resume_at)

    def resume(self, blob: Blob, now: Instant, out: Outbox) -> None:
        """Try again after the store was full."""
        fetch = blob.fetch
        if fetch is None or fetch.phase is not Phase.PAUSED:
            return
        if fetch.picker is None:
            fetch.phase = Phase.SEEKING
            self._state.touch(blob.blob)
        else:
            self.proceed(blob, now, out)

    def completed(self, event: BlobCompleted, now: Instant, out: Outbox) -> None:
        """All of it is here, durably; of no interest when the blob was dropped meanwhile."""
        blob = self._state.blobs.get(event.blob)
        if blob is None or blob.info is None or blob.have.bit_count() < blob.info.chunks:
            return
        blob.complete = True
        announce(blob, self._state.config.announce_steps, out, at_once=True)
        if blob.fetch is not None and blob.fetch.phase is Phase.COMPLETING:
            self.finish(blob, "", now, out)

    def finish(self, blob: Blob, failure: str, now: Instant, out: Outbox, *, full: bool = False) -> None:
        """It is here, or it cannot be."""
        self._end(blob, "failed" if failure else "done", failure, now, out)
        out.effect(FetchFinished(blob.blob, failure, full))

    def forget(self, blob: Blob) -> None:
        """Nothing of it is here, and nobody wants it."""
        for neighbour in list(blob.neighbours.values()):
            self._state.dismiss(blob, neighbour)
        self._state.blobs.pop(blob.blob, None)

    def _end(self, blob: Blob, phase: str, failure: str, now: Instant, out: Outbox) -> None:
        assert blob.fetch is not None
        self._state.crossed += blob.fetch.crossed
        self._state.hedges += blob.fetch.hedges
        self._state.wasted += blob.fetch.wasted
        self.explained.append(explain(blob, self._state, Ended(failure), now, phase))
        self.ended.append(view(blob, self._state, phase))
        completing = blob.fetch.phase is Phase.COMPLETING
        if not completing:
            self._withdraw(blob, now, out)
        for neighbour in blob.neighbours.values():
            blob.learn(neighbour, 0)
            neighbour.heard = False
        blob.fetch = None
        del self._state.fetching[blob.blob]
        self._state.roomier = True
        if not completing:
            self._talk.hush(blob, out)
        self._seeking.unbusy(now, out, at_once=not self._state.fetching)
        if not blob.have and not blob.complete:
            self.forget(blob)

    def _withdraw(self, blob: Blob, now: Instant, out: Outbox) -> None:
        """Ask for nothing more."""
        self._chunks.give_up(blob, now, out)
        self._manifests.cancel(blob, out)
        self._seeking.end(blob, out)
        out.clear(resume_timer(blob.blob))
