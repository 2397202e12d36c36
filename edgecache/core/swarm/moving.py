"""Chunks that wait in a long line are taken back, and asked of a holder that has become free.

Theory of operation. A chunk that only one fellow has is asked of it by all the others at once, and waits there; soon
some have got it, and could give it, but everybody has asked already. So when a neighbour has nothing to do for us, and
all that it has is under way from others, the request made last is withdrawn: the one that waits at the end of a line.
Only when its holder refuses it, which says that it will not come, is it asked of somebody else; what is being sent
already comes all the same. So no chunk is sent twice; of one that is asked for in two units, the first may be. A chunk
is moved once, and not asked again of whom it was taken back from while somebody else has it; each neighbour is freed
one chunk at a time.
"""

from __future__ import annotations

from edgecache.core.swarm.blobs import ChunkRequest, Fetch, SwarmState
from edgecache.core.swarm.scoring import Neighbour
from edgecache.core.vocabulary import Outbox
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.instant import Instant
from edgecache.wire.messages import Cancel


class Moving:
    """Decides which request is withdrawn, and for whom."""

    def __init__(self, state: SwarmState) -> None:
        self._state = state

    def look(self, fetch: Fetch, ready: list[Neighbour], now: Instant, out: Outbox) -> None:
        """Withdraw a request for each neighbour that is free and could serve it; `ready` have room, and nothing else
        to be asked of them."""
        for free in ready:
            if not free.peer.requests and not free.promised:
                request = self._last_in_line(fetch, free, now)
                if request is not None:
                    request.promised, request.withdrawn_at = free, now
                    free.promised = True
                    out.send(request.neighbour.peer.node, Cancel(request.blob, (request.index,)))

    def _last_in_line(self, fetch: Fetch, free: Neighbour, now: Instant) -> ChunkRequest | None:
        size = fetch.picker.info.chunk_size if fetch.picker else CHUNK_BYTES
        patience = self._state.config.move_after * free.peer.expected(size)
        last: ChunkRequest | None = None
        for index, requests in fetch.flights.items():
            request = requests[0]
            if len(requests) > 1 or not free.have >> index & 1 or not self._may_move(fetch, request, free):
                continue
            if request.started + patience > now:
                self._state.wake_at(request.started + patience)
            elif last is None or request.started > last.started:
                last = request
        return last

    def _may_move(self, fetch: Fetch, request: ChunkRequest, free: Neighbour) -> bool:
        """Not what has begun to come; nor to a farther tier, a much slower peer, or from a partial holder to a complete
        one."""
        if request.received or request.promised is not None or request.index in fetch.moved:
            return False
        holder = request.neighbour
        if free.peer.goodput.rate < self._state.config.move_to_slower * holder.peer.goodput.rate:
            return False
        return holder is not free and free.peer.tier <= holder.peer.tier and holder.whole >= free.whole

    @staticmethod
    def refused(fetch: Fetch, request: ChunkRequest) -> None:
        """What was withdrawn will not come."""
        fetch.moved[request.index] = request.neighbour.peer.node

    @staticmethod
    def others(fetch: Fetch, index: int, holders: list[Neighbour]) -> list[Neighbour]:
        """Holders of a chunk but for whom it was taken back from, if there is another."""
        left = fetch.moved.get(index)
        return holders if left is None else [n for n in holders if n.peer.node != left] or holders
