"""Which chunk of whom, how much at once, and what happens when it does not come."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random

import pytest

from edgecache.core.swarm import SwarmConfig
from edgecache.core.swarm.scoring import Goodput, Neighbour, Peer, choose
from edgecache.core.vocabulary import (
    CancelFetch,
    ChunkProgress,
    FetchChunk,
    FetchFailure,
    FetchWanted,
    LinkBusy,
    Misbehaved,
    RoomGranted,
    RttMeasured,
    Send,
    StrainChanged,
)
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.have import HaveSet
from edgecache.wire.messages import Cancel, Have
from tests.unit.core.swarm.desk import Desk, of
from tests.unit.core.swarm.world import blob_of, node_id

TEN = blob_of(10 * CHUNK_BYTES)
MANY = blob_of(200 * CHUNK_BYTES)


def peer(number: int, *, tier: int = 0, rate: float | None = None, queued: int = 0, rtt: float = 0.001) -> Peer:
    config = SwarmConfig()
    goodput = Goodput(config.goodput_span, rate or config.near_prior, measured=rate is not None)
    return Peer(node_id(number), tier, rtt, 16, config, goodput, requests=bool(queued), queued=queued)


# ---- peers


def test_goodput_is_a_rate_over_busy_time() -> None:
    goodput = Goodput(0.25, 5.0)
    goodput.begin(10.0)
    goodput.delivered(1000, 10.1)
    assert not goodput.measured
    goodput.delivered(1000, 10.25)
    assert goodput.rate == pytest.approx(8000)
    goodput.end(10.3)
    goodput.begin(100.0)
    goodput.delivered(400, 100.1)
    goodput.end(100.1)
    assert 4000 < goodput.rate < 8000, "idle time does not count, a short measurement counts little"


def test_two_requests_in_flight_do_not_look_slow() -> None:
    """Each takes twice as long as alone; the rate of the link is what it is."""
    goodput, now = Goodput(0.25, 1.0), 0.0
    goodput.begin(now)
    for _ in range(20):
        now += 0.1
        goodput.delivered(100_000, now)
    assert goodput.rate == pytest.approx(1e6)


def test_the_window_follows_bandwidth_and_delay() -> None:
    def full(one: Peer) -> int:
        one.queued = one.requests = 0
        while one.has_room(0.0):
            one.asked(CHUNK_BYTES, 0.0)
        return one.requests
    assert full(peer(1)) == 1, "nothing is known yet"
    assert full(peer(1, rate=100_000.0)) == 1
    assert full(peer(1, rate=12.5e6)) == 2
    assert full(peer(1, rate=12.5e6, rtt=0.1)) == 8
    assert full(peer(1, rate=1e9)) == 16, "the bytes that the configuration allows, and the peer's window"
    assert full(peer(1, rate=12.5e6)) < full(peer(1, rate=12.5e6, rtt=0.05))
    narrow = peer(1, rate=1e9)
    narrow.slots = 3
    assert full(narrow) == 3


def test_slow_storage_of_ours_widens_the_window() -> None:
    quick, slow = peer(1, rate=12.5e6), peer(2, rate=12.5e6)
    assert slow.window(handling=0.1) > quick.window(handling=0.0) + 1e6


@pytest.mark.parametrize(
    ("rate", "unit"),
    [
        (1e9, 524288), (26.3e6, 524288), (26.1e6, 262144), (1.8e6, 262144),
        (1.5e6, 131072), (500e3, 65536), (120e3, 16384), (10.0, 16384),
    ],
)
def test_a_unit_takes_at_most_150_ms(rate: float, unit: int) -> None:
    assert peer(1, rate=rate).unit() == unit


def test_timeouts_have_a_floor_and_a_ceiling() -> None:
    assert peer(1, rate=1e8).timeout(CHUNK_BYTES) == 5.0
    assert peer(1, rate=50e3).timeout(CHUNK_BYTES) == pytest.approx(4 * (CHUNK_BYTES / 50e3 + 0.001))
    assert peer(1, rate=1.0).timeout(CHUNK_BYTES) == 60.0


def test_the_sooner_of_two_is_asked() -> None:
    quick, slow = Neighbour(peer(1, rate=1e7)), Neighbour(peer(2, rate=1e6))
    busy = Neighbour(peer(3, rate=1e7, queued=100 * CHUNK_BYTES))
    rng = Random(1)
    assert {choose([quick, slow], CHUNK_BYTES, 2.0, rng, 0.0).peer.node for _ in range(50)} == {node_id(1)}
    assert {choose([busy, slow], CHUNK_BYTES, 2.0, rng, 0.0).peer.node for _ in range(50)} == {node_id(2)}
    explored = [choose([quick, slow], CHUNK_BYTES, 2.0, rng, 0.1).peer.node for _ in range(2000)]
    assert 50 < explored.count(node_id(2)) < 150


def test_partial_holders_are_preferred_to_complete_ones_of_the_same_speed() -> None:
    whole, part = Neighbour(peer(1, rate=1e7), whole=True), Neighbour(peer(2, rate=8e6))
    crawling = Neighbour(peer(3, rate=1e6))
    rng = Random(1)
    assert choose([whole, part], CHUNK_BYTES, 2.0, rng, 0.0) is part
    assert choose([whole, crawling], CHUNK_BYTES, 2.0, rng, 0.0) is whole


def test_who_was_never_tried_is_tried_next() -> None:
    known, fresh = Neighbour(peer(1, rate=1e9)), Neighbour(peer(2))
    assert choose([known, fresh], CHUNK_BYTES, 2.0, Random(1), 0.0) is fresh


# ---- which chunk of whom


def test_the_rarest_chunk_goes_first() -> None:
    desk = Desk(SwarmConfig(random_first=0))
    desk.link(1, 2, 3)
    desk.give(FetchWanted(MANY.blob))
    rare = [11, 57, 123]
    desk.have(1, MANY, set(range(200)) - set(rare), wanting=True)
    desk.have(2, MANY, set(range(200)) - set(rare), wanting=True)
    desk.have(3, MANY)
    desk.manifest(MANY)
    first = [effect.index for effect in desk.open.values() if effect.peer == node_id(3)]
    assert set(first) <= set(rare)


def test_the_first_chunks_are_any() -> None:
    drawn = set()
    for seed in range(12):
        desk = Desk(seed=seed)
        desk.link(1, 2)
        desk.give(FetchWanted(TEN.blob))
        desk.have(1, TEN, range(10), wanting=True)
        desk.have(2, TEN, [9], wanting=True)
        desk.manifest(TEN)
        drawn.add(desk.open[min(desk.open)].index)
    assert len(drawn) > 3


def near_and_far(near: Iterable[int] | None = None, *, window: int = 16) -> Desk:
    """A fetch of TEN: peer 1 of our site has these chunks or all of them, peer 2 of another site has all."""
    desk = Desk()
    desk.link(1, tier=0, window=window)
    desk.link(2, tier=2)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN, near)
    desk.have(2, TEN)
    desk.manifest(TEN)
    return desk


def test_what_a_near_peer_has_is_never_asked_of_a_far_one() -> None:
    desk = near_and_far(range(8), window=1)
    assert len(desk.asked_of(1)) == 1
    desk.store_all(TEN)
    far = [effect.index for effect in desk.heard(FetchChunk) if effect.peer == node_id(2)]
    assert sorted(far) == [8, 9]


def test_what_a_near_peer_has_that_rests_for_a_moment_is_not_worth_a_crossing() -> None:
    desk = near_and_far()
    desk.fail(desk.open[min(desk.open)], FetchFailure.TIMEOUT)
    assert desk.finish(TEN)
    assert {effect.peer for effect in desk.heard(FetchChunk)} == {node_id(1)}


def test_a_near_peer_that_is_left_alone_for_long_does_not_hold_up_the_far_one() -> None:
    desk = near_and_far()
    assert not desk.asked_of(2)
    desk.fail(desk.open[min(desk.open)], FetchFailure.REFUSED, 30.0)
    assert desk.asked_of(2)


def test_leechers_take_different_chunks_of_the_publisher() -> None:
    """Three that know of each other, and see only the publisher's chunks."""
    asked = []
    for me in (1, 2, 3):
        desk = Desk()
        desk.link(9, *(n for n in (1, 2, 3) if n != me), window=100)
        desk.swarm._state.me = type(desk.swarm._state.me)(node_id(me), "mesh", "site", "", 1, ())
        desk.give(FetchWanted(MANY.blob))
        for other in (1, 2, 3):
            if other != me:
                desk.have(other, MANY, [], wanting=True)
        desk.have(9, MANY)
        desk.manifest(MANY)
        while len(desk.heard(FetchChunk)) < 60:
            desk.store(desk.open[min(desk.open)], MANY)
        asked.append({effect.index for effect in desk.heard(FetchChunk)})
    assert not asked[0] & asked[1]
    assert not asked[1] & asked[2]
    assert not asked[0] & asked[2]


def test_what_another_leecher_has_under_way_is_left_to_it_for_a_while() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.give(FetchWanted(TEN.blob))
    desk.message(1, Have(TEN.blob, HaveSet(), full=True, wanting=True, coming=(3, 7)))
    desk.have(2, TEN)
    desk.manifest(TEN)
    done = desk.store_all(TEN)
    assert set(range(10)) - {effect.index for effect in done} == {3, 7}
    before = desk.now
    assert desk.finish(TEN)
    assert 0 < desk.now - before < 1


def test_what_a_leecher_no_longer_has_under_way_is_asked_for_at_once() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.give(FetchWanted(TEN.blob))
    desk.message(1, Have(TEN.blob, HaveSet(), full=True, wanting=True, coming=(3, 7)))
    desk.have(2, TEN)
    desk.manifest(TEN)
    desk.store_all(TEN)
    desk.message(1, Have(TEN.blob, HaveSet(), full=False, wanting=True, coming=(7,)))
    assert [effect.index for effect in desk.store_all(TEN)] == [3]


def test_what_others_ask_of_a_complete_holder_is_left_to_them() -> None:
    desk = Desk()
    desk.link(2)
    desk.give(FetchWanted(TEN.blob))
    desk.message(2, Have(TEN.blob, HaveSet.full(10), full=True, wanting=False, coming=(0, 1)))
    desk.manifest(TEN)
    desk.message(2, Have(TEN.blob, HaveSet(), full=False, wanting=False, coming=(2,)))
    done = desk.store_all(TEN)
    assert {0, 1} <= set(range(10)) - {effect.index for effect in done}, "what it said first is remembered"
    assert desk.finish(TEN)


def test_the_end_game_asks_a_second_peer_and_cancels_the_slower() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.begin(TEN)
    slow = next(effect for effect in desk.open.values() if effect.peer == node_id(1))
    while not (twice := [e for e in desk.heard(FetchChunk) if e.index == slow.index and e is not slow]):
        others = [effect for effect in desk.open.values() if effect is not slow]
        if others:
            desk.store(others[0], TEN)
        else:
            desk.ring("pump")
    second = twice[0]
    assert second.peer == node_id(2)
    assert {effect.index for effect in desk.heard(FetchChunk)} == set(range(10)), "when nothing else is to be asked"
    said = desk.store(second, TEN)
    assert CancelFetch(slow.request) in said
    assert Send(node_id(1), Cancel(TEN.blob, (slow.index,))) in said


def test_next_to_nothing_is_doubled_between_equals_that_are_on_time() -> None:
    desk = Desk()
    desk.link(1, 2, 3)
    desk.begin(MANY)
    assert len(desk.store_all(MANY, seconds=0.02)) <= 200 + SwarmConfig().endgame_chunks


def test_bytes_in_flight_are_bounded() -> None:
    desk = Desk(SwarmConfig(inflight_bytes_max=6 * CHUNK_BYTES, window_bytes_max=4 * CHUNK_BYTES))
    desk.link(*range(1, 9))
    desk.begin(MANY)
    assert len(desk.open) == 5, "and room for a chunk of any size"


def test_the_download_rate_is_kept() -> None:
    rate = 10 * CHUNK_BYTES
    desk = Desk(SwarmConfig(download_rate=rate))
    desk.link(1)
    desk.begin(MANY)
    began = desk.now
    while desk.open or desk.now < began + 5:
        while desk.open:
            desk.store(desk.open[min(desk.open)], MANY, seconds=0.001)
        if len(desk.heard(FetchChunk)) > 100:
            break
        desk.ring("pump")
    assert len(desk.heard(FetchChunk)) * CHUNK_BYTES / (desk.now - began) == pytest.approx(rate, rel=0.1)


def test_two_fetches_share_the_links() -> None:
    other = blob_of(200 * CHUNK_BYTES, b"other")
    desk = Desk()
    desk.link(1)
    desk.begin(MANY)
    desk.give(FetchWanted(other.blob))
    desk.have(1, other)
    desk.manifest(other)
    for _ in range(40):
        effect = desk.open.pop(min(desk.open))
        desk.store(effect, MANY if effect.blob == MANY.blob else other)
    counts = [sum(effect.blob == info.blob for effect in desk.heard(FetchChunk)) for info in (MANY, other)]
    assert abs(counts[0] - counts[1]) <= 6


# ---- what goes wrong


def test_a_timeout_moves_the_chunk_and_rests_the_peer() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.begin(MANY)
    late = next(effect for effect in desk.open.values() if effect.peer == node_id(1))
    said = desk.fail(late, FetchFailure.TIMEOUT)
    assert Send(node_id(1), Cancel(MANY.blob, (late.index,))) in said
    for effect in list(desk.open.values()):
        desk.store(effect, MANY, seconds=0.0)
    assert not desk.asked_of(1)
    desk.now += SwarmConfig().cool_min
    desk.store(desk.open[min(desk.open)], MANY, seconds=0.0)
    assert desk.asked_of(1), "it gets another chance"


def test_pauses_after_timeouts_grow() -> None:
    one = peer(1)
    pauses = []
    for _ in range(8):
        one.strike(0.0)
        pauses.append(one.cool_until)
        one.cool_until = 0.0
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    one.well()
    one.strike(0.0)
    assert one.cool_until == 1


def test_a_refusal_is_obeyed() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    for effect in list(desk.open.values()):
        desk.fail(effect, FetchFailure.REFUSED, 3.0)
    assert not desk.open
    before = desk.now
    desk.ring("pump")
    assert desk.now - before == pytest.approx(3.0)
    assert desk.open


def test_an_absurd_refusal_is_not_believed() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    desk.fail(desk.open[min(desk.open)], FetchFailure.REFUSED, 1e9)
    assert desk.swarm._state.peers[node_id(1)].cool_until - desk.now <= 60


def test_a_chunk_that_a_peer_does_not_have_is_not_asked_of_it_again() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    gone = desk.open[min(desk.open)]
    desk.fail(gone, FetchFailure.NOT_FOUND)
    done = desk.store_all(TEN)
    assert gone.index not in [effect.index for effect in done]
    assert len(done) == 9


def test_one_that_claims_what_it_does_not_have_is_left_alone() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    for _ in range(SwarmConfig().denials_max):
        desk.fail(desk.open[min(desk.open)], FetchFailure.NOT_FOUND)
    assert desk.swarm._state.peers[node_id(1)].cooling(desk.now)


def test_a_liar_is_reported_and_not_asked_again() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.begin(MANY)
    said = desk.fail(next(e for e in desk.open.values() if e.peer == node_id(1)), FetchFailure.CORRUPT)
    assert [(one.peer, one.weight) for one in of(Misbehaved, said)] == [(node_id(1), 5)]
    cancelled = {one.request for one in of(CancelFetch, said)}
    assert all(desk.open.pop(request).peer == node_id(1) for request in cancelled)
    desk.have(1, MANY)
    desk.unlink(1)
    desk.link(1)
    desk.have(1, MANY)
    desk.clear()
    assert len(desk.store_all(MANY)) >= 190
    assert {effect.peer for effect in desk.heard(FetchChunk)} == {node_id(2)}


def test_a_lost_link_frees_its_chunks_at_once() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.begin(TEN)
    lost = [effect for effect in desk.open.values() if effect.peer == node_id(1)]
    said = desk.unlink(1)
    assert [one.request for one in of(CancelFetch, said)] == [effect.request for effect in lost]
    assert not of(Send, said)
    assert len(desk.store_all(TEN)) == 10
    assert desk.swarm._state.inflight == 0


def test_a_peer_whose_link_broke_under_a_request_rests_shortly() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    for effect in list(desk.open.values()):
        desk.fail(effect, FetchFailure.LINK_LOST)
    assert not desk.open
    desk.ring("pump")
    assert desk.open


def test_units_feed_the_rate_and_shorten_the_queue() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    effect = desk.open[min(desk.open)]
    peer_state = desk.swarm._state.peers[node_id(1)]
    queued = peer_state.queued
    desk.now += 0.5
    desk.give(ChunkProgress(effect.request, 65536))
    assert peer_state.queued == queued - 65536
    assert peer_state.goodput.rate == pytest.approx(131072)
    desk.give(ChunkProgress(effect.request, 65536))
    desk.give(ChunkProgress(effect.request, 10**9))
    assert peer_state.queued == queued - 65536, "repeated or absurd progress changes nothing"
    desk.store_all(TEN, seconds=1.0)
    assert peer_state.queued == 0
    assert desk.heard(FetchChunk)[-1].unit == 32768


def test_a_busy_link_is_told_once_and_released() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    desk.store_all(TEN)
    assert desk.heard(LinkBusy) == [LinkBusy(node_id(1), True)]
    other = Desk()
    other.link(1)
    other.give(FetchWanted(TEN.blob))
    other.have(1, TEN, [0])
    other.manifest(TEN)
    other.store_all(TEN)
    while other.now < 1010:
        other.ring("refresh")
    assert other.heard(LinkBusy) == [LinkBusy(node_id(1), True), LinkBusy(node_id(1), False)]


def test_a_newer_round_trip_counts() -> None:
    desk = Desk()
    desk.link(1)
    desk.give(RttMeasured(node_id(1), 0.3))
    desk.give(RttMeasured(node_id(7), 0.3))
    assert desk.swarm._state.peers[node_id(1)].rtt == 0.3


def test_more_is_asked_for_at_once_while_the_processor_is_short() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(MANY)
    for _ in range(20):
        desk.store(desk.open[min(desk.open)], MANY, seconds=0.02)
    before = len(desk.open)
    desk.give(StrainChanged(True))
    more = len(desk.open) - before
    assert more == pytest.approx(1.25 * 0.06 * 50, abs=1.0), "what comes at 50 chunks a second in that time"
    desk.give(StrainChanged(False))
    for _ in range(more):
        desk.store(desk.open[min(desk.open)], MANY, seconds=0.02)
        assert len(desk.open) < before + more, "what is under way is not taken back, but none comes in its place"


def test_a_window_of_none_is_taken_as_one() -> None:
    desk = Desk()
    desk.link(1, window=0)
    desk.begin(TEN)
    assert len(desk.open) == 1


def test_room_for_an_unknown_fetch_is_ignored() -> None:
    desk = Desk()
    assert not desk.give(RoomGranted(TEN.blob))
