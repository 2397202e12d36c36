"""The rules of the election, without time: who holds the bridge, and who is next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgecache.model.ids import NodeId
from edgecache.model.rendezvous import score


@dataclass(frozen=True, slots=True)
class Candidate:
    """A live node that says it may bridge; `term` is not None while it does."""

    node: NodeId
    term: int | None = None


def seniority(site: str, node: NodeId) -> tuple[float, NodeId]:
    """Rank in the election, higher first: by rendezvous, so that no device is the first in every site it is in."""
    return (score(f"bridge {site}", node), node)


def holder(site: str, candidates: Iterable[Candidate]) -> Candidate | None:
    """Of those that bridge the one with the highest term; of several with one term the senior."""
    bridging = (candidate for candidate in candidates if candidate.term is not None)
    return max(bridging, key=lambda one: (one.term, seniority(site, one.node)), default=None)


def place(site: str, node: NodeId, others: Iterable[Candidate]) -> int:
    """How many of the others go before `node` when there is no holder."""
    mine = seniority(site, node)
    return sum(seniority(site, other.node) > mine for other in others)
