"""Who holds what: the conversation of Have messages about one blob.

Theory of operation. Whoever wants a blob opens with its own whole have-set and `wanting`; whoever holds some of it
answers with its own, and says in turn whether it wants. From then on each tells the other what is new, in batches,
as long as the other wants. A whole set is repeated to one peer only after `have_repeat`, so that two openings that
cross are not answered twice, and one that got lost with a link is answered when it is repeated.
"""

from __future__ import annotations

from edgecache.core.swarm.blobs import Blob, SwarmState
from edgecache.core.swarm.scoring import Neighbour, Peer
from edgecache.core.vocabulary import MachineName, Outbox, TimerKey
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId, NodeId
from edgecache.model.instant import Instant
from edgecache.wire.limits import COMING_MAX
from edgecache.wire.messages import Have

_NOTHING = HaveSet()


def flush_timer(blob: BlobId) -> TimerKey:
    """Fires when subscribers of a blob should hear what is new."""
    return TimerKey(MachineName.SWARM, "flush", blob)


class Talk:
    """Sends and takes Have messages."""

    def __init__(self, state: SwarmState) -> None:
        self._state = state

    def open(self, blob: Blob, peer: Peer, now: Instant, out: Outbox) -> None:
        """Ask a linked peer what it holds, and tell it what we do; nothing when it was told a moment ago."""
        neighbour = self._state.admit(blob, peer)
        if neighbour is not None and not self._told_lately(neighbour, now):
            self._tell(blob, neighbour, now, out)

    def received(self, sender: NodeId, message: Have, now: Instant, out: Outbox) -> None:
        """A peer's have-set: a claim, kept within bounds."""
        peer = self._state.peers.get(sender)
        if peer is None:
            return
        blob = self._state.blobs.get(message.blob)
        if blob is None:
            if message.wanting and message.full:
                out.send(sender, Have(message.blob, _NOTHING, full=True, wanting=False))
            return
        neighbour = blob.neighbours.get(sender)
        if neighbour is None:
            barred = blob.fetch is not None and sender in blob.fetch.barred
            if not message.wanting and (barred or not blob.wants or not message.have):
                return
            neighbour = self._state.admit(blob, peer)
            if neighbour is None:
                if message.wanting and message.full:
                    out.send(sender, Have(blob.blob, HaveSet(blob.have), full=True, wanting=False))
                return
        self._learn(blob, neighbour, message, now)
        repeat = message.full and not self._told_lately(neighbour, now)
        if message.wanting and (repeat or neighbour.told_at is None):
            self._tell(blob, neighbour, now, out)
        self._forget_if_useless(blob, neighbour)

    def stored(self, blob: Blob, index: int, now: Instant, out: Outbox) -> None:
        """A new chunk is here: subscribers hear of it soon."""
        listeners = blob.listeners
        blob.fresh |= 1 << index
        if not listeners:
            blob.fresh = 0
        elif blob.fresh.bit_count() >= max(self._state.config.delta_chunks, listeners):
            self.flush(blob, out)
        else:
            self._flush_soon(blob, now, out)

    def _flush_soon(self, blob: Blob, now: Instant, out: Outbox) -> None:
        config = self._state.config
        if not blob.flushing:
            blob.flushing = True
            delay = config.delta_delay * max(1.0, blob.listeners / config.delta_chunks)
            out.timer(flush_timer(blob.blob), now + max(delay, self._state.news_delay))

    def flush(self, blob: Blob, out: Outbox) -> None:
        """Tell subscribers who do not have it what is new: all of them the same, which is put into bytes only once."""
        if blob.flushing:
            blob.flushing = False
            out.clear(flush_timer(blob.blob))
        told, news = [n for n in blob.neighbours.values() if n.wanting and n.told_at is not None], blob.fresh
        coming = self._under_way(blob)
        for fellow, taken in ((True, coming), (False, ())):
            message = Have(blob.blob, HaveSet(news), full=False, wanting=blob.wants, coming=taken)
            new = news | HaveSet.of(taken).bits if blob.claiming else news
            for neighbour in told:
                if neighbour.fellow is fellow and new & ~neighbour.have:
                    out.send(neighbour.peer.node, message)
        blob.fresh = 0
        blob.claiming = blob.crossing = False
        blob.asked.clear()

    def claim(self, blob: Blob, now: Instant, out: Outbox) -> None:
        """What comes from others than fellows has changed: fellows hear of it soon, and leave it to us; at once when it
        crosses a site border, where two that ask for the same in one moment cost most."""
        if blob.crossing:
            self.flush(blob, out)
        else:
            self._flush_soon(blob, now, out)

    def asked(self, blob: Blob, index: int, now: Instant, out: Outbox) -> None:
        """Somebody asks us for a chunk of what we hold all of: it will soon be had from him, others may leave it."""
        assert blob.info is not None
        if index < blob.info.chunks and blob.listeners > 1:
            blob.asked[index] = None
            blob.claiming = True
            if len(blob.asked) == COMING_MAX:
                self.flush(blob, out)
            else:
                self.claim(blob, now, out)

    def hush(self, blob: Blob, out: Outbox) -> None:
        """We want no more of it: say so, with the last news; forget who only gave."""
        if blob.flushing:
            blob.flushing = False
            out.clear(flush_timer(blob.blob))
        for neighbour in list(blob.neighbours.values()):
            if neighbour.told_at is not None:
                news = HaveSet(blob.fresh) if neighbour.wanting else _NOTHING
                out.send(neighbour.peer.node, Have(blob.blob, news, full=False, wanting=False))
            self._forget_if_useless(blob, neighbour)
        blob.fresh = 0

    def restate(self, blob: Blob, now: Instant, out: Outbox) -> None:
        """What we hold changed at a stroke (a file was put, a blob removed): tell all who listen."""
        blob.fresh = 0
        for neighbour in list(blob.neighbours.values()):
            if neighbour.wanting or neighbour.told_at is not None:
                self._tell(blob, neighbour, now, out)
            self._forget_if_useless(blob, neighbour)

    def _learn(self, blob: Blob, neighbour: Neighbour, message: Have, now: Instant) -> None:
        if neighbour.wanting != message.wanting:
            if neighbour.wanting:
                neighbour.coming.replace((), now)  # it has it all by now, or has given up: nothing comes to it any more
            neighbour.wanting = message.wanting
            blob.reshare(self._state.me.node)
        if blob.fetch is None or neighbour.peer.node in blob.fetch.barred:
            return
        self._learn_coming(neighbour, message.coming, now)
        bits = blob.clip(message.have.bits, self._state.config)
        if message.full:
            neighbour.heard = blob.info is not None or bits == message.have.bits
        blob.learn(neighbour, bits if message.full else neighbour.have | bits)

    def _learn_coming(self, neighbour: Neighbour, coming: tuple[int, ...], now: Instant) -> None:
        """A fellow says all that is under way to it; a complete holder what is newly asked of it."""
        if neighbour.wanting:
            neighbour.coming.replace(coming, now)
        else:
            config = self._state.config
            neighbour.coming.add(coming, now, config.asked_memory, config.asked_max)

    def _tell(self, blob: Blob, neighbour: Neighbour, now: Instant, out: Outbox) -> None:
        neighbour.told_at = now
        coming = self._under_way(blob) if neighbour.fellow else ()
        out.send(neighbour.peer.node, Have(blob.blob, HaveSet(blob.have), True, blob.wants, coming))

    def _under_way(self, blob: Blob) -> tuple[int, ...]:
        """Chunks that come to us from others than fellows, the first few; or what was asked of us, who hold all."""
        if blob.fetch is None:
            return tuple(blob.asked)
        flights = blob.fetch.flights.items()
        coming = [index for index, requests in flights if not all(r.neighbour.fellow for r in requests)]
        return tuple(coming[:COMING_MAX])

    def _told_lately(self, neighbour: Neighbour, now: Instant) -> bool:
        return neighbour.told_at is not None and now - neighbour.told_at < self._state.config.have_repeat

    def _forget_if_useless(self, blob: Blob, neighbour: Neighbour) -> None:
        """A neighbour that neither wants nor gives makes room for others."""
        if neighbour.wanting or neighbour.requests:
            return
        if not blob.wants or (neighbour.heard and not neighbour.have):
            self._state.dismiss(blob, neighbour)
