"""What others are told of fetches and holdings: progress for the user, claims for the directory, views for `status`."""

from __future__ import annotations

from dataclasses import dataclass

from edgecache.core.swarm.blobs import Blob, Phase, SwarmState
from edgecache.core.swarm.picker import bit_indexes
from edgecache.core.vocabulary import FetchProgressed, HoldingChanged, Outbox
from edgecache.model.ids import BlobId, NodeId

_MISSING_SHOWN = 16


@dataclass(frozen=True, slots=True)
class SourceView:
    """One source of a fetch; rates in bytes per second."""

    node: NodeId
    bytes: int
    rate: float
    requests: int
    tier: int


@dataclass(frozen=True, slots=True)
class FetchView:
    """One fetch as `status` shows it, under way or finished a while ago (`phase` "done" or "failed")."""

    blob: BlobId
    phase: str
    have: int
    total: int
    size: int
    rate: float
    sources: tuple[SourceView, ...]
    missing_nowhere: tuple[int, ...] = ()


def missing_nowhere(blob: Blob) -> tuple[int, ...]:
    """The first chunks that no reachable peer has; empty until a search for providers came to its end."""
    fetch = blob.fetch
    if fetch is None or fetch.picker is None or not fetch.searched or fetch.phase is not Phase.FETCHING:
        return ()
    return bit_indexes(fetch.picker.nowhere(), _MISSING_SHOWN)


def report(blob: Blob, out: Outbox) -> None:
    """Tell the user where a fetch stands, unless nothing changed."""
    fetch = blob.fetch
    if fetch is None:
        return
    nowhere = missing_nowhere(blob)
    told = (fetch.phase, blob.have.bit_count(), nowhere)
    if told != fetch.told:
        fetch.told = told
        out.effect(FetchProgressed(blob.blob, blob.info, told[1], blob.asked_of(), nowhere, fetch.full > 0))


def announce(blob: Blob, steps: int, out: Outbox, *, at_once: bool = False) -> None:
    """Tell the directory what we hold, when that changed enough or `at_once`.

    A blob that is not complete yet is not claimed whole: it stays one chunk short until then.
    """
    if blob.info is None:
        return
    chunks = blob.info.chunks
    held = chunks if blob.complete else min(blob.have.bit_count(), max(chunks - 1, 0))
    first = held > 0 and not blob.announced
    if first or held - blob.announced >= max(1, chunks // steps) or (at_once and held != blob.announced):
        blob.announced = held
        out.tell(HoldingChanged(blob.info, held))


def view(blob: Blob, state: SwarmState, phase: str = "") -> FetchView:
    """A fetch as it stands."""
    fetch, info = blob.fetch, blob.info
    assert fetch is not None
    sources = []
    for node in [*fetch.received, *(node for node in blob.neighbours if node not in fetch.received)]:
        peer, neighbour = state.peers.get(node), blob.neighbours.get(node)
        received = fetch.received.get(node, 0)
        if received or (neighbour is not None and neighbour.have):
            rate = peer.goodput.rate if peer is not None and peer.goodput.measured else 0.0
            requests = neighbour.requests if neighbour is not None else 0
            sources.append(SourceView(node, received, rate, requests, peer.tier if peer is not None else 0))
    return FetchView(
        blob.blob, phase or fetch.phase.value, blob.have.bit_count(), info.chunks if info else 0,
        info.size if info else 0, fetch.rate.rate, tuple(sources), missing_nowhere(blob),
    )
