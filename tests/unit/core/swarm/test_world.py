"""Swarms of a few nodes in virtual time: they complete, the publisher is spared, and no single node can stop them."""

from __future__ import annotations

import pytest

from edgecache.core.serving import ServingConfig
from edgecache.core.swarm import SwarmConfig
from edgecache.core.vocabulary import FetchUnwanted
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.have import HaveSet
from edgecache.model.ids import NodeId
from tests.unit.core.swarm.invariants import check
from tests.unit.core.swarm.world import World, blob_of, node_id

LAN = 12.5e6
"""100 Mbit/s."""

BLOB = blob_of(96 * CHUNK_BYTES - 1000)
FILE_TIME = BLOB.size / LAN


def copies(world: World, number: int) -> float:
    """How many times a node has sent the blob."""
    return world.nodes[number].uploaded / BLOB.size


def settled(world: World) -> None:
    for node in world.nodes:
        check(node.swarm)
        assert node.serving.queued == node.serving.in_progress == 0


def test_one_source_and_one_sink_keep_the_link_full() -> None:
    world = World([LAN, LAN])
    world.link(0, 1)
    world.hold(0, BLOB)
    world.want(1, BLOB)
    assert world.run(60, lambda: world.done(1)) < 1.05 * FILE_TIME
    assert copies(world, 0) == 1
    assert world.nodes[1].swarm.received() == {node_id(0): BLOB.size}
    assert world.nodes[0].serving.served() == {node_id(1): BLOB.size}
    settled(world)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_publisher_and_five_leechers(seed: int) -> None:
    world = World([LAN] * 6, seed=seed)
    world.link_all()
    world.hold(0, BLOB)
    for number in range(1, 6):
        world.want(number, BLOB)
    took = world.run(60, lambda: world.done(1, 2, 3, 4, 5))
    assert world.done(1, 2, 3, 4, 5)
    assert took < 1.25 * FILE_TIME
    assert copies(world, 0) < 1.2
    assert sum(copies(world, number) for number in range(6)) < 5.1, "next to nothing is sent in vain"
    world.run(30)
    settled(world)


def test_leechers_that_know_only_the_publisher_find_each_other() -> None:
    world = World([LAN] * 6)
    for number in range(1, 6):
        world.link(0, number)
    world.hold(0, BLOB)
    for number in range(1, 6):
        world.want(number, BLOB)
    world.run(60, lambda: world.done(1, 2, 3, 4, 5))
    assert world.done(1, 2, 3, 4, 5)
    assert copies(world, 0) < 1.5


def test_a_chunk_costs_few_events() -> None:
    world = World([50e6] * 9)
    world.link_all()
    world.hold(0, BLOB)
    for number in range(1, 9):
        world.want(number, BLOB)
    world.run(60, lambda: world.done(*range(1, 9)))
    moved = sum(node.chunks for node in world.nodes)
    assert sum(node.events for node in world.nodes) / moved < 6


def test_upload_and_download_limits_are_kept() -> None:
    rate = 2_000_000
    world = World(
        [1e9] * 4, swarm=SwarmConfig(download_rate=rate), serving=ServingConfig(upload_rate=rate)
    )
    world.link_all()
    world.hold(0, BLOB)
    for number in range(1, 4):
        world.want(number, BLOB)
    took = world.run(120, lambda: world.done(1, 2, 3))
    assert world.done(1, 2, 3)
    for node in world.nodes:
        assert node.uploaded <= rate * (took + 1)
        assert node.chunks * CHUNK_BYTES <= rate * (took + 1)
    assert took < 1.25 * BLOB.size / rate
    assert copies(world, 0) < 1.3


def test_a_liar_stops_nobody() -> None:
    world = World([LAN] * 4)
    world.nodes[1].corrupts = True
    world.link_all()
    world.hold(0, BLOB)
    world.hold(1, BLOB)
    for number in (2, 3):
        world.want(number, BLOB)
    world.run(60, lambda: world.done(2, 3))
    assert world.done(2, 3)
    for number in (2, 3):
        blamed = world.nodes[number].around.misbehaved
        assert {one.peer for one in blamed} == {node_id(1)}
        assert sum(one.weight for one in blamed) >= 5
        assert node_id(1) not in world.nodes[number].swarm.received()
    settled(world)


def test_a_slow_source_holds_up_nobody() -> None:
    world = World([LAN, 20e3, LAN])
    world.link_all()
    world.hold(0, BLOB)
    world.hold(1, BLOB)
    world.want(2, BLOB)
    assert world.run(60, lambda: world.done(2)) < 1.3 * FILE_TIME
    assert world.done(2)
    world.run(60)
    settled(world)


@pytest.mark.parametrize(("rate", "most"), [(100e3, 1.05), (10e3, 1.4)])
def test_a_slow_source_alone_is_asked_in_small_units(rate: float, most: float) -> None:
    small = blob_of(4 * CHUNK_BYTES)
    world = World([rate, LAN])
    world.link(0, 1)
    world.hold(0, small)
    world.want(1, small)
    took = world.run(600, lambda: world.done(1))
    assert world.done(1)
    assert took < most * small.size / rate, "one time-out at most; then progress keeps slow chunks alive"


def test_a_source_that_vanishes_stops_nobody() -> None:
    world = World([LAN] * 4)
    world.link_all()
    world.hold(0, BLOB)
    world.hold(1, BLOB)
    for number in (2, 3):
        world.want(number, BLOB)
    world.run(FILE_TIME / 4)
    world.cut(1)
    world.run(60, lambda: world.done(2, 3))
    assert world.done(2, 3)
    settled(world)


def test_a_source_that_stops_answering_stops_nobody() -> None:
    """Its links stay up; only the deadlines help."""
    world = World([LAN, LAN, LAN])
    world.link_all()
    world.hold(0, BLOB)
    world.hold(1, BLOB)
    world.want(2, BLOB)
    world.run(FILE_TIME / 4)
    world.nodes[1].uplink = 1.0
    took = world.run(60, lambda: world.done(2))
    assert world.done(2)
    assert took < 2 * FILE_TIME


def test_the_others_complete_without_the_publisher() -> None:
    world = World([LAN] * 5)
    world.link_all()
    world.hold(0, BLOB)
    for number in range(1, 5):
        world.want(number, BLOB)

    def all_out() -> bool:
        held = HaveSet()
        for node in world.nodes[1:]:
            held |= node.store.get(BLOB.blob, HaveSet())
        return len(held) == BLOB.chunks
    world.run(60, all_out)
    assert not world.done(1, 2, 3, 4)
    world.cut(0)
    world.run(60, lambda: world.done(1, 2, 3, 4))
    assert world.done(1, 2, 3, 4)


def test_a_missing_chunk_is_named_waited_for_and_fetched_when_its_holder_returns() -> None:
    world = World([LAN] * 4)
    world.link_all()
    world.hold(0, BLOB)
    for number in range(1, 4):
        world.want(number, BLOB)
    world.run(0.5 * FILE_TIME)
    world.cut(0)
    world.run(30)
    held = HaveSet()
    for node in world.nodes[1:]:
        held |= node.store[BLOB.blob]
    missing = tuple(held.missing(BLOB.chunks))
    assert missing
    for node in world.nodes[1:]:
        assert node.progress[-1].missing_nowhere == missing[:16]
        assert node.progress[-1].have == BLOB.chunks - len(missing), "they have shared what there is"
        assert not node.finished
    world.restore(0)
    world.run(60, lambda: world.done(1, 2, 3))
    assert world.done(1, 2, 3)
    settled(world)


def test_the_uplink_between_two_sites_is_crossed_about_once() -> None:
    world = World([LAN] * 5, tiers=[0, 1, 1, 1, 1], latency=0.01)
    world.link_all()
    world.hold(0, BLOB)
    for number in range(1, 5):
        world.want(number, BLOB)
    world.run(60, lambda: world.done(1, 2, 3, 4))
    assert world.done(1, 2, 3, 4)
    assert copies(world, 0) < 1.2


def test_a_late_leecher_is_served_by_everybody() -> None:
    world = World([LAN] * 5)
    world.link_all()
    for number in range(4):
        world.hold(number, BLOB)
    world.want(4, BLOB)
    took = world.run(60, lambda: world.done(4))
    assert took < 0.5 * FILE_TIME
    assert all(0.1 < copies(world, number) < 0.4 for number in range(4))


def test_leechers_come_and_go() -> None:
    world = World([LAN] * 6)
    world.link_all()
    world.hold(0, BLOB)
    for number in range(1, 6):
        world.after(0.3 * number, lambda number=number: world.want(number, BLOB))  # type: ignore[misc]
    world.after(0.7, lambda: world.give(2, FetchUnwanted(BLOB.blob)))
    world.after(0.9, lambda: world.cut(3))
    world.after(1.5, lambda: world.restore(3))
    world.run(60, lambda: world.done(1, 3, 4, 5))
    assert world.done(1, 3, 4, 5)
    assert not world.nodes[2].finished
    world.run(1)  # what was taken back is still on its way
    settled(world)


def test_the_same_seed_gives_the_same_run() -> None:
    def run(seed: int) -> list[tuple[float, dict[NodeId, int]]]:
        world = World([LAN] * 4, seed=seed)
        world.link_all()
        world.hold(0, BLOB)
        for number in range(1, 4):
            world.want(number, BLOB)
        took = world.run(60, lambda: world.done(1, 2, 3))
        return [(took, node.swarm.received()) for node in world.nodes]
    assert run(7) == run(7)
    assert any(run(7) != run(seed) for seed in range(8, 12))
