"""Which fetch goes first, what is asked of a node that serves last, and what quiet hours stop."""

from __future__ import annotations

import pytest

from edgecache.core.swarm import SwarmConfig
from edgecache.core.vocabulary import (
    BlobHeld,
    ChunkReceived,
    FetchChunk,
    FetchFailure,
    FetchManifest,
    FetchWanted,
    LinkUp,
    ManifestStored,
    QuietChanged,
    RoomGranted,
)
from edgecache.model.content import CHUNK_BYTES, LARGE_CHUNK_BYTES, BlobInfo
from edgecache.model.have import HaveSet
from edgecache.model.priority import Priority
from edgecache.wire.messages import SERVES_LAST, Hello
from tests.unit.core.swarm.desk import Desk
from tests.unit.core.swarm.world import blob_of, hello, node_id

UPDATE, COMMON, LATER = (blob_of(40 * CHUNK_BYTES, name) for name in (b"update", b"common", b"later"))


def fetch(desk: Desk, info: BlobInfo, priority: Priority, *numbers: int) -> None:
    """A fetch up to the point where chunks are asked for, of nodes that have all of it."""
    answered = len(desk.heard(FetchManifest))
    desk.give(FetchWanted(info.blob, priority=priority))
    for number in numbers:
        desk.have(number, info)
    while asked := desk.heard(FetchManifest)[answered:]:
        answered += len(asked)
        for effect in asked:
            desk.give(ManifestStored(effect.request, effect.peer, info, effect.page, HaveSet()))
            desk.give(RoomGranted(info.blob))


def under_way(desk: Desk, info: BlobInfo) -> list[FetchChunk]:
    return [effect for effect in desk.open.values() if effect.blob == info.blob]


def link_last(desk: Desk, number: int, tier: int = 0) -> None:
    """A link to a node on battery."""
    first = hello(number)
    said = Hello(first.node, first.mesh, first.site, first.name, 1, 0, (), features=frozenset({SERVES_LAST, "new"}))
    desk.give(LinkUp(node_id(number), said, tier, 0.001))


def test_the_class_goes_with_every_request() -> None:
    desk = Desk()
    desk.link(1)
    fetch(desk, UPDATE, Priority.OTA, 1)
    assert {effect.priority for effect in desk.heard(FetchChunk)} == {Priority.OTA}


def test_the_more_urgent_of_two_wishes_decides() -> None:
    desk = Desk()
    desk.link(1)
    fetch(desk, COMMON, Priority.PREFETCH, 1)
    desk.give(FetchWanted(COMMON.blob))
    desk.give(FetchWanted(COMMON.blob, priority=Priority.PREFETCH))
    desk.clear()
    desk.store(under_way(desk, COMMON)[0], COMMON)
    assert {effect.priority for effect in desk.heard(FetchChunk)} == {Priority.NORMAL}


def test_a_fetch_keeps_its_class_over_a_restart() -> None:
    desk = Desk()
    desk.give(BlobHeld(
        UPDATE, HaveSet.of([0]), UPDATE.pages, pinned=False, complete=False, wanted=True, priority=Priority.OTA
    ))  # fmt: skip
    desk.give(RoomGranted(UPDATE.blob))
    desk.link(1)
    desk.have(1, UPDATE)
    assert {effect.priority for effect in desk.heard(FetchChunk)} == {Priority.OTA}


def test_an_update_takes_the_room_and_the_others_keep_one_chunk_under_way() -> None:
    desk = Desk(SwarmConfig(inflight_bytes_max=5 * CHUNK_BYTES, window_bytes_max=4 * CHUNK_BYTES))
    desk.link(*range(1, 6))
    fetch(desk, LATER, Priority.PREFETCH, *range(1, 6))
    fetch(desk, COMMON, Priority.NORMAL, *range(1, 6))
    assert len(under_way(desk, LATER)) == 4
    fetch(desk, UPDATE, Priority.OTA, *range(1, 6))
    for _ in range(24):
        first = desk.open[min(desk.open)]
        desk.store(first, {info.blob: info for info in (UPDATE, COMMON, LATER)}[first.blob])
        if not under_way(desk, LATER) or len(under_way(desk, UPDATE)) >= 3:
            break
    assert len(under_way(desk, UPDATE)) == 3
    assert len(under_way(desk, COMMON)) + len(under_way(desk, LATER)) == 1


@pytest.mark.parametrize("chunk", [CHUNK_BYTES, LARGE_CHUNK_BYTES])
def test_an_update_of_large_chunks_gets_what_is_freed_too(chunk: int) -> None:
    desk = Desk(SwarmConfig(inflight_bytes_max=8 * CHUNK_BYTES, window_bytes_max=8 * CHUNK_BYTES))
    desk.link(*range(1, 9))
    common = blob_of(500 * CHUNK_BYTES, b"common")
    update = BlobInfo(UPDATE.blob, 500 * chunk, UPDATE.sha256, chunk)
    fetch(desk, common, Priority.NORMAL, *range(1, 9))
    fetch(desk, update, Priority.OTA, *range(1, 9))
    got = 0
    for _ in range(100):
        first = desk.open[min(desk.open)]
        got += first.blob == update.blob
        desk.now += 0.01
        desk.store(first, {info.blob: info for info in (update, common)}[first.blob])
    assert got > 50


@pytest.mark.parametrize("chunk", [CHUNK_BYTES, LARGE_CHUNK_BYTES])
def test_a_unit_is_no_more_than_a_chunk_of_that_blob(chunk: int) -> None:
    desk = Desk()
    desk.link(1)
    info = BlobInfo(COMMON.blob, 40 * chunk, COMMON.sha256, chunk)
    fetch(desk, info, Priority.NORMAL, 1)
    for _ in range(12):
        desk.now += 0.001
        desk.store(desk.open[min(desk.open)], info)
    assert desk.heard(FetchChunk)[-1].unit == chunk


def test_what_an_update_cannot_use_goes_to_others() -> None:
    desk = Desk()
    desk.link(1, 2)
    fetch(desk, UPDATE, Priority.OTA, 1)
    fetch(desk, LATER, Priority.PREFETCH, 2)
    assert {effect.peer for effect in under_way(desk, UPDATE)} == {node_id(1)}
    assert {effect.peer for effect in under_way(desk, LATER)} == {node_id(2)}


def test_nothing_is_prefetched_in_quiet_hours() -> None:
    desk = Desk()
    desk.link(1, 2)
    desk.give(QuietChanged(desk.now + 100.0))
    fetch(desk, LATER, Priority.PREFETCH, 1, 2)
    fetch(desk, COMMON, Priority.NORMAL, 1, 2)
    assert not under_way(desk, LATER)
    assert under_way(desk, COMMON)
    desk.store_all(COMMON)
    desk.give(QuietChanged(None))
    assert under_way(desk, LATER)


def test_a_refusal_in_quiet_hours_does_not_hold_up_updates() -> None:
    desk = Desk()
    desk.link(1)
    fetch(desk, COMMON, Priority.NORMAL, 1)
    for effect in under_way(desk, COMMON):
        desk.fail(effect, FetchFailure.REFUSED, retry_after=3600.0)
    assert not under_way(desk, COMMON)
    fetch(desk, UPDATE, Priority.OTA, 1)
    (effect, *_) = under_way(desk, UPDATE)
    desk.fail(effect, FetchFailure.REFUSED, retry_after=3600.0)
    assert not under_way(desk, UPDATE), "it refuses updates too: those wait as well"


def test_a_node_that_serves_last_is_asked_only_for_what_nobody_else_has() -> None:
    desk = Desk()
    link_last(desk, 1)
    desk.link(2)
    desk.link(3, tier=2)
    info = blob_of(12 * CHUNK_BYTES)
    desk.give(FetchWanted(info.blob))
    desk.have(1, info)
    desk.have(2, info, range(8))
    desk.have(3, info, range(6, 10))
    desk.manifest(info)
    assert desk.finish(info)
    asked = {effect.index: effect.peer for effect in desk.heard(FetchChunk)}
    assert sorted(index for index, peer in asked.items() if peer == node_id(1)) == [10, 11]
    assert all(asked[index] == node_id(2) for index in range(8))


def test_what_peers_gave_is_told_to_whoever_weighs_it() -> None:
    desk = Desk()
    desk.link(1)
    fetch(desk, COMMON, Priority.NORMAL, 1)
    desk.store(under_way(desk, COMMON)[0], COMMON)
    assert desk.heard(ChunkReceived) == [ChunkReceived(node_id(1), CHUNK_BYTES)]


def test_under_a_low_limit_chunks_are_asked_for_in_small_units() -> None:
    desk = Desk(SwarmConfig(download_rate=400_000))
    desk.link(1)
    fetch(desk, COMMON, Priority.NORMAL, 1)
    assert {effect.unit for effect in desk.heard(FetchChunk)} == {32768}
    assert SwarmConfig(download_rate=10_000).unit_most == 16384
    assert SwarmConfig(download_rate=10**8).unit_most == CHUNK_BYTES
    assert SwarmConfig().unit_most == LARGE_CHUNK_BYTES
