"""Blobs of one chunk, and many of them: asked for as a whole, of whoever is said to have them."""

from __future__ import annotations

from edgecache.core.swarm import SwarmConfig
from edgecache.core.vocabulary import (
    BlobHeld,
    CancelFetch,
    ChunkReceived,
    FetchFailure,
    FetchFinished,
    FetchManifest,
    FetchWanted,
    LinkBusy,
    LinkWanted,
    ManifestFailed,
    ManifestStored,
    ProvidersFound,
    ProvidersWanted,
    RoomWanted,
    WholeReceived,
)
from edgecache.model.content import CHUNK_BYTES, BlobInfo
from edgecache.model.have import HaveSet
from edgecache.model.priority import Priority
from edgecache.wire.limits import SMALL_BYTES_MAX
from edgecache.wire.messages import Claim
from tests.unit.core.swarm.desk import Desk, Said, haves, of
from tests.unit.core.swarm.world import blob_of, node_id

SMALL = blob_of(20_000)
LARGE = blob_of(10 * CHUNK_BYTES)


def small(number: int) -> BlobInfo:
    return blob_of(20_000, b"%d" % number)


def held(info: BlobInfo) -> BlobHeld:
    return BlobHeld(info, HaveSet.full(info.chunks), info.pages, pinned=False, complete=True)


def arrive(desk: Desk, effect: FetchManifest, info: BlobInfo) -> list[Said]:
    """All of it comes, and is stored."""
    said = desk.give(WholeReceived(effect.request, info.blob, info.size))
    return said + desk.give(held(info))


def test_one_of_many_is_asked_for_as_soon_as_the_directory_names_somebody() -> None:
    desk = Desk()
    desk.link(1, 2)
    wanted = desk.give(FetchWanted(SMALL.blob, one_of_many=True))
    assert of(ProvidersWanted, wanted) == [ProvidersWanted(SMALL.blob, any_whole=True)]
    assert not haves(wanted), "neighbours are not asked"
    said = desk.claims(SMALL, 2)
    (asked,) = of(FetchManifest, said)
    assert (asked.peer, asked.page, asked.most) == (node_id(2), None, SMALL_BYTES_MAX)
    assert of(LinkBusy, said) == [LinkBusy(node_id(2), True)]
    desk.clear()
    said = arrive(desk, asked, SMALL)
    assert of(FetchFinished, said) == [FetchFinished(SMALL.blob)]
    assert of(ChunkReceived, said) == [ChunkReceived(node_id(2), SMALL.size)]
    assert of(LinkBusy, said) == [LinkBusy(node_id(2), False)]
    assert not haves(said), "nobody was told that we want it"
    view = desk.swarm.fetches()[0]
    assert [(source.node, source.bytes) for source in view.sources] == [(node_id(2), SMALL.size)]


def test_a_blob_wanted_alone_is_asked_for_as_a_whole_when_it_may_be_small() -> None:
    desk = Desk()
    desk.link(1)
    desk.give(FetchWanted(SMALL.blob, priority=Priority.OTA))
    (asked,) = of(FetchManifest, desk.have(1, SMALL))
    assert (asked.most, asked.priority) == (SMALL_BYTES_MAX, Priority.OTA)
    assert of(FetchFinished, arrive(desk, asked, SMALL))


def test_a_large_blob_is_not() -> None:
    desk = Desk()
    desk.link(1)
    desk.give(FetchWanted(LARGE.blob))
    (asked,) = of(FetchManifest, desk.have(1, LARGE))
    assert asked.most == 0


def test_a_node_that_knows_nothing_of_this_sends_the_root() -> None:
    desk = Desk()
    desk.link(1)
    desk.give(FetchWanted(SMALL.blob, one_of_many=True))
    (asked,) = of(FetchManifest, desk.claims(SMALL, 1))
    said = desk.give(ManifestStored(asked.request, node_id(1), SMALL, None, HaveSet()))
    assert of(RoomWanted, said) == [RoomWanted(SMALL.blob, SMALL.size)]
    desk.manifest(SMALL)
    assert desk.finish(SMALL)


def test_somebody_else_is_asked_when_the_claim_was_wrong() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.give(FetchWanted(SMALL.blob, one_of_many=True))
    (first,) = of(FetchManifest, desk.claims(SMALL, 1, 2))
    (second,) = of(
        FetchManifest, desk.give(ManifestFailed(first.request, first.peer, SMALL.blob, FetchFailure.NOT_FOUND))
    )
    assert {first.peer, second.peer} == {node_id(1), node_id(2)}


def test_neighbours_are_asked_when_the_directory_knows_nobody() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.give(FetchWanted(SMALL.blob, one_of_many=True))
    assert len(haves(desk.give(ProvidersFound(SMALL.blob, (), final=True)))) == 2


def test_they_are_asked_after_a_while_whatever_it_says() -> None:
    desk = Desk()
    desk.link(1)
    desk.give(FetchWanted(SMALL.blob, one_of_many=True))
    said = desk.ring("refresh")
    assert len(haves(said)) == 1
    assert of(ProvidersWanted, said) == [ProvidersWanted(SMALL.blob)]


def test_a_large_one_of_many_is_talked_about_with_who_claims_it() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.give(FetchWanted(LARGE.blob, one_of_many=True))
    said = desk.claims(LARGE, 2)
    assert len(haves(said, 2)) == 1
    assert not haves(said, 1)


def test_a_link_is_asked_for_to_who_claims_it() -> None:
    desk = Desk()
    desk.give(FetchWanted(SMALL.blob, one_of_many=True))
    assert of(LinkWanted, desk.claims(SMALL, 7)) == [LinkWanted(node_id(7))]


def test_not_too_many_are_asked_of_one_peer_and_storing_does_not_count() -> None:
    desk = Desk(SwarmConfig(small_in_flight=3))
    desk.link(1)
    for number in range(6):
        desk.give(FetchWanted(small(number).blob, one_of_many=True))
        desk.claims(small(number), 1)
    asked = desk.heard(FetchManifest)
    assert len(asked) == 3
    desk.give(WholeReceived(asked[0].request, asked[0].blob, 20_000))
    assert len(desk.heard(FetchManifest)) == 4


def test_what_is_being_stored_is_not_asked_for_again_when_its_link_closes() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.give(FetchWanted(SMALL.blob, one_of_many=True))
    (asked,) = of(FetchManifest, desk.claims(SMALL, 1))
    desk.give(WholeReceived(asked.request, SMALL.blob, SMALL.size))
    desk.clear()
    desk.unlink(1)
    desk.claims(SMALL, 2)
    assert not desk.heard(CancelFetch)
    assert not desk.heard(FetchManifest)
    assert of(FetchFinished, desk.give(held(SMALL)))


def test_the_limit_of_the_rate_is_kept() -> None:
    rate = 40_000
    desk = Desk(SwarmConfig(download_rate=rate))
    desk.link(1)
    began, got = desk.now, 0
    for number in range(12):
        desk.give(FetchWanted(blob_of(4000, b"%d" % number).blob, one_of_many=True))
        desk.claims(blob_of(4000, b"%d" % number), 1)
    answered = 0
    while got < 12:
        asked = desk.heard(FetchManifest)[answered:]
        answered += len(asked)
        for effect in asked:
            info = next(info for number in range(12) if (info := blob_of(4000, b"%d" % number)).blob == effect.blob)
            arrive(desk, effect, info)
            got += 1
        if not asked:
            desk.ring("pump")
    assert desk.now - began >= 0.5 * 12 * 4000 / rate


def test_thousands_leave_nothing_behind() -> None:
    desk = Desk()
    desk.link(1, 2, 3)
    for number in range(1000):
        info = small(number)
        desk.clear()
        desk.give(FetchWanted(info.blob, one_of_many=True))
        (asked,) = of(FetchManifest, desk.claims(info, 1, 2, 3))
        arrive(desk, asked, info)
    state = desk.swarm._state
    assert len(state.blobs) == 1000
    tables = (state.fetching, state.chunks, state.manifests, state.touched, desk.swarm._fetches.waiting)
    assert [len(table) for table in tables] == [0] * 5
    assert not any(blob.neighbours or blob.fetch for blob in state.blobs.values())
    assert not any(peer.blobs or peer.requests or peer.queued or peer.busy for peer in state.peers.values())


def test_claims_before_the_end_of_a_search_are_enough() -> None:
    desk = Desk()
    desk.link(1)
    desk.give(FetchWanted(SMALL.blob, one_of_many=True))
    found = ProvidersFound(SMALL.blob, (Claim(SMALL.blob, node_id(1), 1, 1),), final=False)
    assert of(FetchManifest, desk.give(found))
