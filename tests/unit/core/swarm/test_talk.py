"""Who tells whom what it holds."""

from __future__ import annotations

import pytest

from edgecache.core.swarm import SwarmConfig
from edgecache.core.vocabulary import (
    BlobCompleted,
    FetchChunk,
    FetchWanted,
    RequestId,
    Send,
    StrainChanged,
    UnitAsked,
)
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.have import HaveSet
from edgecache.wire.limits import COMING_MAX
from edgecache.wire.messages import Have
from tests.unit.core.swarm.desk import Desk, haves
from tests.unit.core.swarm.world import blob_of, node_id

TEN = blob_of(10 * CHUNK_BYTES)
MANY = blob_of(100 * CHUNK_BYTES)


def test_a_holder_answers_an_opening_with_all_it_has() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.hold(TEN)
    assert haves(desk.have(1, TEN, [], wanting=True), 1) == [Have(TEN.blob, HaveSet.full(10), full=True, wanting=False)]
    desk.hold(MANY, [3, 4])
    assert haves(desk.have(2, MANY, [], wanting=True), 2) == [
        Have(MANY.blob, HaveSet.of([3, 4]), full=True, wanting=False)
    ]


def test_who_does_not_have_it_says_so_and_keeps_nothing() -> None:
    desk = Desk()
    desk.link(1)
    assert haves(desk.have(1, TEN, [], wanting=True)) == [Have(TEN.blob, HaveSet(), full=True, wanting=False)]
    assert not desk.have(1, TEN)
    assert not desk.swarm._state.blobs


def test_openings_that_cross_are_not_answered_twice() -> None:
    desk = Desk()
    desk.link(1)
    desk.give(FetchWanted(TEN.blob))
    assert len(haves(desk.said, 1)) == 1
    assert not haves(desk.have(1, TEN, [1], wanting=True), 1)


def test_an_opening_repeated_after_a_while_is_answered() -> None:
    desk = Desk()
    desk.link(1)
    desk.hold(TEN)
    desk.have(1, TEN, [], wanting=True)
    assert not haves(desk.have(1, TEN, [], wanting=True))
    desk.now += SwarmConfig().have_repeat
    assert haves(desk.have(1, TEN, [], wanting=True))


def test_two_nodes_never_answer_each_other_for_ever() -> None:
    """However long a message takes."""
    for delay in (0.0, 1.0, 4.9):
        a, b = Desk(), Desk(seed=2)
        a.link(1)
        b.link(0)
        a.give(FetchWanted(TEN.blob))
        b.give(FetchWanted(TEN.blob))
        count = 0
        mail = [(b, 1, message) for message in haves(a.said)] + [(a, 0, message) for message in haves(b.said)]
        while mail and count < 20:
            desk, sender, message = mail.pop(0)
            desk.now += delay
            back = haves(desk.message(1 if desk is a else 0, message))
            mail += [(a if desk is b else b, sender, answer) for answer in back]
            count += 1
        assert count <= 4


def test_a_question_that_was_not_heard_is_repeated() -> None:
    desk = Desk()
    desk.link(1)
    desk.give(FetchWanted(TEN.blob))
    desk.clear()
    while desk.now < 1000 + 2 * SwarmConfig().have_repeat + SwarmConfig().refresh_max:
        desk.ring("refresh")
    assert 1 <= len(haves(desk.said, 1)) <= 3


def test_new_chunks_are_told_in_batches_to_those_that_want() -> None:
    desk = Desk()
    desk.link(1, 2, 3)
    desk.begin(MANY)
    desk.have(2, MANY, [], wanting=True)
    desk.have(3, MANY, [7])
    desk.clear()
    stored: list[FetchChunk] = []
    while len(stored) < 8:
        assert not haves(desk.said)
        stored.append(desk.open[min(desk.open)])
        desk.store(stored[-1], MANY, seconds=0.001)
    (told,) = haves(desk.said, 2)
    assert told.have == HaveSet.of(effect.index for effect in stored)
    assert (told.full, told.wanting) == (False, True)
    assert not haves(desk.said, 1)
    assert not haves(desk.said, 3)


def test_a_few_new_chunks_are_told_after_a_short_while() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.begin(MANY)
    desk.have(2, MANY, [], wanting=True)
    desk.clear()
    effect = desk.open[min(desk.open)]
    desk.store(effect, MANY)
    before = desk.now
    said = desk.ring("flush")
    assert desk.now - before <= 0.1
    (told,) = haves(said, 2)
    assert (told.have, told.full, told.wanting) == (HaveSet.of([effect.index]), False, True)
    assert set(told.coming) == {effect.index for effect in desk.open.values() if effect.peer == node_id(1)}
    assert "flush" not in [key.name for key in desk.timers]


def test_news_are_told_seldom_while_the_processor_is_short() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.begin(MANY)
    desk.have(2, MANY, [], wanting=True)
    for strained, least, most in ((True, 0.2, 0.3), (False, 0.0, 0.1)):
        desk.give(StrainChanged(strained))
        desk.clear()
        stored = [desk.open[request].index for request in sorted(desk.open)[:3]]
        before = desk.now
        for request in sorted(desk.open)[:3]:
            desk.store(desk.open[request], MANY, seconds=0.001)
        (told,) = haves(desk.ring("flush"), 2)
        assert told.have == HaveSet.of(stored)
        assert least <= desk.now - before <= most


def test_all_who_listen_hear_the_same() -> None:
    """It is put into bytes only once: those who have a part of it already hear of that part again."""
    desk = Desk()
    desk.link(1, 2, 3, 4)
    desk.begin(MANY)
    first, second = [desk.open[request] for request in sorted(desk.open)[:2]]
    desk.have(2, MANY, [], wanting=True)
    desk.have(3, MANY, [first.index], wanting=True)
    desk.have(4, MANY, range(100), wanting=True)
    desk.clear()
    desk.store(first, MANY, seconds=0.001)
    desk.store(second, MANY, seconds=0.001)
    said = desk.ring("flush")
    ((told,), (again,)) = haves(said, 2), haves(said, 3)
    assert told is again
    assert told.have == HaveSet.of([first.index, second.index])
    assert not haves(said, 4), "who has all of it"


def test_what_is_under_way_is_told_to_fellows_alone_and_to_them_without_news_as_well() -> None:
    desk = Desk()
    desk.link(1, 2, 3)
    desk.link(4, tier=2)
    desk.give(FetchWanted(MANY.blob))
    desk.have(1, MANY)
    desk.have(2, MANY, [], wanting=True)
    desk.have(3, MANY, range(100), wanting=True)
    desk.have(4, MANY, [], wanting=True)
    desk.manifest(MANY)
    said = desk.ring("flush")
    under_way = {effect.index for effect in desk.open.values() if effect.peer == node_id(1)}
    (claimed,) = haves(said, 2)
    assert (claimed.have, set(claimed.coming)) == (HaveSet(), under_way)
    assert under_way
    assert not haves(said, 3), "who has all of it"
    assert not haves(said, 4), "who is elsewhere"
    desk.store(desk.open[min(desk.open)], MANY)
    said = desk.ring("flush")
    ((fellow,), (stranger,)) = haves(said, 2), haves(said, 4)
    assert fellow.coming
    assert (stranger.have, stranger.coming) == (fellow.have, ())


def test_what_is_under_way_is_not_told_again_for_its_own_sake() -> None:
    two = blob_of(2 * CHUNK_BYTES)
    desk = Desk()
    desk.link(1, 2, 3)
    desk.give(FetchWanted(two.blob))
    desk.have(1, two)
    desk.have(3, two)
    desk.have(2, two, [], wanting=True)
    desk.manifest(two)
    (told,) = haves(desk.ring("flush"), 2)
    assert set(told.coming) == {0, 1}
    desk.have(2, two, [0], full=False, wanting=True)
    first = next(effect for effect in desk.open.values() if effect.index == 0)
    desk.store(first, two)
    assert not haves(desk.ring("flush"), 2), "it has that one, and knows of the other"


def test_a_publisher_tells_everything_that_is_asked_of_it_while_its_processor_is_short() -> None:
    desk = Desk()
    desk.link(1, 2, 3)
    desk.hold(MANY)
    for number in (1, 2, 3):
        desk.have(number, MANY, [], wanting=True)
    desk.give(StrainChanged(True))
    desk.clear()
    for index in range(100):
        asked = UnitAsked(RequestId(index), node_id(1), MANY.blob, index, CHUNK_BYTES, CHUNK_BYTES)
        desk.give(asked)
    desk.ring("flush")
    told = [message.coming for message in haves(desk.said, 2)]
    assert {index for coming in told for index in coming} == set(range(100))
    assert max(map(len, told)) <= COMING_MAX


def test_what_is_claimed_is_left_until_news_of_it_may_have_come() -> None:
    waited = []
    for strained in (False, True):
        desk = Desk()
        desk.link(1, 2)
        desk.give(StrainChanged(strained))
        desk.give(FetchWanted(TEN.blob))
        desk.have(1, TEN)
        desk.message(2, Have(TEN.blob, HaveSet(), full=True, wanting=True, coming=tuple(range(10))))
        desk.manifest(TEN)
        assert not desk.open
        before = desk.now
        desk.ring("pump")
        assert desk.open
        waited.append(desk.now - before)
    config = SwarmConfig()
    later = config.strained_delta_delay - config.delta_delay
    assert waited[1] - waited[0] == pytest.approx(config.left_patience * later)


def test_what_a_subscriber_has_itself_is_no_news_to_it() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.begin(TEN)
    desk.have(2, TEN, range(10), wanting=True)
    desk.store(desk.open[min(desk.open)], TEN)
    assert not haves(desk.ring("flush"))


def test_who_becomes_complete_tells_the_rest_and_hears_no_more() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.begin(TEN)
    desk.have(2, TEN, [], wanting=True)
    desk.clear()
    assert desk.finish(TEN)
    last = haves(desk.said, 2)[-1]
    assert not last.wanting
    told = HaveSet()
    for message in haves(desk.said, 2):
        told |= message.have
    assert told == HaveSet.full(10)
    assert haves(desk.said, 1) == [Have(TEN.blob, HaveSet(), full=False, wanting=False)]
    desk.give(BlobCompleted(TEN.blob))
    assert list(desk.swarm._state.blobs[TEN.blob].neighbours) == [node_id(2)]
    desk.have(2, TEN, [], full=False, wanting=False)
    assert not desk.swarm._state.blobs[TEN.blob].neighbours
    assert not desk.swarm._state.peers[node_id(2)].blobs


def test_an_asker_with_a_part_of_it_is_a_source() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN, range(5))
    desk.have(2, TEN, range(5, 10), wanting=True)
    desk.manifest(TEN)
    assert set(desk.asked_of(1)) <= set(range(5))
    assert desk.asked_of(2)
    assert set(desk.asked_of(2)) <= set(range(5, 10))


def test_news_of_a_neighbour_are_added_and_a_whole_set_replaces() -> None:
    desk = Desk()
    desk.link(1)
    desk.give(FetchWanted(MANY.blob))
    desk.have(1, MANY, [1])
    desk.have(1, MANY, [2, 3], full=False)
    neighbour = desk.swarm._state.blobs[MANY.blob].neighbours[node_id(1)]
    assert neighbour.have == 0b1110
    desk.have(1, MANY, [9])
    assert neighbour.have == 1 << 9


def test_a_neighbour_without_anything_makes_room() -> None:
    desk = Desk()
    desk.link(1)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN, [])
    assert not desk.swarm._state.blobs[TEN.blob].neighbours


def test_claimed_sets_are_clipped() -> None:
    desk = Desk(SwarmConfig(unknown_chunks_max=64))
    desk.link(1, 2)
    desk.give(FetchWanted(MANY.blob))
    desk.message(1, Have(MANY.blob, HaveSet.full(2**20), full=True, wanting=False))
    neighbours = desk.swarm._state.blobs[MANY.blob].neighbours
    assert neighbours[node_id(1)].have.bit_length() == 64
    assert not neighbours[node_id(1)].heard, "it is asked again when the size is known"
    desk.manifest(MANY)
    desk.message(1, Have(MANY.blob, HaveSet.full(2**20), full=True, wanting=False))
    assert neighbours[node_id(1)].have == 2**100 - 1
    assert neighbours[node_id(1)].heard


def test_neighbours_and_subscriptions_are_bounded() -> None:
    desk = Desk(SwarmConfig(neighbours_max=16, blobs_per_peer=3))
    desk.link(*range(1, 30))
    desk.hold(TEN)
    for number in range(1, 30):
        answer = haves(desk.have(number, TEN, [], wanting=True))
        assert len(answer) == 1, "an answer, even without room for a subscription"
    assert len(desk.swarm._state.blobs[TEN.blob].neighbours) == 16
    for name in range(10):
        info = blob_of(5, bytes([name]))
        desk.hold(info)
        desk.have(1, info, [], wanting=True)
    assert len(desk.swarm._state.peers[node_id(1)].blobs) == 3


def test_useless_neighbours_give_way() -> None:
    desk = Desk(SwarmConfig(neighbours_max=16))
    desk.link(*range(1, 18))
    desk.give(FetchWanted(TEN.blob))
    for number in range(1, 17):
        desk.have(number, TEN, [], wanting=True)
    desk.have(17, TEN)
    assert node_id(17) not in desk.swarm._state.blobs[TEN.blob].neighbours
    blob = desk.swarm._state.blobs[TEN.blob]
    blob.neighbours[node_id(3)].wanting = False
    desk.have(17, TEN)
    assert node_id(17) in blob.neighbours
    assert node_id(3) not in blob.neighbours


def test_messages_of_peers_without_a_link_are_ignored() -> None:
    desk = Desk()
    desk.hold(TEN)
    assert not desk.have(5, TEN, [], wanting=True)


def test_a_new_link_is_asked_at_once() -> None:
    desk = Desk()
    desk.give(FetchWanted(TEN.blob))
    desk.clear()
    desk.link(4)
    assert [type(one) for one in desk.said] == [Send]
    desk.clear()
    desk.link(4)
    assert not desk.said, "once"
