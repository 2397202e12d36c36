"""What goes wrong with a fetch, and what it does then.

| hazard | test |
|---|---|
| a peer takes requests and sends nothing | here; test_hedging.py; test_world.py: a_source_that_stops_answering |
| ... or a byte now and then | here: a_trickle; integration/coap/test_hostile.py |
| claims chunks that it lacks | test_choice.py: one_that_claims_what_it_does_not_have |
| sends corrupt chunks, or the bytes of others | test_choice.py: a_liar_is_reported; unit/daemon/test_transfers.py |
| lies about the manifest | here; test_fetch.py: a_corrupt_root_is_reported; property/test_manifest.py |
| lies about what it has under way, alone or with others in turns | here |
| always refuses or fails what farther ones would give | here |
| a message is lost with one of two links | here; property/test_recovery.py |
| refuses with any Max-Age | here; test_choice.py: an_absurd_refusal_is_not_believed |
| disconnects in the middle of a chunk or a manifest | here; test_choice.py: a_lost_link_frees_its_chunks_at_once |
| changes its address, or we do | system/test_moving.py; system/test_meeting.py |
| our disk is full, and has room again | here; test_fetch.py; system/test_full_disk.py |
| the disk of a source fails, is read-only, rots | integration/store/test_faults.py; unit/daemon/test_transfers.py |
| wall time steps (core has none) | system/test_meeting.py: a_device_without_a_clock; unit/daemon/test_readings.py |
| we are suspended | here; integration/daemon/test_driver.py; unit/daemon/test_upkeep.py |
| two devices have one key | simulation/test_clones.py |
| power or process dies | integration/store/test_kills.py; system/test_kills.py |
"""

from __future__ import annotations

import pytest

from edgecache.core.swarm import SwarmConfig
from edgecache.core.vocabulary import (
    CancelFetch,
    ChunkProgress,
    CompleteBlob,
    FetchChunk,
    FetchFailure,
    FetchFinished,
    FetchManifest,
    FetchWanted,
    ManifestFailed,
    Misbehaved,
)
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.have import HaveSet
from edgecache.wire.messages import Have
from tests.unit.core.swarm.desk import Desk, haves
from tests.unit.core.swarm.world import World, blob_of, node_id

TEN = blob_of(10 * CHUNK_BYTES)
MANY = blob_of(100 * CHUNK_BYTES)
LAN = 12.5e6


def test_a_trickle_is_given_up_at_its_deadline_like_silence() -> None:
    """Each unit has a deadline of its own, so a byte now and then extends nothing."""
    desk = Desk()
    desk.link(1, 2)
    desk.begin(TEN)
    slow = next(effect for effect in desk.open.values() if effect.peer == node_id(1))
    desk.now += slow.timeout
    desk.give(ChunkProgress(slow.request, 1))
    desk.fail(slow, FetchFailure.TIMEOUT)
    assert slow.index not in desk.asked_of(1)
    assert desk.finish(TEN)


@pytest.mark.parametrize("age", [0.0, 0.5, 1.0, 30.0, 86400.0, float(2**32 - 1)])
def test_any_max_age_of_a_refusal_is_waited_for_within_bounds(age: float) -> None:
    config = SwarmConfig()
    desk = Desk(config)
    desk.link(1)
    desk.begin(TEN)
    while desk.open:
        desk.fail(next(iter(desk.open.values())), FetchFailure.REFUSED, age)
    before = desk.now
    desk.clear()
    for _ in range(50):
        if desk.heard(FetchChunk):
            break
        desk.ring("pump")
    assert desk.heard(FetchChunk), "it is asked again"
    least = min(age or config.cool_min, config.retry_after_max)
    assert least <= desk.now - before <= config.retry_after_max
    assert desk.finish(TEN)


def test_a_refusal_for_nothing_is_no_busy_loop() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    before = desk.now
    asked = 0
    while desk.now < before + 60:
        while desk.open:
            asked += 1
            desk.fail(next(iter(desk.open.values())), FetchFailure.REFUSED, 0.0)
        desk.ring("pump")
    assert asked < 300


def test_a_link_that_breaks_under_the_manifest_moves_the_question() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN)
    desk.have(2, TEN)
    (first,) = desk.heard(FetchManifest)
    number = 1 if first.peer == node_id(1) else 2
    desk.clear()
    said = desk.unlink(number)
    assert CancelFetch(first.request) in said
    (second,) = desk.heard(FetchManifest)
    assert second.peer == node_id(3 - number)
    desk.manifest(TEN)
    assert desk.finish(TEN)


def test_whoever_lies_about_a_page_is_reported_and_the_page_asked_of_another() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN)
    desk.have(2, TEN)
    (first,) = desk.heard(FetchManifest)
    desk.clear()
    desk.give(ManifestFailed(first.request, first.peer, TEN.blob, FetchFailure.CORRUPT))
    assert [blame.peer for blame in desk.heard(Misbehaved)] == [first.peer]
    (second,) = desk.heard(FetchManifest)
    assert second.peer != first.peer


def test_a_fellow_that_claims_to_fetch_everything_and_gives_nothing_holds_up_nobody_for_long() -> None:
    config = SwarmConfig()
    desk = Desk(config)
    desk.link(1, tier=2)
    desk.link(2)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN)
    desk.message(2, Have(TEN.blob, HaveSet(), full=True, wanting=True, coming=tuple(range(10))))
    desk.manifest(TEN)
    before = desk.now
    for _ in range(20):
        desk.message(2, Have(TEN.blob, HaveSet(), full=False, wanting=True, coming=tuple(range(10))))
        if desk.finish(TEN):
            break
    assert desk.finish(TEN)
    assert desk.now - before < 3 * config.crossing_patience


def test_claims_that_are_repeated_run_out_while_there_is_other_work() -> None:
    """Two take turns to claim two thirds and get none of it: the source is never idle for that."""
    desk = Desk()
    desk.link(1, tier=2)
    desk.link(2, 3)
    desk.give(FetchWanted(MANY.blob))
    desk.have(1, MANY)
    claims = tuple(range(60))
    desk.message(2, Have(MANY.blob, HaveSet(), full=True, wanting=True, coming=claims))
    desk.message(3, Have(MANY.blob, HaveSet(), full=True, wanting=True))
    desk.manifest(MANY)
    idle = 0.0
    for turn in range(500):
        if desk.heard(CompleteBlob):
            break
        if desk.open:
            desk.store(desk.open[min(desk.open)], MANY, seconds=0.5)
        else:
            idle += 0.5
            desk.now += 0.5
        desk.message(2 + turn % 2, Have(MANY.blob, HaveSet(), full=False, wanting=True, coming=claims))
        desk.message(3 - turn % 2, Have(MANY.blob, HaveSet(), full=False, wanting=True))
    assert desk.heard(CompleteBlob)
    assert not idle


def test_claims_of_a_fellow_that_gives_up_are_void() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN)
    desk.message(2, Have(TEN.blob, HaveSet.of([3]), full=True, wanting=True, coming=(0, 5, 9)))
    desk.message(2, Have(TEN.blob, HaveSet(), full=False, wanting=False))
    (_, fellow) = desk.swarm._state.blobs[TEN.blob].neighbours.values()
    assert not fellow.coming.bits
    assert not fellow.coming.items()


def test_fellows_that_claim_in_turns_hold_up_nobody_for_long() -> None:
    """Each takes its claims back and repeats them, while the other's stand; or leaves, and comes again."""
    config = SwarmConfig()
    desk = Desk(config)
    desk.link(1, tier=2)
    desk.link(2, 3)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN)
    claims = tuple(range(10))
    for number in (2, 3):
        desk.message(number, Have(TEN.blob, HaveSet(), full=True, wanting=True, coming=claims))
    desk.manifest(TEN)
    before = desk.now
    while not desk.heard(CompleteBlob):
        desk.now += 1.0
        desk.message(2, Have(TEN.blob, HaveSet(), full=True, wanting=False))
        desk.message(2, Have(TEN.blob, HaveSet(), full=True, wanting=True, coming=claims))
        desk.message(3, Have(TEN.blob, HaveSet(), full=False, wanting=True))
        desk.message(3, Have(TEN.blob, HaveSet(), full=False, wanting=True, coming=claims))
        desk.store_all(TEN)
        assert desk.now - before < 3 * config.crossing_patience


def test_what_a_complete_holder_says_is_asked_of_it_is_kept_within_bounds() -> None:
    config = SwarmConfig(asked_max=64)
    desk = Desk(config)
    desk.link(1)
    desk.begin(TEN)
    for first in range(0, 6400, 64):
        coming = tuple(range(first, first + 64))
        desk.message(1, Have(TEN.blob, HaveSet(), full=False, wanting=False, coming=coming))
    (neighbour,) = desk.swarm._state.blobs[TEN.blob].neighbours.values()
    assert [index for index, _ in neighbour.coming.items()] == list(range(6336, 6400))


@pytest.mark.parametrize("reason", [FetchFailure.REFUSED, FetchFailure.LINK_LOST])
def test_a_near_holder_that_never_gives_is_not_waited_for(reason: FetchFailure) -> None:
    """Its pauses are each short enough to be waited for, and never end."""
    config = SwarmConfig()
    desk = Desk(config)
    desk.link(1, tier=2)
    desk.link(2)
    desk.begin(TEN)
    before = desk.now
    while not desk.heard(CompleteBlob):
        while desk.open:
            effect = desk.open[min(desk.open)]
            if effect.peer == node_id(2):
                desk.fail(effect, reason, 4.0)
            else:
                desk.store(effect, TEN)
        if not desk.heard(CompleteBlob):
            desk.ring("pump")
        assert desk.now - before < 3 * config.crossing_patience


@pytest.mark.parametrize("denied", [True, False])
def test_a_holder_is_asked_again_for_what_only_it_can_have(*, denied: bool) -> None:
    """It answered 4.04 to a request that was just taken back; or its news went with a link that another replaced."""
    desk = Desk()
    desk.link(1)
    if denied:
        desk.begin(TEN)
        desk.fail(desk.open[min(desk.open)], FetchFailure.NOT_FOUND)
    else:
        desk.give(FetchWanted(TEN.blob))
        desk.have(1, TEN, range(5), wanting=True)
        desk.manifest(TEN)
    desk.store_all(TEN)
    before = desk.now
    desk.clear()
    while not any(message.full for message in haves(desk.said, 1)):
        desk.ring("refresh")
        desk.claims(TEN, 1)
        assert desk.now - before < 20
    desk.have(1, TEN)
    assert desk.finish(TEN)


def test_a_peer_that_is_in_another_site_by_now_leaves_the_account_of_crossings_balanced() -> None:
    desk = Desk()
    for before, after in ((2, 1), (1, 2)):
        desk.link(1, tier=before)
        if before == 2:
            desk.begin(TEN)
        desk.link(1, tier=after)
        desk.store(desk.open[min(desk.open)], TEN)
    desk.store_all(TEN)
    crossing = desk.swarm._chunks._crossing
    assert (crossing._requests, crossing._queued) == (0, 0)


def test_a_disk_that_is_full_for_a_day_is_waited_for() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    desk.store(next(iter(desk.open.values())), TEN)
    desk.fail(next(iter(desk.open.values())), FetchFailure.STORE_FULL)
    for _ in range(86400 // 5):
        desk.ring("resume")
        desk.fail_room(TEN, "the disk has no room")
    assert not desk.heard(FetchFinished)
    standing = desk.swarm.stalled(TEN.blob, desk.now)
    assert standing is not None
    assert str(standing) == "waiting for room: the disk has no room"


@pytest.mark.parametrize("slept", [60.0, 86400.0, 1e8])
def test_a_device_that_slept_goes_on(slept: float) -> None:
    """The clock of the core counts sleep; everything that was under way has failed meanwhile."""
    desk = Desk()
    desk.link(1, 2)
    desk.begin(TEN)
    desk.store(next(iter(desk.open.values())), TEN)
    desk.now += slept
    for key in sorted(desk.timers, key=lambda key: desk.timers[key]):
        desk.ring(key.name)
    for effect in list(desk.open.values()):
        desk.fail(effect, FetchFailure.LINK_LOST)
    desk.unlink(1)
    desk.unlink(2)
    desk.link(1)
    desk.have(1, TEN)
    assert desk.finish(TEN)


def test_a_source_that_goes_silent_does_not_slow_the_others_down() -> None:
    """Against a swarm in which it never was: its chunks are asked for twice, and nobody waits for its time-outs."""
    blob = blob_of(96 * CHUNK_BYTES)

    def seconds(*, silent: bool) -> float:
        world = World([LAN] * 5)
        world.link_all()
        for number in (0, 1, 2):
            world.hold(number, blob)
        if silent:
            world.after(0.3, lambda: setattr(world.nodes[2], "down", True))
        else:
            world.cut(2)
        for number in (3, 4):
            world.want(number, blob)
        return world.run(60, lambda: world.done(3, 4))

    assert seconds(silent=True) < seconds(silent=False) + 1.5
