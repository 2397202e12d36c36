"""Requests that wait in a long line, and holders that have become free."""

from __future__ import annotations

from edgecache.core.swarm import SwarmConfig
from edgecache.core.swarm.scoring import SHARED_UNIT, Goodput, Peer
from edgecache.core.vocabulary import CompleteBlob, FetchChunk, FetchFailure, FetchWanted, Send, StrainChanged
from edgecache.model.content import CHUNK_BYTES
from edgecache.wire.messages import Cancel
from tests.unit.core.swarm.desk import Desk
from tests.unit.core.swarm.world import blob_of, node_id

TWO = blob_of(2 * 256 * 1024)


def waiting(*, tier: int = 0) -> tuple[Desk, FetchChunk]:
    """A fellow has both chunks, and is asked for one; another has none yet."""
    desk = Desk()
    desk.link(1)
    desk.link(2, tier=tier)
    desk.give(FetchWanted(TWO.blob))
    desk.have(1, TWO, [0, 1], wanting=True)
    desk.have(2, TWO, [], wanting=True)
    desk.manifest(TWO)
    (asked,) = desk.open.values()
    desk.clear()
    return desk, asked


def withdrawn(desk: Desk) -> list[tuple[int, ...]]:
    """Chunks that the first was told not to send."""
    sends = [send for send in desk.heard(Send) if send.peer == node_id(1)]
    return [send.message.indexes for send in sends if isinstance(send.message, Cancel)]


def free(desk: Desk, asked: FetchChunk) -> None:
    """The other has it by now, and the request has waited."""
    desk.now += 0.01
    desk.have(2, TWO, [asked.index], full=False, wanting=True)
    assert not withdrawn(desk), "not what would be here in a moment"
    desk.now += 0.1
    desk.ring("pump")


def test_what_waits_is_withdrawn_for_one_that_is_free_and_asked_of_it_when_it_is_refused() -> None:
    desk, asked = waiting()
    free(desk, asked)
    assert withdrawn(desk) == [(asked.index,)]
    assert not desk.asked_of(2), "it may be on its way"
    desk.fail(asked, FetchFailure.NOT_FOUND)
    assert desk.asked_of(2) == [asked.index]
    assert desk.asked_of(1) == [1 - asked.index], "it has room again"
    desk.store_all(TWO)
    assert desk.finish(TWO)


def test_what_comes_all_the_same_is_not_asked_for_again() -> None:
    desk, asked = waiting()
    free(desk, asked)
    desk.store(asked, TWO)
    assert not desk.asked_of(2)
    assert desk.finish(TWO)


def test_one_that_does_not_answer_is_told_once() -> None:
    desk, asked = waiting()
    free(desk, asked)
    for _ in range(20):
        desk.now += 0.1
        desk.have(2, TWO, [asked.index], full=False, wanting=True)
    assert withdrawn(desk) == [(asked.index,)]


def test_a_refusal_of_what_was_withdrawn_is_no_denial() -> None:
    desk, asked = waiting()
    free(desk, asked)
    desk.fail(asked, FetchFailure.NOT_FOUND)
    assert desk.swarm._state.peers[node_id(1)].denials == 0
    assert desk.swarm._state.blobs[TWO.blob].neighbours[node_id(1)].have >> asked.index & 1


def test_nothing_is_moved_across_a_site_border() -> None:
    desk, asked = waiting(tier=2)
    desk.now += 0.1
    desk.have(2, TWO, [asked.index], full=False, wanting=True)
    desk.now += 1.0
    desk.have(2, TWO, [asked.index], full=False, wanting=True)
    assert not withdrawn(desk)


def test_a_complete_holder_is_spared() -> None:
    desk, asked = waiting()
    desk.now += 0.1
    desk.have(2, TWO)
    desk.now += 1.0
    desk.have(2, TWO)
    assert asked.index not in [index for indexes in withdrawn(desk) for index in indexes]


def test_holders_that_refuse_in_turns_end_nothing_and_start_no_storm() -> None:
    desk, _ = waiting()
    desk.have(2, TWO, [0, 1], wanting=True)
    for _ in range(50):
        desk.now += 0.2
        desk.have(2, TWO, [0, 1], full=False, wanting=True)
        for effect in list(desk.open.values()):
            desk.fail(effect, FetchFailure.NOT_FOUND)
    assert len([send for send in desk.heard(Send) if isinstance(send.message, Cancel)]) <= 2 * 50
    desk.now += 100.0
    desk.have(1, TWO)
    assert desk.finish(TWO)


def test_what_all_holders_are_slow_with_comes_all_the_same() -> None:
    """Each needs 0.3 s for a chunk, longer than a request waits before it is moved: it must not go round among them."""
    info, desk = blob_of(256 * 1024), Desk()
    desk.link(1, 2, 3)
    desk.give(FetchWanted(info.blob))
    for number in (1, 2, 3):
        desk.have(number, info, [0], wanting=True)
    desk.manifest(info)
    asked_at: dict[int, float] = {}
    began = desk.now
    while not desk.heard(CompleteBlob) and desk.now - began < 5.0:
        cancelled = [send.peer for send in desk.heard(Send) if isinstance(send.message, Cancel)]
        desk.clear()
        desk.now += 0.01
        if any(key.name == "pump" and at <= desk.now for key, at in desk.timers.items()):
            desk.ring("pump")
        for request, effect in list(desk.open.items()):
            if effect.peer in cancelled:
                desk.fail(effect, FetchFailure.NOT_FOUND)
            elif desk.now - asked_at.setdefault(request, desk.now) >= 0.3:
                desk.store(effect, info)
    assert desk.heard(CompleteBlob)
    assert desk.now - began < 1.0


def test_what_is_withdrawn_is_hedged_only_if_its_holder_does_not_answer() -> None:
    desk, asked = waiting()
    desk.now += 0.01
    desk.have(2, TWO, [asked.index], full=False, wanting=True)
    desk.now += 1.0
    desk.ring("pump")
    assert withdrawn(desk) == [(asked.index,)]
    assert not desk.asked_of(2), "late as it is: it was withdrawn in this moment"
    desk.now += SwarmConfig().move_answer + 0.1
    desk.ring("pump")
    assert desk.asked_of(2) == [asked.index]


def test_units_are_those_of_a_link_of_our_own_but_never_more_than_half_a_chunk_for_that() -> None:
    config = SwarmConfig()
    peer = Peer(node_id(1), 0, 0.001, 16, config, Goodput(config.goodput_span, 250_000.0))
    assert peer.unit() == 32 * 1024
    assert peer.unit(2) == 64 * 1024
    assert peer.unit(100) == SHARED_UNIT
    peer.goodput.rate = 12.5e6
    assert peer.unit(100) == peer.unit() == 2 * SHARED_UNIT
    peer.goodput.rate = 250_000.0
    assert peer.unit(100, CHUNK_BYTES) == CHUNK_BYTES


def test_chunks_are_asked_for_whole_while_the_processor_is_short() -> None:
    for strained, unit in ((False, SHARED_UNIT), (True, CHUNK_BYTES)):
        desk = Desk(SwarmConfig(near_prior=500_000.0))
        desk.link(*range(1, 9))
        desk.give(StrainChanged(strained))
        desk.give(FetchWanted(TWO.blob))
        desk.have(1, TWO)
        for fellow in range(2, 9):
            desk.have(fellow, TWO, [], wanting=True)
        desk.manifest(TWO)
        assert {effect.unit for effect in desk.open.values()} == {unit}
