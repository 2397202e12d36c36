"""Second requests for late chunks: when, of whom, how many, and what becomes of the loser."""

from __future__ import annotations

import pytest

from edgecache.core.swarm import SwarmConfig
from edgecache.core.swarm.lateness import Lateness
from edgecache.core.vocabulary import CancelFetch, FetchChunk, FetchWanted
from edgecache.model.content import CHUNK_BYTES
from tests.unit.core.swarm.desk import Desk
from tests.unit.core.swarm.world import World, blob_of, node_id

MANY = blob_of(200 * CHUNK_BYTES)
TEN = blob_of(10 * CHUNK_BYTES)
LAN = 12.5e6


def test_a_peer_that_is_always_on_time_is_late_soon() -> None:
    steady, erratic = Lateness(), Lateness()
    for turn in range(40):
        steady.add(1.0, 1.0)
        erratic.add(3.0 if turn % 4 == 0 else 0.5, 1.0)
    assert steady.bound() < 1.5
    assert 2.5 < erratic.bound() <= 4.0, "three times the expectation is nothing unusual for it"


def test_nothing_is_known_of_a_new_peer() -> None:
    assert Lateness().bound() == 2.0


@pytest.mark.parametrize("took", [0.0, 1e9])
def test_absurd_times_are_bounded(took: float) -> None:
    sketch = Lateness()
    for _ in range(20):
        sketch.add(took, 0.0)
    assert 1.0 < sketch.bound() <= 4.0


def stall(desk: Desk, number: int) -> tuple[list[FetchChunk], list[FetchChunk]]:
    """Everybody but one peer answers at once, until nothing more is asked; what the one was asked, and what was asked
    twice."""
    first: dict[int, FetchChunk] = {}
    again: list[FetchChunk] = []
    for _ in range(1000):
        for effect in list(desk.open.values()):
            known = first.setdefault(effect.index, effect)
            if known is not effect and effect not in again:
                again.append(effect)
        others = [effect for effect in desk.open.values() if effect.peer != node_id(number)]
        if others:
            desk.store(others[0], MANY)
            gone = [e.request for e in desk.heard(CancelFetch)]
            for request in gone:
                desk.open.pop(request, None)
        elif any(key.name == "pump" for key in desk.timers) and desk.now < 1030.0:
            desk.ring("pump")
        else:
            break
    return [effect for effect in first.values() if effect.peer == node_id(number)], again


def test_what_a_stalled_peer_has_is_asked_of_another_before_its_time_out() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.begin(MANY)
    silent, again = stall(desk, 1)
    assert silent
    assert {effect.index for effect in again} == {effect.index for effect in silent}
    assert all(effect.peer == node_id(2) for effect in again)
    assert desk.now < 1000.0 + 200 * 0.01 + min(effect.timeout for effect in silent)
    told = desk.swarm.explain(MANY.blob, desk.now)
    assert told is not None
    assert told.hedges == len(again)
    assert told.wasted >= CHUNK_BYTES, "what the silent one may have sent"


def test_the_budget_bounds_second_requests() -> None:
    desk = Desk(SwarmConfig(hedge_burst=1.0, hedge_share=0.0))
    desk.link(1, 2)
    desk.begin(MANY)
    _, again = stall(desk, 1)
    assert len(again) == 1


def test_no_second_request_crosses_a_site_border() -> None:
    desk = Desk()
    desk.link(1, 2, tier=2)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN)
    desk.have(2, TEN)
    desk.manifest(TEN)
    _, again = stall(desk, 1)
    assert not again


@pytest.mark.parametrize("seed", range(3))
def test_a_healthy_swarm_makes_next_to_none(seed: int) -> None:
    world = World([LAN] * 6, seed=seed)
    world.link_all()
    blob = blob_of(128 * CHUNK_BYTES)
    world.hold(0, blob)
    for number in range(1, 6):
        world.want(number, blob)
    world.run(60, lambda: world.done(1, 2, 3, 4, 5))
    assert world.done(1, 2, 3, 4, 5)
    assert sum(node.uploaded for node in world.nodes) <= 1.02 * 5 * blob.size
    assert sum(node.swarm.overhead()["hedges"] for node in world.nodes) <= 0.05 * 5 * 128
