"""Second requests for chunks that are late ("The Tail at Scale", Dean and Barroso, CACM 2013).

Theory of operation. A request that has taken longer than 95 % of its peer's usually do, or that is among the last few
of a blob and would come much sooner from somebody else, is made once more of another holder; the first answer cancels
the other. Three rules keep that from costing more than it gains. It takes the place of nothing else: only a holder that
nothing better can be asked of is asked. Each second request costs a token, and tokens come with first requests: when
everything is slow there are soon none. And it never crosses a site border: a crossing that is late is most likely
waiting for its turn there, and a dead one ends with its time-out.
"""

from __future__ import annotations

from edgecache.core.swarm.blobs import NEVER, ChunkRequest, Fetch, SwarmState
from edgecache.core.swarm.picker import Picker
from edgecache.core.swarm.scoring import Neighbour
from edgecache.model.instant import Instant


class Hedging:
    """Decides which chunk is asked for a second time, and of whom."""

    def __init__(self, state: SwarmState) -> None:
        self._state = state
        self._tokens = float(state.config.hedge_burst)

    def asked(self, fetch: Fetch, request: ChunkRequest) -> None:
        """A request was made: a first one earns, a second one costs."""
        config = self._state.config
        if len(fetch.flights[request.index]) > 1:
            self._tokens -= 1
            fetch.hedges += 1
        else:
            self._tokens = min(self._tokens + config.hedge_share, config.hedge_burst)
            fetch.hedge_at = min(fetch.hedge_at, request.late_at)

    def choose(
        self, fetch: Fetch, picker: Picker, ready: list[Neighbour], now: Instant
    ) -> tuple[int, Neighbour] | None:
        """A chunk to ask for once more and whom, or None; `ready` have room, and nothing else to be asked of them."""
        if not fetch.flights:
            return None
        last = self._last_few(fetch, picker)
        if not last and now < fetch.hedge_at:
            self._state.wake_at(fetch.hedge_at)
            return None
        fetch.hedge_at = NEVER
        for index, requests in fetch.flights.items():
            late = requests[0]
            if len(requests) > 1:
                continue
            if not last and now < late.late_at:
                fetch.hedge_at = min(fetch.hedge_at, late.late_at)
                continue
            helper = self._helper(late, ready, now)
            if helper is not None and self._tokens >= 1:
                fetch.hedge_at = now
                return index, helper
            fetch.hedge_at = min(fetch.hedge_at, now + self._state.config.hedge_check)
        self._state.wake_at(fetch.hedge_at)
        return None

    def _last_few(self, fetch: Fetch, picker: Picker) -> bool:
        """Whether this is the end-game: all that can be had is under way, and it is little."""
        config = self._state.config
        few = max(config.endgame_chunks, int(picker.info.chunks * config.endgame_fraction))
        return len(fetch.flights) <= few and not picker.obtainable()

    def _helper(self, late: ChunkRequest, ready: list[Neighbour], now: Instant) -> Neighbour | None:
        """Another holder, in this site, that is expected to be much sooner."""
        others = [n for n in ready if n is not late.neighbour and n.have >> late.index & 1 and not n.peer.elsewhere]
        moving = late.promised is not None and now < late.withdrawn_at + self._state.config.move_answer
        if moving or not others:
            return None
        best = min(others, key=lambda n: n.peer.expected(late.size))
        sooner = best.peer.expected(late.size) * self._state.config.hedge_gain < late.remaining(now)
        return best if sooner else None

    def lost(self, fetch: Fetch, loser: ChunkRequest, now: Instant) -> None:
        """The other one came first: what came of this one was for nothing; a peer that sent nothing in all that time
        is demoted, for its request will not time out any more."""
        fetch.wasted += min(loser.size, loser.received + loser.unit)
        if now >= loser.late_at and loser.neighbour.peer.heard < loser.started:
            loser.neighbour.peer.goodput.punish(loser.size / max(now - loser.started, self._state.config.timeout_min))
