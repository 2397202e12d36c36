"""All that there is to say about one fetch: its reason, its chunks, whom it may ask, and where its bytes came from."""

from __future__ import annotations

from dataclasses import dataclass

from edgecache.core.swarm.blobs import Blob, Fetch, Phase, SwarmState
from edgecache.core.swarm.picker import bit_indexes
from edgecache.core.swarm.scoring import Neighbour
from edgecache.core.swarm.standing import Standing
from edgecache.model.content import CHUNK_BYTES, BlobInfo
from edgecache.model.ids import BlobId, NodeId
from edgecache.model.instant import Instant

CHUNKS_SHOWN = 16
CANDIDATES_SHOWN = 64


@dataclass(frozen=True, slots=True)
class Candidate:
    """A node that has it, or is said to; times in seconds, rates in bytes per second."""

    node: NodeId
    chunks: int
    """That it says it has; all of them when `whole`."""
    whole: bool
    linked: bool
    tier: int | None = None
    """0 this device, 1 this site, 2 another site; 3 more for one that serves last."""
    rtt: float | None = None
    goodput: float | None = None
    """None until measured."""
    queued: int = 0
    """Bytes that we wait for from it."""
    expected: float | None = None
    """Until one more chunk would be here."""
    cooling: float = 0.0
    """It is left alone for so long."""
    late: float | None = None
    """Times the expectation after which a request to it is late."""
    received: int = 0
    """Bytes of chunks that came from it."""
    unused: str = ""
    """Why nothing is asked of it at this moment; empty when something is."""


@dataclass(frozen=True, slots=True)
class Flight:
    """A chunk that is asked of somebody."""

    chunk: int
    node: NodeId
    since: float
    expected: float
    received: int
    size: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """One fetch as it stands, or as it stood at its end."""

    blob: BlobId
    info: BlobInfo | None
    phase: str
    standing: Standing
    seconds: float
    """Since it was wanted; until its end."""
    idle: float
    """Since it last came nearer to its end."""
    have: int
    missing: int
    missing_first: tuple[int, ...]
    nowhere: tuple[int, ...]
    """The first chunks that no linked node has."""
    flights: tuple[Flight, ...]
    candidates: tuple[Candidate, ...]
    sources: tuple[tuple[NodeId, int], ...]
    """Bytes of chunks by source."""
    crossed: int
    """Bytes of chunks that came over a site border."""
    hedges: int
    """Second requests for chunks that were late."""
    wasted: int
    """Bytes that came for nothing, at most."""


def explain(blob: Blob, state: SwarmState, standing: Standing, now: Instant, phase: str = "") -> Explanation:
    """All about a fetch."""
    fetch = blob.fetch
    assert fetch is not None
    picker = fetch.picker
    missing = picker.missing if picker is not None else 0
    flights = [
        Flight(r.index, r.neighbour.peer.node, now - r.started, r.expected, r.received, r.size)
        for requests in fetch.flights.values() for r in requests
    ]
    return Explanation(
        blob=blob.blob, info=blob.info, phase=phase or fetch.phase.value, standing=standing,
        seconds=now - fetch.began, idle=now - fetch.progressed,
        have=blob.have.bit_count(), missing=missing.bit_count(), missing_first=bit_indexes(missing, CHUNKS_SHOWN),
        nowhere=bit_indexes(picker.nowhere(), CHUNKS_SHOWN) if picker is not None else (),
        flights=tuple(flights), candidates=_candidates(blob, fetch, state, now),
        sources=tuple(fetch.received.items()), crossed=fetch.crossed, hedges=fetch.hedges, wasted=fetch.wasted,
    )


def _candidates(blob: Blob, fetch: Fetch, state: SwarmState, now: Instant) -> tuple[Candidate, ...]:
    linked = [n for n in blob.neighbours.values() if n.have or n.requests or n.peer.node in fetch.barred]
    linked.sort(key=lambda n: (n.peer.tier, n.peer.expected(CHUNK_BYTES), n.peer.node))
    rows = [_neighbour(n, linked, fetch, state, now) for n in linked]
    known = {row.node for row in rows}
    rows += [
        Candidate(node, 0, whole=False, linked=False, received=fetch.received.get(node, 0), unused=why)
        for table, why in (
            (fetch.barred, "it sent corrupt bytes of this blob"),
            (fetch.linking, "a link to it is being opened"),
            (fetch.candidates, "not linked: others come first"),
            (fetch.received, "it gave, and is no longer a source"),
        )
        for node in table if not (node in known or known.add(node))  # type: ignore[func-returns-value]
    ]
    return tuple(rows[:CANDIDATES_SHOWN])


def _neighbour(
    neighbour: Neighbour, linked: list[Neighbour], fetch: Fetch, state: SwarmState, now: Instant
) -> Candidate:
    peer = neighbour.peer
    return Candidate(
        node=peer.node, chunks=neighbour.have.bit_count(), whole=neighbour.whole, linked=True, tier=peer.tier,
        rtt=peer.rtt, goodput=peer.goodput.rate if peer.goodput.measured else None, queued=peer.queued,
        expected=peer.expected(CHUNK_BYTES), cooling=max(0.0, peer.resting_until(fetch.priority) - now),
        late=peer.lateness.bound(), received=fetch.received.get(peer.node, 0),
        unused=_unused(neighbour, linked, fetch, state, now),
    )


def _unused(
    neighbour: Neighbour, linked: list[Neighbour], fetch: Fetch, state: SwarmState, now: Instant
) -> str:
    """Why nothing is asked of a neighbour."""
    peer, picker = neighbour.peer, fetch.picker
    if neighbour.requests:
        return ""
    if peer.node in fetch.barred:
        return "it sent corrupt bytes of this blob"
    if now < peer.resting_until(fetch.priority):
        return "it refused" if now < peer.refused_until else "it failed lately"
    if fetch.phase is not Phase.FETCHING or picker is None:
        return "nothing is asked of anybody in this phase"
    useful = neighbour.have & picker.todo
    if not useful:
        return "it has nothing that is still to be asked for"
    nearer = 0
    for other in linked:
        nearer |= other.have if other.peer.tier < peer.tier else 0
    if not useful & ~nearer:
        return "nearer nodes have the same"
    if not peer.has_room(state.handling):
        return "its window is full with other blobs"
    if useful & ~nearer & ~fetch.left == 0:
        return "what it has is left to others of this site"
    return "no turn yet"
