"""What must hold of a swarm machine after every event, seen from outside its parts."""

from __future__ import annotations

from collections import Counter

from edgecache.core.swarm import Swarm
from edgecache.core.swarm.blobs import Blob, Phase, SwarmState
from edgecache.model.content import CHUNK_BYTES


def check(swarm: Swarm) -> None:
    """Raises AssertionError when a bound or an account is broken."""
    state = swarm._state
    config = state.config
    requests = Counter(request.neighbour.peer.node for request in state.chunks.values())
    for node, peer in state.peers.items():
        mine = [request for request in state.chunks.values() if request.neighbour.peer is peer]
        assert peer.requests == len(mine) <= peer.slots
        assert peer.queued == sum(request.size - request.received for request in mine)
        assert peer.queued < config.window_bytes_max + CHUNK_BYTES
        assert len(peer.blobs) <= config.blobs_per_peer
        assert list(peer.blobs) == [blob for blob in peer.blobs if node in state.blobs[blob].neighbours]
        assert peer.busy or not peer.requests
    assert set(requests) <= set(state.peers), "nothing is awaited of a peer that is gone"
    assert state.inflight == sum(request.size for request in state.chunks.values()) <= config.inflight_bytes_max
    assert set(state.fetching) == {name for name, blob in state.blobs.items() if blob.fetch is not None}
    for blob in state.blobs.values():
        _check_blob(blob, state)
    flights = [r for blob in state.fetching.values() if blob.fetch for rs in blob.fetch.flights.values() for r in rs]
    assert sorted(request.request for request in flights) == sorted(state.chunks)
    if swarm._chunks.full and not state.quiet and not config.download_rate:
        _check_full(swarm)


def _check_full(swarm: Swarm) -> None:
    """What is remembered of the windows is what they say; not looked at are peers that rested, as that may be over."""
    state = swarm._state
    if state.inflight + CHUNK_BYTES > state.config.inflight_bytes_max:
        return
    crossing = swarm._chunks._crossing
    for blob in state.fetching.values():
        if blob.fetch is not None and blob.fetch.phase is Phase.FETCHING and blob.fetch.picker is not None:
            askers = blob.fetch.picker.askers
            for neighbour in blob.neighbours.values():
                peer = neighbour.peer
                if neighbour.have and peer.cool_until == float("-inf"):
                    room = peer.has_room(state.handling), crossing.has_room(peer, state.handling, askers)
                    assert not all(room)


def _check_blob(blob: Blob, state: SwarmState) -> None:
    config, fetch = state.config, blob.fetch
    assert len(blob.neighbours) <= config.neighbours_max
    assert blob.info is not None or fetch is not None, "nothing is kept of what is neither here nor wanted"
    if blob.info is not None:
        assert blob.have < 1 << blob.info.chunks
    for neighbour in blob.neighbours.values():
        limit = config.unknown_chunks_max if blob.info is None else blob.info.chunks
        assert neighbour.have.bit_length() <= limit
    if fetch is None:
        return
    assert len(fetch.manifests) <= max(1, config.pages_in_flight)
    assert len(fetch.candidates) <= config.candidates_max
    assert len(fetch.linking) <= config.sources_wanted
    assert len(fetch.barred) <= config.barred_max
    picker = fetch.picker
    if picker is None:
        assert not fetch.flights
        return
    assert picker.have == blob.have
    flying = sum(1 << index for index in fetch.flights)
    assert picker.flying == flying
    assert not flying & (blob.have | ~picker.covered), "asked for what is here, or cannot be verified"
    assert picker.todo == picker.covered & ~blob.have & ~flying
    for index in range(min(picker.info.chunks, 40)):
        assert picker.rarity.count(index) == sum(n.have >> index & 1 for n in blob.neighbours.values())
    for requests in fetch.flights.values():
        assert len({request.neighbour.peer.node for request in requests}) == len(requests) <= 2
    if fetch.phase is Phase.COMPLETING:
        assert not fetch.flights
        assert not picker.missing
