"""The life of a fetch, told as conversations."""

from __future__ import annotations

from edgecache.core.swarm import SwarmConfig
from edgecache.core.vocabulary import (
    BlobCompleted,
    BlobGone,
    BlobHeld,
    CancelFetch,
    ChunkStored,
    CompleteBlob,
    FetchFailure,
    FetchFinished,
    FetchManifest,
    FetchProgressed,
    FetchUnwanted,
    FetchWanted,
    HoldingChanged,
    LinkBusy,
    LinkUnavailable,
    LinkWanted,
    ManifestFailed,
    ManifestStored,
    Misbehaved,
    ProvidersFound,
    ProvidersUnwanted,
    ProvidersWanted,
    RequestId,
    RoomGranted,
    RoomRefused,
    RoomWanted,
    Send,
)
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.have import HaveSet
from edgecache.model.priority import Priority
from edgecache.wire.messages import Cancel, Claim, Have
from tests.unit.core.swarm.desk import Desk, haves, of
from tests.unit.core.swarm.world import blob_of, node_id

TEN = blob_of(10 * CHUNK_BYTES - 5)
BIG = blob_of(3000 * CHUNK_BYTES)


def test_a_blob_from_wanted_to_verified() -> None:
    desk = Desk()
    assert of(ProvidersWanted, desk.give(FetchWanted(TEN.blob)))
    assert {wanted.peer for wanted in of(LinkWanted, desk.claims(TEN, 1, 2))} == {node_id(1), node_id(2)}
    desk.clear()
    desk.link(1, 2)
    opening = Have(TEN.blob, HaveSet(), full=True, wanting=True)
    assert haves(desk.said) == [opening, opening]
    root = of(FetchManifest, desk.have(1, TEN))
    assert [(effect.peer, effect.page) for effect in root] == [(node_id(1), None)]
    said = desk.give(ManifestStored(root[0].request, node_id(1), TEN, None, HaveSet()))
    assert of(RoomWanted, said) == [RoomWanted(TEN.blob, TEN.size)]
    pages = of(FetchManifest, desk.give(RoomGranted(TEN.blob)))
    assert [effect.page for effect in pages] == [0]
    assert not desk.open, "no chunk can be verified before its page is here"
    desk.give(ManifestStored(pages[0].request, node_id(1), TEN, 0, HaveSet()))
    desk.clear()
    fetched = desk.store_all(TEN)
    assert sorted(effect.index for effect in fetched) == list(range(10))
    assert [report.have for report in desk.heard(FetchProgressed)][:9] == list(range(1, 10))
    assert [held.held for held in desk.heard(HoldingChanged)] == list(range(1, 10))
    assert desk.heard(CompleteBlob) == [CompleteBlob(TEN.blob)]
    assert not desk.heard(FetchFinished)
    desk.clear()
    desk.give(BlobCompleted(TEN.blob))
    assert desk.said[:2] == [FetchFinished(TEN.blob), HoldingChanged(TEN, 10)]
    assert of(LinkBusy, desk.said) == [LinkBusy(node_id(1), False)]
    assert [(view.phase, view.have) for view in desk.swarm.fetches()] == [("done", 10)]
    assert desk.swarm.received() == {node_id(1): TEN.size}


def test_a_complete_blob_is_finished_at_once() -> None:
    desk = Desk()
    assert of(HoldingChanged, desk.hold(TEN)) == [HoldingChanged(TEN, 10)]
    assert desk.give(FetchWanted(TEN.blob)) == [FetchFinished(TEN.blob)]


def test_a_fetch_goes_on_after_a_restart() -> None:
    desk = Desk()
    said = desk.hold(TEN, [0, 1, 9], wanted=True)
    assert of(HoldingChanged, said) == [HoldingChanged(TEN, 3)]
    assert of(RoomWanted, said) == [RoomWanted(TEN.blob, 7 * CHUNK_BYTES)]
    desk.give(RoomGranted(TEN.blob))
    desk.link(1)
    desk.have(1, TEN)
    assert sorted(effect.index for effect in desk.store_all(TEN)) == list(range(2, 9))
    assert not desk.heard(FetchManifest)


def test_pages_of_which_no_chunk_is_here_are_fetched_again_after_a_restart() -> None:
    desk = Desk()
    desk.link(1)
    desk.give(FetchWanted(BIG.blob))
    desk.have(1, BIG)
    root = desk.heard(FetchManifest)[0]
    desk.give(ManifestStored(root.request, root.peer, BIG, None, HaveSet.of([5])))
    desk.clear()
    desk.give(RoomGranted(BIG.blob))
    assert [effect.page for effect in desk.heard(FetchManifest)] == [0, 1], "two in flight"
    again = Desk()
    again.hold(BIG, [1500], wanted=True)
    again.link(1)
    again.have(1, BIG)
    again.give(RoomGranted(BIG.blob))
    assert not again.heard(FetchManifest), "the store says that all pages are here"


def test_only_chunks_whose_page_is_here_are_asked_for() -> None:
    desk = Desk(SwarmConfig(inflight_bytes_max=200 * CHUNK_BYTES, window_bytes_max=100 * CHUNK_BYTES))
    desk.link(1, 2, 3)
    desk.give(FetchWanted(BIG.blob))
    for number in (1, 2, 3):
        desk.have(number, BIG)
    root = desk.heard(FetchManifest)[0]
    desk.give(ManifestStored(root.request, root.peer, BIG, None, HaveSet()))
    desk.give(RoomGranted(BIG.blob))
    page = next(effect for effect in desk.heard(FetchManifest) if effect.page == 1)
    assert len({effect.peer for effect in desk.heard(FetchManifest)[1:]}) == 2, "pages come from different peers"
    desk.give(ManifestStored(page.request, page.peer, BIG, 1, HaveSet()))
    assert desk.open
    assert all(1024 <= effect.index < 2048 for effect in desk.open.values())


def test_no_room_ends_the_fetch_with_a_sentence() -> None:
    desk = Desk()
    desk.link(1)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN)
    root = desk.heard(FetchManifest)[0]
    desk.give(ManifestStored(root.request, root.peer, TEN, None, HaveSet()))
    desk.clear()
    desk.give(RoomRefused(TEN.blob, "the cache may hold 1 MB"))
    assert desk.heard(FetchFinished) == [FetchFinished(TEN.blob, "the cache may hold 1 MB", full=True)]
    assert desk.heard(ProvidersUnwanted)
    assert haves(desk.said) == [Have(TEN.blob, HaveSet(), full=False, wanting=False)]
    assert [view.phase for view in desk.swarm.fetches()] == ["failed"]


def test_the_root_is_asked_of_another_source_after_a_timeout() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN)
    desk.have(2, TEN)
    first = desk.heard(FetchManifest)[0]
    said = desk.give(ManifestFailed(first.request, first.peer, TEN.blob, FetchFailure.TIMEOUT))
    second = of(FetchManifest, said)
    assert [effect.peer for effect in second] == [node_id(2)]
    desk.give(ManifestFailed(second[0].request, second[0].peer, TEN.blob, FetchFailure.TIMEOUT))
    desk.clear()
    desk.ring("pump")
    assert desk.heard(FetchManifest), "after the pause the first is asked again"


def test_a_corrupt_root_is_reported_and_its_sender_not_asked_again() -> None:
    desk = Desk()
    desk.link(1)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN)
    root = desk.heard(FetchManifest)[0]
    said = desk.give(ManifestFailed(root.request, root.peer, TEN.blob, FetchFailure.CORRUPT))
    assert [(one.peer, one.weight) for one in of(Misbehaved, said)] == [(node_id(1), 5)]
    desk.clear()
    desk.have(1, TEN)
    desk.claims(TEN, 1)
    desk.ring("refresh")
    assert not desk.heard(FetchManifest)
    assert not haves(desk.said)


def test_a_stopped_fetch_takes_everything_back_and_keeps_what_is_here() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    desk.store(next(iter(desk.open.values())), TEN)
    under_way = list(desk.open)
    desk.clear()
    desk.give(FetchUnwanted(TEN.blob))
    assert [one.request for one in desk.heard(CancelFetch)] == under_way
    assert len([one for one in desk.heard(Send) if isinstance(one.message, Cancel)]) == len(under_way)
    assert desk.heard(ProvidersUnwanted)
    assert haves(desk.said)[-1].wanting is False
    desk.open.clear()
    assert not desk.have(1, TEN), "nothing more is asked for"
    desk.clear()
    desk.give(FetchWanted(TEN.blob))
    assert [wanted.need for wanted in desk.heard(RoomWanted)] == [TEN.size - CHUNK_BYTES]


def test_a_chunk_that_arrived_as_its_request_was_taken_back_counts() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    first = next(iter(desk.open.values()))
    desk.unlink(1)
    desk.clear()
    desk.give(ChunkStored(first.request, TEN.blob, first.index, CHUNK_BYTES, 0.1))
    assert desk.last_progress().have == 1
    desk.link(2)
    desk.have(2, TEN)
    assert first.index not in [effect.index for effect in desk.store_all(TEN)]
    assert desk.heard(CompleteBlob)


def test_it_also_ends_a_newer_request_for_the_same_chunk() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    first = next(iter(desk.open.values()))
    desk.link(2)
    desk.have(2, TEN)
    desk.unlink(1)
    newer = next((effect for effect in desk.open.values() if effect.index == first.index), None)
    while newer is None:
        desk.store(desk.open[min(desk.open)], TEN)
        newer = next((effect for effect in desk.open.values() if effect.index == first.index), None)
    said = desk.give(ChunkStored(first.request, TEN.blob, first.index, CHUNK_BYTES, 0.1))
    assert CancelFetch(newer.request) in said


def test_an_empty_blob_needs_no_chunk() -> None:
    empty = blob_of(0)
    desk = Desk()
    desk.link(1)
    desk.give(FetchWanted(empty.blob))
    desk.have(1, TEN)
    desk.message(1, Have(empty.blob, HaveSet.of([0]), full=True, wanting=False))
    root = desk.heard(FetchManifest)[0]
    assert of(CompleteBlob, desk.give(ManifestStored(root.request, root.peer, empty, None, HaveSet())))


def test_a_put_ends_a_fetch_of_the_same_blob() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    desk.clear()
    desk.hold(TEN)
    assert desk.heard(FetchFinished) == [FetchFinished(TEN.blob)]
    assert desk.heard(CancelFetch)
    assert desk.heard(HoldingChanged) == [HoldingChanged(TEN, 10)]


def test_a_blob_removed_while_it_is_fetched_is_withdrawn() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.begin(TEN)
    desk.have(2, TEN, [], wanting=True)
    desk.store(next(iter(desk.open.values())), TEN)
    desk.clear()
    desk.give(BlobGone(TEN.blob))
    assert "removed" in desk.heard(FetchFinished)[0].failure
    assert desk.heard(HoldingChanged) == [HoldingChanged(TEN, 0)]
    assert haves(desk.said, 2)[-1] == Have(TEN.blob, HaveSet(), full=True, wanting=False)
    assert not desk.have(2, TEN, [], wanting=False), "it is forgotten"


def test_a_held_blob_that_goes_is_withdrawn_from_its_subscribers() -> None:
    desk = Desk()
    desk.link(1)
    desk.hold(TEN)
    desk.have(1, TEN, [], wanting=True)
    desk.clear()
    desk.give(BlobGone(TEN.blob))
    assert desk.heard(HoldingChanged) == [HoldingChanged(TEN, 0)]
    assert haves(desk.said, 1) == [Have(TEN.blob, HaveSet(), full=True, wanting=False)]
    desk.give(BlobGone(TEN.blob))


def test_what_nobody_has_is_named_and_waited_for() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN, range(8))
    desk.have(2, TEN)
    desk.manifest(TEN)
    desk.claims(TEN, 1, 2)
    desk.unlink(2)
    desk.store_all(TEN)
    left = sorted(set(range(10)) - {i for i in range(10) if desk.swarm._state.blobs[TEN.blob].have >> i & 1})
    assert set(left) <= {8, 9}
    assert left
    assert desk.last_progress().missing_nowhere == tuple(left)
    assert not desk.heard(FetchFinished)
    desk.clear()
    for _ in range(5):
        desk.ring("refresh")
    assert len(desk.heard(ProvidersWanted)) == 5
    desk.have(1, TEN, left, full=False)
    desk.store_all(TEN)
    assert desk.heard(CompleteBlob)


def test_lookups_are_repeated_with_growing_pauses() -> None:
    desk = Desk()
    desk.give(FetchWanted(TEN.blob))
    pauses = []
    for _ in range(12):
        before = desk.now
        desk.ring("refresh")
        pauses.append(desk.now - before)
    assert pauses[0] < 1
    assert all(7 < pause < 13 for pause in pauses[-5:])
    desk.link(1)
    desk.have(1, TEN)
    desk.unlink(1)
    before = desk.now
    desk.ring("refresh")
    assert desk.now - before < 1, "a lost source is looked for soon"


def test_links_are_wanted_to_claimed_providers_within_bounds() -> None:
    desk = Desk()
    desk.give(FetchWanted(TEN.blob))
    desk.claims(TEN, *range(1, 60))
    wanted = desk.heard(LinkWanted)
    assert len(wanted) == SwarmConfig().sources_wanted
    desk.clear()
    desk.give(LinkUnavailable(wanted[0].peer))
    assert len(desk.heard(LinkWanted)) == 1, "the next candidate"
    assert desk.heard(LinkWanted)[0].peer not in [one.peer for one in wanted]
    desk.clear()
    desk.now += SwarmConfig().link_patience
    desk.ring("refresh")
    assert len(desk.heard(LinkWanted)) == SwarmConfig().sources_wanted, "links that never came are given up"


def test_a_provider_of_what_no_neighbour_has_is_linked_beyond_that_number() -> None:
    """Or a swarm whose members all lack one chunk would never find the publisher."""
    desk = Desk(SwarmConfig(sources_wanted=2))
    desk.link(1, 2)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN, range(9), wanting=True)
    desk.have(2, TEN, range(9), wanting=True)
    assert not of(LinkWanted, desk.claims(TEN, 7)), "there are enough sources"
    desk.manifest(TEN)
    desk.clear()
    desk.give(ProvidersFound(TEN.blob, tuple(Claim(TEN.blob, node_id(n), 5, 10) for n in range(20, 40)), final=True))
    assert desk.heard(LinkWanted)[0] == LinkWanted(node_id(7))
    assert len(desk.heard(LinkWanted)) == SwarmConfig().links_for_missing


def test_claims_of_ourselves_and_withdrawn_ones_are_ignored() -> None:
    desk = Desk()
    desk.give(FetchWanted(TEN.blob))
    assert not of(LinkWanted, desk.claims(TEN, 0))
    assert not of(LinkWanted, desk.claims(blob_of(5, b"other"), 3))


def test_fetches_beyond_the_limit_wait_for_their_turn() -> None:
    desk = Desk(SwarmConfig(fetches_max=2))
    one, two, three, four = (blob_of(5, name) for name in (b"a", b"b", b"c", b"d"))
    for info in (one, two, three, four):
        desk.give(FetchWanted(info.blob))
    assert not desk.heard(FetchFinished)
    assert [told.blob for told in desk.heard(ProvidersWanted)] == [one.blob, two.blob]
    desk.give(FetchUnwanted(one.blob))
    assert [told.blob for told in desk.heard(ProvidersWanted)] == [one.blob, two.blob, three.blob]
    desk.give(FetchUnwanted(four.blob))
    desk.give(FetchUnwanted(two.blob))
    assert len(desk.heard(ProvidersWanted)) == 3, "nobody waits for the fourth any more"


def test_the_most_urgent_of_those_who_wait_is_next() -> None:
    desk = Desk(SwarmConfig(fetches_max=1))
    first, late, urgent = (blob_of(5, name) for name in (b"a", b"b", b"c"))
    desk.give(FetchWanted(first.blob))
    desk.give(FetchWanted(late.blob))
    desk.give(FetchWanted(urgent.blob, priority=Priority.OTA))
    desk.give(FetchUnwanted(first.blob))
    assert [told.blob for told in desk.heard(ProvidersWanted)] == [first.blob, urgent.blob]


def test_fetches_that_wait_for_somebody_do_not_hold_up_others() -> None:
    desk = Desk(SwarmConfig(fetches_max=2, idle_fetches_max=1))
    stuck, stuck_too, third, fourth = (blob_of(5, name) for name in (b"a", b"b", b"c", b"d"))
    for info in (stuck, stuck_too, third, fourth):
        desk.give(FetchWanted(info.blob))
    desk.give(ProvidersFound(stuck.blob, (), final=True))
    desk.give(ProvidersFound(stuck_too.blob, (), final=True))
    assert [told.blob for told in desk.heard(ProvidersWanted)] == [stuck.blob, stuck_too.blob, third.blob]


def test_too_many_that_wait_are_refused() -> None:
    desk = Desk(SwarmConfig(fetches_max=1, waiting_max=1))
    for name in (b"a", b"b"):
        desk.give(FetchWanted(blob_of(5, name).blob))
    assert not desk.heard(FetchFinished)
    desk.give(FetchWanted(blob_of(5, b"c").blob))
    assert "1 blobs are waiting" in desk.heard(FetchFinished)[0].failure


def test_a_blob_that_was_put_while_it_waited_for_its_turn_is_here() -> None:
    desk = Desk(SwarmConfig(fetches_max=1))
    desk.give(FetchWanted(blob_of(5, b"a").blob))
    desk.give(FetchWanted(TEN.blob))
    desk.give(BlobHeld(TEN, HaveSet.full(10), 1, False, True))
    assert [end.blob for end in desk.heard(FetchFinished)] == [TEN.blob]
    desk.give(FetchUnwanted(blob_of(5, b"a").blob))
    assert len(desk.heard(ProvidersWanted)) == 1


def test_a_second_wish_for_the_same_blob_only_reports() -> None:
    desk = Desk()
    desk.give(FetchWanted(TEN.blob))
    said = desk.give(FetchWanted(TEN.blob))
    assert [type(one) for one in said] == [FetchProgressed]


def test_answers_to_unknown_requests_change_nothing() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    desk.clear()
    desk.give(ManifestFailed(RequestId(999), node_id(1), TEN.blob, FetchFailure.TIMEOUT))
    desk.give(ChunkStored(RequestId(999), TEN.blob, 4000, CHUNK_BYTES, 0.1))
    desk.give(ChunkStored(RequestId(999), blob_of(1, b"x").blob, 0, CHUNK_BYTES, 0.1))
    desk.give(BlobCompleted(blob_of(1, b"x").blob))
    assert not desk.said


def test_a_full_store_is_waited_for_as_long_as_the_user_wants() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    began = desk.now
    for _ in range(100):
        desk.fail(next(iter(desk.open.values())), FetchFailure.STORE_FULL)
        desk.clear()
        standing = desk.swarm.stalled(TEN.blob, desk.now + 3)
        assert standing is not None
        assert standing.kind == "store full"
        desk.ring("resume")
        assert desk.heard(RoomWanted)
        desk.give(RoomGranted(TEN.blob))
    assert desk.now - began > 300
    assert not desk.heard(FetchFinished)
    assert desk.finish(TEN)


def test_room_refused_on_the_way_is_waited_for() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    desk.fail(next(iter(desk.open.values())), FetchFailure.STORE_FULL)
    desk.ring("resume")
    desk.clear()
    desk.give(RoomRefused(TEN.blob, "full"))
    assert not desk.heard(FetchFinished)
    desk.ring("resume")
    desk.give(RoomGranted(TEN.blob))
    desk.store_all(TEN)
    assert desk.heard(CompleteBlob)


def test_a_root_that_does_not_fit_is_tried_again() -> None:
    desk = Desk()
    desk.link(1)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN)
    root = desk.heard(FetchManifest)[0]
    desk.give(ManifestFailed(root.request, root.peer, TEN.blob, FetchFailure.STORE_FULL))
    desk.clear()
    desk.ring("resume")
    assert [effect.page for effect in desk.heard(FetchManifest)] == [None]
