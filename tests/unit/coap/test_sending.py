"""Order, budget and accounting of what a link sends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from edgecache.adapters.coap.bounds import LinkBounds
from edgecache.adapters.coap.pacing import Goodput, NoRests, Rests, SocketState
from edgecache.adapters.coap.sendqueue import CONTROL_PAYLOAD_MAX, RECORD_BYTES, Outgoing, Rank, SendQueue
from edgecache.adapters.coap.tls import TlsStream
from edgecache.adapters.coap.writer import SLICE_BYTES, SLICE_BYTES_MAX, LinkWriter
from edgecache.model.content import CHUNK_BYTES

BULK = CONTROL_PAYLOAD_MAX + 1
FLOOR = LinkBounds().queue_bytes_min


def message(name: str, size: int = 0, sent: Callable[[], None] | None = None, rank: Rank | None = None) -> Outgoing:
    return Outgoing(name.encode(), b"." * size, sent, rank)


def drain(queue: SendQueue, room: int = RECORD_BYTES) -> bytes:
    out = b""
    while queue:
        out += bytes(queue.take(room))
    return out


def test_control_before_bulk_and_urgent_before_control() -> None:
    queue = SendQueue()
    queue.put(message("bulk", BULK))
    queue.put(message("one", 10))
    queue.put(message("two", 10))
    queue.put(Outgoing(b"ping", b"", rank=Rank.URGENT))
    out = drain(queue).replace(b".", b"")
    assert out == b"pingonetwobulk"


def test_a_sender_may_say_what_is_control() -> None:
    queue = SendQueue()
    queue.put(message("bulk", BULK))
    queue.put(message("hello", BULK, rank=Rank.CONTROL))
    queue.put(message("control", 1))
    assert drain(queue).replace(b".", b"") == b"hellocontrolbulk"


def test_control_waits_for_the_bulk_message_that_has_begun_but_not_for_the_next() -> None:
    queue = SendQueue()
    queue.put(message("A", BULK))
    queue.put(message("B", BULK))
    assert queue.take(100) == b"A"
    assert len(queue.take(100)) == 100
    queue.put(message("c", 1))
    assert drain(queue).replace(b".", b"") == b"cB"


def test_every_byte_is_counted_and_every_message_told_once() -> None:
    queue, told = SendQueue(), []
    for name, size in (("a", 5), ("b", BULK), ("c", 100_000)):
        queue.put(message(name, size, lambda name=name: told.append(name)))  # type: ignore[misc]
    assert queue.bytes == 5 + BULK + 100_000 + 3
    length = 0
    while queue:
        length += len(queue.take(1000))
        for sent in queue.finished():
            sent()
    assert length == 5 + BULK + 100_000 + 3
    assert told == ["a", "b", "c"]
    assert queue.finished() == []


def test_small_messages_share_a_record() -> None:
    queue = SendQueue()
    for _ in range(100):
        queue.put(message("m", 100))
    assert len(queue.take(1 << 20)) == 100 * 101
    queue.put(message("m", 3000))
    assert len(queue.take(10)) == 3001


def test_dropped_messages_are_told_too() -> None:
    queue, told = SendQueue(), []
    for name in "abc":
        queue.put(message(name, BULK, lambda name=name: told.append(name)))  # type: ignore[misc]
    queue.put(message("z", 1, lambda: told.append("z")))
    assert queue.take(100).startswith(b"z")  # type: ignore[union-attr]
    queue.take(100)
    queue.drop_bulk()
    assert [sent() for sent in queue.finished()] == [None] * 3
    assert told == ["z", "b", "c"]
    queue.clear()
    for sent in queue.finished():
        sent()
    assert told == ["z", "b", "c", "a"]
    assert not queue


def test_goodput_is_what_was_acknowledged_lately() -> None:
    goodput = Goodput()
    for step in range(100):
        goodput.sample(step * 0.01, step * 10_000, 0.0)
    assert 0.9e6 < goodput.rate < 1.2e6
    for step in range(100, 115):
        goodput.sample(step * 0.01, 990_000, 0.0)
    assert goodput.rate < 0.1e6


def test_goodput_of_long_paths_is_measured_over_two_round_trips() -> None:
    goodput = Goodput()
    rates = []
    for step in range(60):
        goodput.sample(step * 0.05, (step // 6) * 60_000, 0.3)
        rates.append(goodput.rate)
    assert min(rates[30:]) > 0.5 * 200_000


def test_goodput_starts_again_after_silence() -> None:
    goodput = Goodput()
    goodput.sample(0.0, 0, 0.0)
    goodput.sample(0.1, 10_000_000, 0.0)
    assert goodput.rate > 5e7
    goodput.sample(30.0, 10_000_000, 0.0)
    assert goodput.rate < 1e6
    goodput.sample(30.01, 10_500_000, 0.0)
    assert goodput.rate == pytest.approx(500_000 / 0.1), "the silence before does not count"


def test_goodput_from_before_a_short_silence_holds_for_a_window() -> None:
    goodput = Goodput()
    goodput.sample(0.0, 0, 0.0)
    goodput.sample(0.1, 1_000_000, 0.0)
    for at in (0.5, 0.55):
        goodput.sample(at, 1_000_000, 0.0)
        assert goodput.rate == pytest.approx(1e7)
    goodput.sample(0.61, 1_000_000, 0.0)
    assert goodput.rate == 0.0, "nothing was acknowledged meanwhile"


@dataclass
class World:
    """A kernel, a transport, TLS and an event loop, none of which does IO."""

    outstanding: int = 0
    acked: int = 0
    takes: int = 1 << 30
    """Bytes that the kernel still takes before it says stop."""
    now: float = 0.0
    timers: list[tuple[float, Callable[[], None]]] = field(default_factory=list)
    waiting: bytes = b""
    written: list[bytes] = field(default_factory=list)
    low_water: list[int] = field(default_factory=list)
    writer: LinkWriter | None = None

    def read(self) -> SocketState:
        return SocketState(self.acked, 0.001, 0.001)

    def set_low_water(self, size: int) -> None:
        self.low_water.append(size)

    def time(self) -> float:
        return self.now

    def call_later(self, delay: float, action: Callable[[], None]) -> Any:
        self.timers.append((self.now + delay, action))
        return asyncio.TimerHandle(self.now + delay, action, (), cast(asyncio.AbstractEventLoop, self))

    def get_debug(self) -> bool:
        return False

    def _timer_handle_cancelled(self, handle: object) -> None:
        return None

    def write(self, data: bytes) -> None:
        self.written.append(data)
        taken = min(len(data), self.takes)
        self.takes -= taken
        self.outstanding += taken
        if taken < len(data):
            self.waiting += data[taken:]
            assert self.writer is not None
            self.writer.pause()

    def set_write_buffer_limits(self, high: int) -> None:
        assert high == 0

    def get_write_buffer_size(self) -> int:
        return len(self.waiting)

    def is_closing(self) -> bool:
        return False

    def acknowledge(self, size: int, after: float) -> None:
        self.now += after
        size = min(size, self.outstanding)
        self.outstanding -= size
        self.acked += size

    def fire(self) -> None:
        timers, self.timers = self.timers, []
        for at, action in timers:
            self.now = max(self.now, at)
            action()


class NoTls:
    """TLS that adds nothing."""

    def __init__(self) -> None:
        self.out = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        self.out += data

    def take(self) -> bytes:
        data, self.out = bytes(self.out), bytearray()
        return data


class ShortProcessor(NoRests):
    """A loop on a processor that others want as well."""

    def slack(self) -> float:
        return 0.06


def writer(world: World, rests: Rests = NoRests()) -> LinkWriter:  # noqa: B008
    world.writer = LinkWriter(
        cast(asyncio.Transport, world), cast(TlsStream, NoTls()), world, LinkBounds(),
        cast(asyncio.AbstractEventLoop, world), rests,
    )
    return world.writer


def test_an_unknown_link_is_given_little_and_then_as_much_as_it_carries() -> None:
    world = World()
    out = writer(world)
    out.send(Outgoing(b"h", bytes(10_000_000)))
    assert world.outstanding == FLOOR + 1 or world.outstanding == FLOOR
    most = 0
    for _ in range(400):
        world.acknowledge(20_000, 0.005)
        world.fire()
        most = max(most, world.outstanding)
    # 4 MB/s for 100 ms and a round trip of 1 ms.
    assert 300_000 < most < 1.3 * 4_000_000 * 0.101
    for _ in range(1000):
        world.acknowledge(500, 0.005)
        world.fire()
    assert world.outstanding <= FLOOR
    assert out.unacknowledged(world.acked) > world.outstanding


def carried(world: World, rate: float, seconds: float, late: float = 0.0) -> tuple[int, int, int, int]:
    """The link carries up to `rate` for so long, with timers that are late: bytes carried, most that was in the socket,
    how often it was filled, how often it was dry."""
    most, visits, dry, until, before = 0, len(world.written), 0, world.now + seconds, world.acked
    while world.now < until:
        world.acknowledge(int(rate * 0.01), 0.01)
        dry += not world.outstanding
        due = [entry for entry in world.timers if entry[0] + late <= world.now]
        world.timers = [entry for entry in world.timers if entry[0] + late > world.now]
        for _, action in due:
            action()
        most = max(most, world.outstanding)
    return world.acked - before, most, len(world.written) - visits, dry


@pytest.mark.parametrize(
    ("rate", "held", "visits"),
    [(100_000, FLOOR, 0.99), (300_000, 180_000, 0.6), (2_000_000, 320_000, 0.5), (20_000_000, 3_200_000, 1.0)],
)
def test_where_the_processor_is_short_a_socket_is_filled_less_often_with_more_and_never_dry(
    rate: int, held: int, visits: float
) -> None:
    usual, short = World(), World()
    for world, out in ((usual, writer(usual)), (short, writer(short, ShortProcessor()))):
        out.send(Outgoing(b"h", bytes(100_000_000)))
        carried(world, rate, 2.0)
    size, _, often, _ = carried(usual, rate, 2.0)
    as_much, most, seldom, dry = carried(short, rate, 2.0)
    assert most <= 1.1 * held + 1, "more waits than a link carries in a moment"
    assert dry == 0
    assert seldom <= visits * often, (seldom, often)
    assert as_much == size


@pytest.mark.parametrize("rate", [2_000_000, 12_500_000])
def test_timers_that_are_late_are_no_silence(rate: int) -> None:
    world = World()
    writer(world, ShortProcessor()).send(Outgoing(b"h", bytes(100_000_000)))
    carried(world, rate, 2.0, late=0.07)
    size, *_ = carried(world, rate, 2.0, late=0.07)
    assert size >= 0.9 * 2 * rate


def test_where_the_processor_is_short_a_fast_link_is_soon_known_to_be_fast() -> None:
    world = World()
    writer(world, ShortProcessor()).send(Outgoing(b"h", bytes(100_000_000)))
    size, *_ = carried(world, 20_000_000, 1.0)
    assert size >= 0.7 * 20_000_000


@pytest.mark.parametrize(("rank", "at_once"), [(Rank.URGENT, True), (Rank.CONTROL, True), (Rank.BULK, False)])
def test_where_the_processor_is_short_only_bulk_is_late(rank: Rank, at_once: bool) -> None:
    world = World()
    out = writer(world, ShortProcessor())
    out.send(Outgoing(b"h", bytes(10_000_000)))
    carried(world, 500_000, 2.0)
    world.fire()
    world.acknowledge(30_000, 0.001)
    visits = len(world.written)
    out.send(Outgoing(b"ping", b"", rank=rank))
    assert (len(world.written) > visits) is at_once


def test_on_a_link_that_was_idle_a_message_goes_at_once() -> None:
    world = World()
    out = writer(world)
    out.send(Outgoing(b"h", bytes(FLOOR - 100)))  # takes all the room there was
    world.acknowledge(1 << 30, 5.0)
    out.send(Outgoing(b"ping", b"", rank=Rank.URGENT))
    assert world.written[-1] == b"ping"


def test_a_fast_link_is_fed_in_larger_slices_and_no_larger_than_that() -> None:
    world = World()
    out = writer(world)
    for _ in range(600):
        out.send(Outgoing(b"h", bytes(CHUNK_BYTES)))
    assert max(map(len, world.written)) <= SLICE_BYTES + 1
    for _ in range(120):
        world.acknowledge(1_000_000, 0.001)
        world.fire()
    sizes = [len(data) for data in world.written[-20:]]
    assert SLICE_BYTES < max(sizes) <= SLICE_BYTES_MAX + 1


def test_nothing_is_written_while_the_kernel_takes_nothing() -> None:
    world = World(takes=10_000)
    out = writer(world)
    out.send(Outgoing(b"h", bytes(300_000)))
    assert len(world.written) == 1
    assert len(world.waiting) <= SLICE_BYTES
    out.send(Outgoing(b"c", b"control"))
    assert len(world.written) == 1
    world.takes, world.waiting = 1 << 30, b""
    world.outstanding, world.acked = 0, len(world.written[0])
    out.resume()
    assert len(world.written) == 2


def test_who_waits_is_told_when_the_last_byte_is_written_or_never_will_be() -> None:
    world, told = World(), []
    out = writer(world)
    out.send(Outgoing(b"a", bytes(FLOOR // 2), lambda: told.append("a")))
    out.send(Outgoing(b"b", bytes(FLOOR), lambda: told.append("b")))
    assert told == ["a"]
    out.close()
    assert told == ["a", "b"]


def test_finish_sends_what_has_begun_and_what_is_control() -> None:
    world, told = World(), []
    out = writer(world)
    out.send(Outgoing(b"A", b"." * FLOOR * 2, lambda: told.append("begun")))
    out.send(Outgoing(b"B", b"." * FLOOR, lambda: told.append("not begun")))
    out.send(Outgoing(b"c", b"goodbye", lambda: told.append("control")))
    out.finish(lambda: told.append("done"))
    for _ in range(20):
        world.acknowledge(1 << 20, 0.01)
        world.fire()
    assert told == ["not begun", "begun", "control", "done"]
    assert b"".join(world.written).replace(b".", b"") == b"Acgoodbye"
