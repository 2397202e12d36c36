"""Whose unit is sent next: turns, bounds, limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

from edgecache.core.serving import Serving, ServingConfig
from edgecache.core.vocabulary import (
    Effect,
    Event,
    LinkBusy,
    LinkDown,
    MapChanged,
    MessageReceived,
    Misbehaved,
    Notice,
    Outbox,
    RefuseUnit,
    RequestId,
    ServeUnit,
    SetTimer,
    TimerFired,
    TimerKey,
    UnitAsked,
    UnitServed,
    UnitWithdrawn,
    UploadPaced,
)
from edgecache.model.content import CHUNK_BYTES, LARGE_CHUNK_BYTES
from edgecache.model.ids import BlobId, NodeId, blob_id_from_root, node_id_from_bytes, sha256
from edgecache.wire.messages import Cancel
from tests.unit.core.swarm.world import identity

BLOB, OTHER = blob_id_from_root(b"a"), blob_id_from_root(b"b")


def node(number: int) -> NodeId:
    return node_id_from_bytes(sha256(bytes([number]))[:16])


class Counterpart:
    """The driver and the askers of one serving machine."""

    def __init__(self, config: ServingConfig | None = None) -> None:
        self.serving = Serving(identity(0), config or ServingConfig())
        self.now = 50.0
        self.units: dict[RequestId, UnitAsked] = {}
        self.granted: list[RequestId] = []
        self.refused: dict[RequestId, float] = {}
        self.timers: dict[TimerKey, float] = {}
        self.told: list[Notice | MapChanged] = []

    def give(self, event: Event | Notice) -> list[Effect]:
        out = Outbox()
        self.serving.handle(event, self.now, out)
        for effect in out.effects:
            match effect:
                case ServeUnit(request):
                    self.granted.append(request)
                case RefuseUnit(request, retry_after):
                    self.refused[request] = retry_after
                case SetTimer(key, at):
                    self.timers[key] = at
                case _:
                    pass
        self.told += out.notices
        return out.effects

    def pass_time(self, seconds: float) -> None:
        """Timers fire as they are due."""
        until = self.now + seconds
        while due := [key for key, at in self.timers.items() if at <= until]:
            key = min(due, key=lambda one: self.timers[one])
            self.now = max(self.now, self.timers.pop(key))
            self.give(TimerFired(key))
        self.now = until

    def ask(self, number: int, *, index: int = 0, size: int = CHUNK_BYTES, blob: BlobId = BLOB) -> RequestId:
        request = RequestId(len(self.units) + 1)
        chunk = LARGE_CHUNK_BYTES if size == LARGE_CHUNK_BYTES else CHUNK_BYTES
        self.units[request] = UnitAsked(request, node(number), blob, index, size, chunk)
        self.give(self.units[request])
        return request

    def sent(self, request: RequestId) -> None:
        self.granted.remove(request)
        self.give(UnitServed(request))

    def send_all(self, most: int = 10**6) -> list[UnitAsked]:
        """Everything granted leaves, first come first sent; what was sent, in order."""
        out: list[UnitAsked] = []
        while self.granted and len(out) < most:
            out.append(self.units[self.granted[0]])
            self.sent(self.granted[0])
        return out

    def ring(self, name: str) -> None:
        key = next(key for key in self.timers if key.name == name)
        self.now = max(self.now, self.timers.pop(key))
        self.give(TimerFired(key))


def bytes_of(units: Iterable[UnitAsked]) -> Counter[NodeId]:
    out: Counter[NodeId] = Counter()
    for unit in units:
        out[unit.peer] += unit.size
    return out


def test_a_lone_unit_is_served_at_once() -> None:
    there = Counterpart()
    request = there.ask(1)
    assert there.granted == [request]
    there.sent(request)
    assert there.serving.served() == {node(1): CHUNK_BYTES}
    assert there.serving.in_progress == there.serving.queued == there.serving.bytes_in_progress == 0


def test_each_asker_has_few_in_progress_and_the_rest_waits() -> None:
    there = Counterpart()
    requests = [there.ask(1, index=index) for index in range(5)]
    assert there.granted == requests[:2]
    there.sent(requests[0])
    assert there.granted == requests[1:3]


def test_a_slow_reader_blocks_only_itself() -> None:
    there = Counterpart()
    for index in range(10):
        there.ask(1, index=index)
    there.pass_time(ServingConfig().stalled_after)
    for round_ in range(30):
        request = there.ask(2, index=round_)
        assert request in there.granted
        there.sent(request)
    assert len(there.granted) == 2


def test_more_than_the_window_is_refused_for_a_second() -> None:
    there = Counterpart(ServingConfig(window=4))
    requests = [there.ask(1, index=index) for index in range(8)]
    assert there.refused == {requests[6]: 1.0, requests[7]: 1.0}, "two in progress and four that wait"
    there.pass_time(ServingConfig().stalled_after)
    other = there.ask(2)
    assert other in there.granted


def test_turns_are_equal_in_bytes_whatever_the_unit() -> None:
    there = Counterpart(ServingConfig(bytes_max=4 * CHUNK_BYTES, window=800))
    for number, size in ((1, 16384), (2, 65536), (3, CHUNK_BYTES)):
        for _ in range(40 * CHUNK_BYTES // size):
            there.ask(number, size=size)
    sent: list[UnitAsked] = []
    while sum(bytes_of(sent).values()) < 90 * CHUNK_BYTES:
        sent += there.send_all(1)
    counts = bytes_of(sent)
    assert max(counts.values()) - min(counts.values()) <= 2 * CHUNK_BYTES


def test_many_askers_share_the_slots() -> None:
    there = Counterpart(ServingConfig(bytes_max=8 * CHUNK_BYTES, ahead_bytes=8 * CHUNK_BYTES))
    for index in range(6):
        for number in range(1, 13):
            there.ask(number, index=index)
    assert len(there.granted) == 8
    first = Counter(there.units[request].peer for request in there.granted)
    assert max(first.values()) <= 2
    sent = bytes_of(there.send_all())
    assert set(sent.values()) == {6 * CHUNK_BYTES}


def test_stalled_readers_leave_a_slot_for_the_others() -> None:
    there = Counterpart()
    for number in range(1, 36):
        for index in range(4):
            there.ask(number, index=index)
    there.pass_time(20 * ServingConfig().stalled_after)
    request = there.ask(99)
    there.pass_time(ServingConfig().stalled_after)
    assert request in there.granted


def test_one_asker_after_another_is_served() -> None:
    """Nobody has a whole chunk soon when everybody is sent one at once."""
    there = Counterpart()
    asked = [there.ask(number) for number in range(1, 8)]
    assert there.granted == asked[:3]
    there.sent(asked[0])
    assert there.granted == asked[1:5], "and what leaves in a moment"


def test_a_fast_uplink_is_kept_busy() -> None:
    there = Counterpart()
    for index in range(14):
        for number in range(1, 8):
            there.ask(number, index=index)
    before = len(there.granted)
    for _ in range(40):
        there.pass_time(0.001)
        there.sent(there.granted[0])
    assert len(there.granted) > 3 * before


def test_units_in_progress_are_bounded() -> None:
    there = Counterpart(ServingConfig(slots=40, window=100))
    for _ in range(50):
        there.ask(1, size=1)
    assert len(there.granted) == ServingConfig().asker_units
    for _ in range(50):
        there.ask(2, size=1)
    assert len(there.granted) == 40
    assert len(there.send_all()) == 100


def test_bytes_in_progress_are_bounded() -> None:
    there = Counterpart(ServingConfig(bytes_max=3 * CHUNK_BYTES, ahead_bytes=3 * CHUNK_BYTES))
    for number in range(1, 6):
        there.ask(number)
    assert len(there.granted) == 3
    assert there.serving.bytes_in_progress == 3 * CHUNK_BYTES
    assert len(there.send_all()) == 5


def test_the_upload_rate_is_kept() -> None:
    rate = 4 * CHUNK_BYTES
    there = Counterpart(ServingConfig(upload_rate=rate))
    began, sent = there.now, 0
    for index in range(16):
        there.ask(1, index=index)
        there.ask(2, index=index)
    while sent < 32:
        sent += len(there.send_all())
        if sent < 32:
            there.ring("grant")
    assert 32 * CHUNK_BYTES / (there.now - began) == pytest.approx(rate, rel=0.1)


def test_cancelled_units_are_refused_while_they_wait() -> None:
    there = Counterpart()
    requests = [there.ask(1, index=index) for index in range(6)]
    other = there.ask(1, index=3, blob=OTHER)
    there.give(MessageReceived(node(1), Cancel(BLOB, (0, 3, 4))))
    assert there.refused == {requests[3]: 0.0, requests[4]: 0.0}, "what is in progress goes its way"
    there.give(MessageReceived(node(2), Cancel(BLOB, (5,))))
    assert [unit.request for unit in there.send_all()] == [requests[0], requests[1], requests[2], requests[5], other]


def test_a_withdrawn_unit_frees_its_place() -> None:
    there = Counterpart()
    requests = [there.ask(1, index=index) for index in range(4)]
    there.granted.remove(requests[0])
    there.give(UnitWithdrawn(requests[0]))
    assert there.granted == [requests[1], requests[2]]
    there.give(UnitWithdrawn(requests[3]))
    assert there.serving.queued == 0
    there.give(UnitWithdrawn(requests[3]))
    there.give(UnitServed(RequestId(77)))
    assert there.serving.served() == {}


def test_a_lost_link_frees_everything_of_its_peer() -> None:
    there = Counterpart(ServingConfig(bytes_max=4 * CHUNK_BYTES))
    for number in (1, 2):
        for index in range(5):
            there.ask(number, index=index)
    there.ask(3)
    there.give(LinkDown(node(1), planned=False))
    there.granted = [request for request in there.granted if there.units[request].peer != node(1)]
    assert {unit.peer for unit in there.send_all()} == {node(2), node(3)}
    assert there.serving.in_progress == there.serving.queued == 0
    again = there.ask(1)
    assert again in there.granted
    there.give(LinkDown(node(9), planned=True))


@pytest.mark.parametrize("size", [0, -1, CHUNK_BYTES + 1, 10**12])
def test_an_absurd_size_is_refused_and_reported(size: int) -> None:
    there = Counterpart()
    request = there.ask(1, size=size)
    assert there.refused == {request: 0.0}
    assert [notice.weight for notice in there.told if isinstance(notice, Misbehaved)] == [1]
    assert there.serving.queued == 0


def test_a_link_is_busy_while_its_peer_asks() -> None:
    there = Counterpart()
    first = there.ask(1)
    there.sent(first)
    there.now += 4
    second = there.ask(1)
    there.ring("idle")
    assert there.told == [LinkBusy(node(1), True)]
    there.sent(second)
    there.ring("idle")
    assert there.told == [LinkBusy(node(1), True), LinkBusy(node(1), False)]
    assert not there.timers
    there.ask(1)
    assert there.told[-1] == LinkBusy(node(1), True)


def test_the_ledger_is_bounded() -> None:
    there = Counterpart(ServingConfig(peers_max=3))
    for number in range(1, 6):
        there.sent(there.ask(number))
    assert list(there.serving.served()) == [node(3), node(4), node(5)]


def test_a_link_that_yields_much_does_not_slow_down_one_that_yields_little() -> None:
    desk = Counterpart()
    desk.give(UploadPaced(node(1), 32e3))
    desk.give(UploadPaced(node(2), 4e6))
    for number in (1, 1, 2, 2):
        desk.ask(number)
    for request in list(desk.granted):
        desk.sent(request)
    (at,) = (at for key, at in desk.timers.items() if key.name == "grant")
    assert at - desk.now < 0.1


def test_of_large_units_an_asker_has_two_in_progress_while_nobody_else_waits() -> None:
    there = Counterpart(ServingConfig(ahead_bytes=16 * LARGE_CHUNK_BYTES))
    requests = [there.ask(1, index=index, size=LARGE_CHUNK_BYTES) for index in range(4)]
    assert there.granted == requests[:2]
    others = [there.ask(2, index=index, size=LARGE_CHUNK_BYTES) for index in range(3)]
    assert there.granted == [*requests[:2], others[0]]
    there.sent(requests[0])
    there.sent(requests[1])
    assert there.granted == [others[0], requests[2]]


@pytest.mark.parametrize("sizes", [(256, 256, 512), (256, 512, 512)])
def test_who_asks_for_large_units_gets_no_more(sizes: tuple[int, ...]) -> None:
    """One uplink, whose bytes leave one after the other; everybody always wants more."""
    there, got, index = Counterpart(), dict.fromkeys(range(1, 4), 0), 0
    while sum(got.values()) < 600 * CHUNK_BYTES:
        waiting = Counter(unit.peer for unit in there.serving._queued.values())
        for number, size in enumerate(sizes, 1):
            for _ in range(6 - waiting[node(number)]):
                there.ask(number, index=(index := index + 1), size=size * 1024, blob=blob_id_from_root(bytes([number])))
        unit = there.units[there.granted[0]]
        there.pass_time(unit.size / 30e6)
        there.sent(unit.request)
        got[next(number for number in got if node(number) == unit.peer)] += unit.size
    assert max(got.values()) < 1.15 * min(got.values())


def test_stalled_readers_of_large_units_leave_room_for_the_others() -> None:
    there = Counterpart()
    for number in range(1, 41):
        for index in range(4):
            there.ask(number, index=index, size=LARGE_CHUNK_BYTES)
    there.pass_time(41 * ServingConfig().stalled_after)
    assert there.serving.bytes_in_progress >= 20 * LARGE_CHUNK_BYTES
    request = there.ask(99, size=LARGE_CHUNK_BYTES)
    there.pass_time(ServingConfig().stalled_after)
    assert request in there.granted
