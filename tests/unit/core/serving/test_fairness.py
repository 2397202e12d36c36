"""Shares of what is uploaded: by what each peer gave, by class, in quiet hours, on links that give way."""

from __future__ import annotations

from collections import Counter

import pytest

from edgecache.core.serving import ServingConfig
from edgecache.core.serving.ledger import Ledger
from edgecache.core.vocabulary import (
    ChunkReceived,
    LinkDown,
    QuietChanged,
    RequestId,
    UnitAsked,
    UnitServed,
    UnitWithdrawn,
    UploadPaced,
)
from edgecache.model.content import CHUNK_BYTES, LARGE_CHUNK_BYTES
from edgecache.model.ids import NodeId
from edgecache.model.pacing import wire_bytes
from edgecache.model.priority import Priority
from tests.unit.core.serving.test_serving import BLOB, Counterpart, bytes_of, node

RATE = 10 * CHUNK_BYTES
MIB = 1024 * 1024


class Busy(Counterpart):
    """Askers that ask again as soon as they were served; the upload rate is the bottleneck."""

    def __init__(self, **settings: float) -> None:
        super().__init__(ServingConfig(upload_rate=RATE, **settings))  # type: ignore[arg-type]
        self.sent_units: list[UnitAsked] = []

    def want(self, number: int, priority: Priority = Priority.NORMAL, size: int = CHUNK_BYTES) -> None:
        """One more unit waits."""
        request = RequestId(len(self.units) + 1)
        self.units[request] = UnitAsked(request, node(number), BLOB, 0, size, max(size, CHUNK_BYTES), priority)
        self.give(self.units[request])

    def go_on(self, units: int) -> Counter[NodeId]:
        """So many units leave, each replaced by the next of its asker and class; bytes by asker."""
        before = len(self.sent_units)
        while len(self.sent_units) < before + units:
            if not self.granted:
                self.ring("grant")
                continue
            unit = self.units[self.granted[0]]
            self.sent(unit.request)
            self.sent_units.append(unit)
            self.want(int(self.askers[unit.peer]), unit.priority, unit.size)
        return bytes_of(self.sent_units[before:])

    @property
    def askers(self) -> dict[NodeId, int]:
        return {node(number): number for number in range(10)}


def test_three_askers_of_unequal_appetite_get_equal_shares() -> None:
    there = Busy()
    for number, appetite in ((1, 2), (2, 4), (3, 12)):
        for _ in range(appetite):
            there.want(number)
    there.go_on(10)
    counts = there.go_on(90)
    assert max(counts.values()) - min(counts.values()) <= 2 * CHUNK_BYTES


def test_who_gave_much_gets_more_and_a_free_rider_the_remainder() -> None:
    there = Busy(newcomer_credit=MIB)
    there.give(ChunkReceived(node(1), 40 * MIB))
    for number in (1, 2, 3):
        for _ in range(6):
            there.want(number)
    there.serving._ledger.took(node(3), 200 * MIB, there.now)
    weights = [there.serving.weight(node(number), there.now) for number in (1, 2, 3)]
    assert weights[0] == 4.0
    assert weights[1] == pytest.approx(1.0)
    assert weights[2] == 1 / 8
    counts = there.go_on(82)
    assert counts[node(1)] > 3 * counts[node(2)]
    assert 0 < counts[node(3)] <= counts[node(1)] / 10


def test_a_free_rider_gets_everything_when_nobody_else_asks() -> None:
    there = Busy(newcomer_credit=MIB)
    there.serving._ledger.took(node(3), 200 * MIB, there.now)
    there.want(3)
    there.want(3)
    began = there.now
    assert there.go_on(50)[node(3)] == 50 * CHUNK_BYTES
    assert 50 * wire_bytes(CHUNK_BYTES) / (there.now - began) == pytest.approx(RATE, rel=0.05)


def test_what_a_peer_says_counts_for_nothing_and_what_it_gave_fades() -> None:
    ledger = Ledger(ServingConfig(newcomer_credit=MIB, half_life=100.0))
    assert ledger.weight(node(1), 0.0) == 1.0
    ledger.gave(node(1), 8 * MIB, 0.0)
    before = ledger.weight(node(1), 0.0)
    assert before == 3.0
    assert 1.0 < ledger.weight(node(1), 300.0) < before
    assert ledger.weight(node(1), 1e6) == pytest.approx(1.0)


def test_new_names_cannot_push_a_giver_out() -> None:
    ledger = Ledger(ServingConfig(peers_max=4))
    ledger.gave(node(1), MIB, 0.0)
    for number in range(2, 40):
        ledger.took(node(number), 100 * MIB, float(number))
    assert len(ledger) == 4
    assert ledger.weight(node(1), 40.0) > 1.0


def test_updates_go_first_and_the_classes_below_keep_a_share() -> None:
    there = Busy()
    for number, priority in ((1, Priority.OTA), (2, Priority.NORMAL), (3, Priority.PREFETCH)):
        for _ in range(6):
            there.want(number, priority)
    counts = there.go_on(200)
    assert counts[node(1)] > 0.85 * sum(counts.values())
    assert counts[node(2)] >= 8 * CHUNK_BYTES
    assert counts[node(3)] >= 8 * CHUNK_BYTES


@pytest.mark.parametrize("size", [16384, CHUNK_BYTES, LARGE_CHUNK_BYTES])
def test_the_share_of_a_lower_class_is_the_same_whatever_its_units(size: int) -> None:
    there = Busy()
    for _ in range(6):
        there.want(1, Priority.OTA)
        there.want(2, Priority.PREFETCH, size)
    counts = there.go_on(600)
    assert counts[node(2)] / counts[node(1)] == pytest.approx(1 / 16, rel=0.15)


def test_a_lower_class_takes_what_the_higher_cannot_use() -> None:
    there = Counterpart(ServingConfig(ahead_bytes=2 * CHUNK_BYTES))
    updates = [there.ask(1, index=index) for index in range(3)]
    there.units[RequestId(99)] = UnitAsked(RequestId(99), node(2), BLOB, 0, CHUNK_BYTES, CHUNK_BYTES, Priority.PREFETCH)
    there.give(there.units[RequestId(99)])
    assert there.granted == updates[:2]
    there.pass_time(ServingConfig().stalled_after)
    assert there.granted == [*updates[:2], RequestId(99)], "its reader is slow, and the uplink is not"


def test_an_update_takes_the_place_of_a_prefetch_in_a_full_window() -> None:
    there = Busy(window=2)
    for _ in range(4):
        there.want(1, Priority.PREFETCH)
    there.want(1, Priority.OTA)
    assert list(there.refused) == [RequestId(4), RequestId(3)], "the window was full; the youngest of a lower class"
    there.want(1, Priority.PREFETCH)
    assert list(there.refused)[2:] == [RequestId(6)]


def test_in_quiet_hours_only_updates_are_served() -> None:
    there = Counterpart(ServingConfig(quiet_pause_max=600.0))
    waiting = [there.ask(1, index=index) for index in range(3)]
    there.give(QuietChanged(there.now + 120.0))
    assert there.refused == {waiting[2]: 120.0}, "what is in progress goes its way"
    there.now += 20.0
    late = there.ask(2)
    assert there.refused[late] == pytest.approx(100.0)
    update = UnitAsked(RequestId(50), node(2), BLOB, 0, CHUNK_BYTES, CHUNK_BYTES, Priority.OTA)
    there.units[RequestId(50)] = update
    there.give(update)
    assert RequestId(50) in there.granted
    there.give(QuietChanged(there.now + 5000.0))
    assert there.refused[there.ask(3)] == 600.0
    there.give(QuietChanged(None))
    assert there.ask(3, index=9) in there.granted


def test_what_could_not_be_read_is_given_back_and_what_may_have_been_sent_is_not() -> None:
    there = Busy()
    for _ in range(3):
        there.want(1)
    there.give(UnitWithdrawn(there.granted.pop()))
    assert len(there.granted) == 1, "its tokens served the next"
    second = there.granted.pop()
    there.give(UnitWithdrawn(second, sent=True))
    assert there.granted == []
    there.ring("grant")
    assert len(there.granted) == 1


def test_the_rate_counts_what_is_on_the_link() -> None:
    there = Busy()
    for _ in range(4):
        there.want(1, size=16384)
    began = there.now
    counts = there.go_on(320)
    assert counts[node(1)] * 1514 / 1448 / (there.now - began) == pytest.approx(RATE, rel=0.03)


def test_a_link_that_gives_way_is_granted_at_its_pace() -> None:
    there = Counterpart()
    there.give(UploadPaced(node(1), CHUNK_BYTES / 2))
    for index in range(4):
        there.ask(1, index=index)
    assert len(there.granted) == 1
    other = there.ask(2)
    assert other in there.granted
    there.give(UnitServed(there.granted[0]))
    there.granted.pop(0)
    began = there.now
    there.ring("grant")
    assert there.now - began == pytest.approx(2 * wire_bytes(CHUNK_BYTES) / CHUNK_BYTES, rel=0.05)
    assert len(there.granted) == 2
    there.give(LinkDown(node(1), planned=True))
    assert {there.ask(1, index=7), there.ask(1, index=8)} <= set(there.granted), "a new link begins anew"
