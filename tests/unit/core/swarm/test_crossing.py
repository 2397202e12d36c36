"""A narrow way to other sites, and the fellows who share it."""

from __future__ import annotations

from edgecache.core.swarm import SwarmConfig
from edgecache.core.vocabulary import ChunkProgress, FetchWanted
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.have import HaveSet
from edgecache.wire.messages import Have
from tests.unit.core.swarm.desk import Desk
from tests.unit.core.swarm.world import blob_of

TWO = blob_of(2 * CHUNK_BYTES)
TEN = blob_of(10 * CHUNK_BYTES)
HOLDER, ANOTHER = 1, 2
"""In the other site, with all chunks."""
FELLOWS = (3, 4, 5)


def begin(fellows: int) -> Desk:
    """A fetch of TEN, with so many fellows of our site."""
    desk = Desk()
    desk.link(HOLDER, ANOTHER, tier=2)
    desk.link(*FELLOWS)
    desk.give(FetchWanted(TEN.blob))
    for fellow in FELLOWS[:fellows]:
        desk.have(fellow, TEN, [], wanting=True)
    desk.have(HOLDER, TEN)
    desk.have(ANOTHER, TEN)
    desk.manifest(TEN)
    return desk


def asked_at(desk: Desk) -> int:
    """How much of the first chunk is here when the second is asked for."""
    (first,) = desk.open.values()
    for received in range(CHUNK_BYTES // 16, CHUNK_BYTES, CHUNK_BYTES // 16):
        desk.now += 0.1
        desk.give(ChunkProgress(first.request, received))
        if len(desk.open) > 1:
            return received
    raise AssertionError("the way would be idle for a round trip")


def test_who_shares_the_way_with_fellows_asks_for_the_next_chunk_later() -> None:
    assert asked_at(begin(0)) <= CHUNK_BYTES // 8
    assert CHUNK_BYTES // 2 < asked_at(begin(3)) < CHUNK_BYTES


def test_who_is_alone_again_has_the_way_for_itself() -> None:
    desk = begin(3)
    (first,) = desk.open.values()
    desk.now += 0.1
    desk.give(ChunkProgress(first.request, CHUNK_BYTES // 4))
    for fellow in FELLOWS:
        assert len(desk.open) == 1
        desk.have(fellow, TEN, [9], full=False, wanting=True)
    for fellow in FELLOWS:
        desk.have(fellow, TEN, [9], full=False, wanting=False)
    assert len(desk.open) == 2


def test_who_takes_over_what_did_not_come_is_given_his_time_once() -> None:
    """Otherwise all who waited for one would ask for it together."""
    config, (slow, next_one, last_one) = SwarmConfig(), FELLOWS
    desk = Desk(config)
    desk.link(HOLDER, tier=2)
    desk.link(*FELLOWS)
    desk.give(FetchWanted(TWO.blob))
    desk.have(HOLDER, TWO)
    before = desk.now

    def claims(fellow: int) -> None:
        desk.message(fellow, Have(TWO.blob, HaveSet(), full=True, wanting=True, coming=(0, 1)))

    claims(slow)
    desk.manifest(TWO)
    desk.now = before + 0.9 * config.crossing_patience
    claims(next_one)
    desk.now = before + 1.1 * config.crossing_patience
    claims(slow)
    assert not desk.open
    desk.now = before + 1.8 * config.crossing_patience
    claims(last_one)
    assert not desk.open
    while not desk.open:
        desk.ring("pump")
    assert desk.now - before == 2 * config.crossing_patience
