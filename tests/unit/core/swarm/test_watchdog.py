"""Why a fetch stands where it stands: each reason from the state that causes it, never from a guess."""

from __future__ import annotations

from edgecache.core.swarm import SwarmConfig
from edgecache.core.swarm.standing import (
    Completing,
    Ended,
    Limit,
    MissingEverywhere,
    Moving,
    NoLink,
    NoProvider,
    Seeking,
    Standing,
    StoreFull,
    Throttled,
    WaitingFor,
)
from edgecache.core.vocabulary import (
    BlobCompleted,
    FetchFailure,
    FetchUnwanted,
    FetchWanted,
    ProvidersFound,
    QuietChanged,
    RoomRefused,
    Warned,
)
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.have import HaveSet
from edgecache.model.priority import Priority
from edgecache.wire.messages import Have
from tests.unit.core.swarm.desk import Desk
from tests.unit.core.swarm.world import blob_of, node_id

TEN = blob_of(10 * CHUNK_BYTES)
MANY = blob_of(200 * CHUNK_BYTES, b"many")


def standing(desk: Desk, seconds: float = 0.0) -> Standing:
    """The reason, so many seconds from now."""
    told = desk.swarm.explain(TEN.blob, desk.now + seconds)
    assert told is not None
    return told.standing


def fail_all(desk: Desk, reason: FetchFailure, retry_after: float = 0.0) -> None:
    """Whatever is asked for does not come, until nothing more is asked for."""
    for _ in range(100):
        if not desk.open:
            return
        desk.fail(next(iter(desk.open.values())), reason, retry_after)
    raise AssertionError("it goes on asking")


def test_seeking_until_a_search_comes_to_its_end() -> None:
    desk = Desk()
    desk.give(FetchWanted(TEN.blob))
    assert standing(desk) == Seeking()
    desk.give(ProvidersFound(TEN.blob, (), final=True))
    assert standing(desk) == NoProvider()


def test_providers_without_a_link() -> None:
    desk = Desk()
    desk.give(FetchWanted(TEN.blob))
    desk.claims(TEN, 5)
    assert standing(desk) == NoLink((node_id(5),))


def test_waiting_for_the_manifest_of_one_peer() -> None:
    desk = Desk()
    desk.link(1)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN)
    reason = standing(desk, 3.0)
    assert isinstance(reason, WaitingFor)
    assert (reason.peer, reason.what, reason.since) == (node_id(1), "the manifest", 3.0)
    assert reason.expected > SwarmConfig().manifest_timeout


def test_moving_then_waiting_for_the_most_overdue() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    assert isinstance(standing(desk), Moving)
    assert desk.swarm.stalled(TEN.blob, desk.now) is None
    reason = standing(desk, 6.0)
    assert isinstance(reason, WaitingFor)
    assert reason.peer == node_id(1)
    assert reason.since == 6.0
    assert reason.what.startswith("chunk ")
    assert 0 < reason.expected < 1
    assert desk.swarm.stalled(TEN.blob, desk.now + 6.0) == reason


def test_missing_everywhere_names_the_chunks() -> None:
    desk = Desk()
    desk.link(1)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN, range(8))
    desk.give(ProvidersFound(TEN.blob, (), final=True))
    desk.manifest(TEN)
    desk.store_all(TEN)
    assert standing(desk) == MissingEverywhere((8, 9), 2)
    assert "chunk 8, 9" in str(standing(desk))


def test_throttled_by_our_own_limit() -> None:
    desk = Desk(SwarmConfig(download_rate=100_000))
    desk.link(1)
    desk.begin(TEN)
    desk.store_all(TEN)
    reason = standing(desk)
    assert isinstance(reason, Throttled)
    assert reason.limit is Limit.DOWNLOAD
    assert reason.seconds is not None
    assert 0 < reason.seconds < 4


def test_throttled_by_a_refusal_or_by_a_pause_after_failures() -> None:
    cases = ((FetchFailure.REFUSED, Limit.REFUSAL, 30.0), (FetchFailure.LINK_LOST, Limit.PAUSE, 1.0))
    for failure, limit, seconds in cases:
        desk = Desk()
        desk.link(1)
        desk.begin(TEN)
        fail_all(desk, failure, 30.0)
        assert standing(desk) == Throttled(limit, node_id(1), seconds)


def test_throttled_by_quiet_hours() -> None:
    desk = Desk()
    desk.link(1)
    desk.give(QuietChanged(desk.now + 3600))
    desk.give(FetchWanted(TEN.blob, priority=Priority.PREFETCH))
    desk.have(1, TEN)
    desk.manifest(TEN)
    assert standing(desk) == Throttled(Limit.QUIET)


def test_throttled_by_what_another_blob_has_under_way() -> None:
    desk = Desk(SwarmConfig(inflight_bytes_max=CHUNK_BYTES, window_bytes_max=CHUNK_BYTES))
    desk.link(1)
    desk.begin(MANY)
    desk.clear()
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN)
    desk.manifest(TEN)
    assert standing(desk) == Throttled(Limit.MEMORY)


def test_a_full_store_and_why() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    desk.store(next(iter(desk.open.values())), TEN)
    desk.fail(next(iter(desk.open.values())), FetchFailure.STORE_FULL)
    desk.ring("resume")
    desk.give(RoomRefused(TEN.blob, "the disk has no room"))
    reason = standing(desk)
    assert reason == StoreFull("the disk has no room", SwarmConfig().store_retry)
    assert "the disk has no room" in str(reason)


def test_completing_then_ended_and_still_explained() -> None:
    desk = Desk()
    desk.link(1, tier=2)
    desk.begin(TEN)
    assert desk.finish(TEN)
    assert standing(desk) == Completing()
    desk.give(BlobCompleted(TEN.blob))
    told = desk.swarm.explain(TEN.blob, desk.now + 1000)
    assert told is not None
    assert told.standing == Ended()
    assert told.sources == ((node_id(1), TEN.size),)
    assert told.crossed == TEN.size
    assert desk.swarm.overhead()["crossed"] == TEN.size
    assert TEN.blob in desk.swarm.explained()


def test_what_is_left_to_a_fellow_is_waited_for_with_it_named() -> None:
    desk = Desk(SwarmConfig(left_patience=1000.0))
    desk.link(1, 2)
    desk.give(FetchWanted(TEN.blob))
    desk.have(1, TEN)
    desk.message(2, Have(TEN.blob, HaveSet(), full=True, wanting=True, coming=(3, 4)))
    desk.manifest(TEN)
    desk.store_all(TEN)
    reason = standing(desk)
    assert isinstance(reason, WaitingFor)
    assert reason.peer == node_id(2)
    assert reason.what == "chunk 3, which it has under way"


def test_history_is_bounded() -> None:
    desk = Desk(SwarmConfig(history_max=3))
    blobs = [blob_of(CHUNK_BYTES, bytes([n])).blob for n in range(5)]
    for blob in blobs:
        desk.give(FetchWanted(blob))
        desk.give(FetchUnwanted(blob))
    assert desk.swarm.explained() == blobs[-3:]
    assert desk.swarm.explain(blobs[0], desk.now) is None


def test_a_standstill_is_logged_once_and_again_when_its_reason_changes() -> None:
    desk = Desk()
    desk.link(1)
    desk.begin(TEN)
    for _ in range(8):
        desk.ring("watch")
    (line,) = desk.heard(Warned)
    assert line.cause == f"stalled:{TEN.blob}"
    assert str(node_id(1)) in line.text
    assert "waiting for" in line.text
    desk.clear()
    fail_all(desk, FetchFailure.REFUSED, 60.0)
    for _ in range(8):
        desk.ring("watch")
    (line,) = desk.heard(Warned)
    assert "refusal" in line.text


def test_candidates_and_why_they_are_not_used() -> None:
    desk = Desk()
    desk.link(1)
    desk.link(2, tier=2)
    desk.link(3)
    desk.begin(TEN)
    corrupt = next(effect for effect in desk.open.values() if effect.peer == node_id(3))
    desk.fail(corrupt, FetchFailure.CORRUPT)
    desk.claims(TEN, 7)
    told = desk.swarm.explain(TEN.blob, desk.now)
    assert told is not None
    unused = {one.node: one.unused for one in told.candidates}
    assert unused == {
        node_id(1): "",
        node_id(2): "nearer nodes have the same",
        node_id(3): "it sent corrupt bytes of this blob",
        node_id(7): "a link to it is being opened",
    }
    (near,) = [one for one in told.candidates if one.node == node_id(1)]
    assert near.whole
    assert near.queued > 0
    assert near.expected is not None
    assert {flight.node for flight in told.flights} == {node_id(1)}
