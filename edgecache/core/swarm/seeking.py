"""Who might have it: claims from the directory, links to those who claim, asked again while a blob is incomplete."""

from __future__ import annotations

from edgecache.core.swarm.blobs import Blob, Fetch, SwarmState
from edgecache.core.swarm.scoring import Peer
from edgecache.core.swarm.talk import Talk
from edgecache.core.vocabulary import (
    LinkBusy,
    LinkWanted,
    MachineName,
    Outbox,
    ProvidersFound,
    ProvidersUnwanted,
    ProvidersWanted,
    TimerKey,
)
from edgecache.model.ids import BlobId, NodeId
from edgecache.model.instant import Instant


def refresh_timer(blob: BlobId) -> TimerKey:
    """Fires when providers of a blob are to be looked up again."""
    return TimerKey(MachineName.SWARM, "refresh", blob)


class Seeking:
    """Finds neighbours for fetches."""

    def __init__(self, state: SwarmState, talk: Talk) -> None:
        self._state, self._talk = state, talk

    def begin(self, blob: Blob, now: Instant, out: Outbox) -> None:
        """A fetch begins: ask the directory, and at once everybody we are linked to, nearest first; not them when it is
        one of many."""
        fetch = blob.fetch
        assert fetch is not None
        if not fetch.one_of_many:
            self._ask_around(blob, now, out)
        self._soon(blob, now, out)
        out.tell(ProvidersWanted(blob.blob, any_whole=fetch.one_of_many))

    def _ask_around(self, blob: Blob, now: Instant, out: Outbox) -> None:
        peers = sorted(self._state.peers.values(), key=lambda peer: peer.tier)
        for peer in peers[: self._state.config.asked_first]:
            self._talk.open(blob, peer, now, out)

    def source_lost(self, blob: Blob, now: Instant, out: Outbox) -> None:
        """Look again soon, if the other sources do not have what is missing."""
        assert blob.fetch is not None
        picker = blob.fetch.picker
        if picker.nowhere() if picker is not None else not any(n.have for n in blob.neighbours.values()):
            self._soon(blob, now, out)

    def refresh(self, blob: Blob, now: Instant, out: Outbox) -> None:
        """Look again, and repeat what was not answered."""
        fetch, config = blob.fetch, self._state.config
        assert fetch is not None
        fetch.refresh = min(fetch.refresh * 2, config.refresh_max)
        self._schedule(blob, fetch, now, out)
        for node in [node for node, since in fetch.linking.items() if now - since >= config.link_patience]:
            del fetch.linking[node]
        for neighbour in list(blob.neighbours.values()):
            if not neighbour.heard and neighbour.peer.node not in fetch.barred:
                self._talk.open(blob, neighbour.peer, now, out)
        if fetch.one_of_many:
            fetch.one_of_many = False
            self._ask_around(blob, now, out)
        self.unbusy(now, out)
        self._link_more(blob, fetch, now, out)
        out.tell(ProvidersWanted(blob.blob))

    def end(self, blob: Blob, out: Outbox) -> None:
        """Nobody is looked for any more."""
        out.clear(refresh_timer(blob.blob))
        out.tell(ProvidersUnwanted(blob.blob))

    def found(self, blob: Blob, event: ProvidersFound, now: Instant, out: Outbox) -> None:
        """Claims: ask those we are linked to, and want links to others."""
        fetch, config = blob.fetch, self._state.config
        if fetch is None or not blob.wants:
            return
        fetch.searched |= event.final
        self._state.roomier |= event.final
        claims = [claim for claim in event.claims if claim.held > 0 and claim.blob == blob.blob]
        self._state.rng.shuffle(claims)
        for claim in claims:
            node = claim.node
            if node == self._state.me.node or node in fetch.barred:
                continue
            if (neighbour := blob.neighbours.get(node)) is not None:
                if claim.held > neighbour.have.bit_count() and fetch.picker is not None and fetch.picker.nowhere():
                    self._talk.open(blob, neighbour.peer, now, out)
                continue
            peer = self._state.peers.get(node)
            if peer is not None:
                if not (fetch.one_of_many and claim.whole and claim.chunks == 1 and self._believe(blob, peer)):
                    self._talk.open(blob, peer, now, out)
            elif len(fetch.candidates) < config.candidates_max or node in fetch.candidates:
                fetch.candidates[node] = claim.whole
        self._link_more(blob, fetch, now, out)
        if event.final and fetch.one_of_many and not blob.neighbours:
            fetch.one_of_many = False
            self._ask_around(blob, now, out)

    def _believe(self, blob: Blob, peer: Peer) -> bool:
        """Somebody is said to have all of a blob of one chunk: ask for that at once. Whether it is so, shows."""
        neighbour = self._state.admit(blob, peer)
        if neighbour is not None:
            blob.learn(neighbour, 1)
        return neighbour is not None

    def linked(self, peer: Peer, now: Instant, out: Outbox) -> None:
        """A new link: whoever it is, ask it for what is missing."""
        for blob in self._state.fetching.values():
            fetch = blob.fetch
            if fetch is not None and blob.wants:
                fetch.linking.pop(peer.node, None)
                fetch.candidates.pop(peer.node, None)
                if peer.node not in fetch.barred:
                    self._talk.open(blob, peer, now, out)

    def unavailable(self, node: NodeId, now: Instant, out: Outbox) -> None:
        """A link cannot be had: try the next candidate."""
        for blob in self._state.fetching.values():
            fetch = blob.fetch
            if fetch is not None and fetch.linking.pop(node, None) is not None and blob.wants:
                self._link_more(blob, fetch, now, out)

    def unbusy(self, now: Instant, out: Outbox, *, at_once: bool = False) -> None:
        """Links over which nothing was asked for a while (or, `at_once`, at this moment) need not be kept for us."""
        for peer in self._state.peers.values():
            if peer.busy and not peer.requests and (at_once or now - peer.used >= self._state.config.link_idle):
                peer.busy = False
                out.tell(LinkBusy(peer.node, False))

    def _link_more(self, blob: Blob, fetch: Fetch, now: Instant, out: Outbox) -> None:
        """Links to a few candidates, whoever they are: those that have all of it are wanted by everybody. Only for
        what no neighbour has they go first, and more are asked for."""
        sources = sum(1 for neighbour in blob.neighbours.values() if neighbour.have)
        room = self._state.config.sources_wanted - sources - len(fetch.linking)
        candidates = list(fetch.candidates)
        if fetch.picker is not None and fetch.picker.nowhere():
            room = max(room, self._state.config.links_for_missing - len(fetch.linking))
            candidates.sort(key=lambda node: not fetch.candidates[node])
        for node in candidates[: max(room, 0)]:
            del fetch.candidates[node]
            fetch.linking[node] = now
            out.tell(LinkWanted(node))

    def _soon(self, blob: Blob, now: Instant, out: Outbox) -> None:
        assert blob.fetch is not None
        blob.fetch.refresh = self._state.config.refresh_min
        self._schedule(blob, blob.fetch, now, out)

    def _schedule(self, blob: Blob, fetch: Fetch, now: Instant, out: Outbox) -> None:
        pause = fetch.refresh * (0.75 + self._state.rng.random() / 2)
        out.timer(refresh_timer(blob.blob), now + pause)
