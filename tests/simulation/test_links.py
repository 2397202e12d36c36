"""Virtual links without any core: bytes take their turns, order is kept, cuts stall, closes are heard."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from edgecache.model.peer import CloseReason
from edgecache.sim import links
from edgecache.sim.lanes import ACKNOWLEDGING, FRAMING, QUEUE_SECONDS, SLICE_SECONDS, Lane
from edgecache.sim.links import Link, Network
from edgecache.sim.sockets import SOCKET_BYTES, SOCKET_SECONDS
from edgecache.sim.world import World

KIB = 1024


@dataclass
class FakeDevice:
    world: World
    index: int
    rate: float = 0.0
    down_rate: float = 0.0
    delay: float = 0.005
    site: str = "here"
    powered: bool = True
    lost: list[tuple[float, CloseReason]] = field(default_factory=list)
    uplink: Lane = field(init=False)
    downlink: Lane = field(init=False)

    def __post_init__(self) -> None:
        self.uplink, self.downlink = Lane(self.world, self.rate), Lane(self.world, self.down_rate)

    def link_lost(self, link: Link, reason: CloseReason, detail: str) -> None:
        self.lost.append((self.world.now, reason))


class Lab:
    """Some devices on a network without jitter, and what has arrived when."""

    def __init__(self, count: int, rate: float = 0.0, down_rate: float = 0.0) -> None:
        self.world = World(7)
        self.network = Network(self.world, jitter=0.0)
        self.devices = [FakeDevice(self.world, index, rate, down_rate) for index in range(count)]
        self.arrived: list[tuple[str, float]] = []

    def link(self, one: int, other: int) -> Link:
        return self.network.open(self.devices[one], self.devices[other])

    def control(self, link: Link, sender: int, size: int, name: str) -> None:
        self.network.send(link, self.devices[sender], size, lambda: self.arrived.append((name, self.world.now)))

    def bulk(self, link: Link, sender: int, size: int, name: str) -> None:
        def arrival() -> None:
            self.arrived.append((name, self.world.now))

        self.network.send_bulk(link, self.devices[sender], size, arrival, lambda: None)

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.arrived]


def test_a_message_takes_its_size_with_headers_by_rate_and_the_delay() -> None:
    lab = Lab(2, rate=100_000)
    lab.control(lab.link(0, 1), 0, 10_000, "a")
    lab.world.run(1.0)
    assert lab.names == ["a"]
    assert lab.arrived[0][1] == pytest.approx(0.1 * FRAMING + 0.010, rel=0.01)


def test_bulk_to_several_peers_shares_one_uplink() -> None:
    """As TCP does: all of equal size that began together end together."""
    lab = Lab(4, rate=1_000_000)
    for peer in (1, 2, 3):
        lab.bulk(lab.link(0, peer), 0, 500_000, f"to {peer}")
    lab.world.run(10.0)
    assert [time for _, time in lab.arrived] == pytest.approx([1.5 * FRAMING] * 3, rel=0.08)
    assert lab.devices[0].uplink.carried == pytest.approx(1_500_000, rel=0.01)
    assert lab.devices[0].uplink.bulk_bytes == 0


def test_control_goes_before_bulk_that_has_not_begun() -> None:
    lab = Lab(2, rate=1_000_000)
    link = lab.link(0, 1)
    for number in range(4):
        lab.bulk(link, 0, 250_000, f"bulk {number}")
    lab.world.at(0.3, lab.control, link, 0, 1_000, "control")
    lab.world.run(10.0)
    assert lab.names == ["bulk 0", "bulk 1", "control", "bulk 2", "bulk 3"]


def test_control_on_another_link_waits_for_the_queue_of_the_cable_only() -> None:
    lab = Lab(3, rate=1_000_000)
    lab.bulk(lab.link(0, 1), 0, 4_000_000, "bulk")
    other = lab.link(0, 2)
    lab.world.at(0.5, lab.control, other, 0, 1_000, "control")
    lab.world.run(10.0)
    assert lab.names == ["control", "bulk"]
    assert lab.arrived[0][1] < 0.5 + QUEUE_SECONDS + 2 * SLICE_SECONDS + 0.020


def test_a_link_has_no_more_under_way_than_its_socket_holds() -> None:
    """Over a long way, a socket of 64 KiB for each round trip; more once it has been fast."""
    lab = Lab(2)
    for device in lab.devices:
        device.delay = 0.5
    lab.bulk(lab.link(0, 1), 0, 4 * SOCKET_BYTES, "a")
    lab.world.run(20.0)
    round_trip = 2.0
    assert SOCKET_BYTES / round_trip * SOCKET_SECONDS < SOCKET_BYTES, "the rate does not widen the socket here"
    assert lab.arrived[0][1] > 3 * round_trip + 1.0


def test_senders_share_the_downlink_of_one_receiver() -> None:
    lab = Lab(4, rate=1_000_000, down_rate=1_000_000)
    for sender in (1, 2, 3):
        lab.bulk(lab.link(sender, 0), sender, 1_000_000, f"from {sender}")
    lab.world.run(10.0)
    assert lab.arrived[-1][1] == pytest.approx(3.0 * FRAMING, rel=0.03)
    alone = Lab(2, rate=1_000_000, down_rate=1_000_000)
    alone.bulk(alone.link(1, 0), 1, 1_000_000, "alone")
    alone.world.run(10.0)
    assert alone.arrived[0][1] == pytest.approx(FRAMING, rel=0.05), "one sender alone is not slowed"


def test_acknowledgements_take_their_part_of_the_way_back() -> None:
    lab = Lab(2, rate=1_000_000, down_rate=1_000_000)
    link = lab.link(0, 1)
    lab.bulk(link, 0, 2_000_000, "there")
    lab.bulk(link, 1, 2_000_000, "back")
    lab.world.run(10.0)
    assert lab.arrived[-1][1] == pytest.approx(2.0 * (FRAMING + ACKNOWLEDGING), rel=0.03)


def test_a_partition_stalls_and_a_heal_delivers_in_order() -> None:
    lab = Lab(3)
    link, inside = lab.link(0, 2), lab.link(0, 1)
    lab.network.partition([[0, 1], [2]])
    lab.control(link, 0, 10, "first")
    lab.bulk(link, 0, 10, "second")
    lab.control(inside, 0, 10, "inside")
    lab.world.run(5.0)
    assert lab.names == ["inside"]
    lab.network.partition([])
    lab.world.run(6.0)
    assert lab.names == ["inside", "first", "second"]
    assert not lab.devices[0].lost


def test_a_pulled_cable_is_a_partition_of_one() -> None:
    lab = Lab(2)
    link = lab.link(0, 1)
    lab.network.plug(1, False)
    lab.control(link, 0, 10, "a")
    lab.world.run(1.0)
    assert not lab.arrived
    lab.network.plug(1, True)
    lab.world.run(2.0)
    assert lab.names == ["a"]


def test_a_planned_close_is_heard_after_what_was_sent_before() -> None:
    lab = Lab(2, rate=1_000)
    link = lab.link(0, 1)
    lab.control(link, 0, 100, "last words")
    lab.network.close(link, lab.devices[0], CloseReason.SHED)
    lab.world.run(5.0)
    assert lab.names == ["last words"]
    assert lab.arrived[0][1] == pytest.approx(0.11 + 0.022 * FRAMING, abs=0.02)
    ((when, reason),) = lab.devices[1].lost
    assert when > lab.arrived[0][1]
    assert reason is CloseReason.SHED
    assert [reason for _, reason in lab.devices[0].lost] == [CloseReason.SHED]
    assert not list(lab.network.links())


def test_what_was_sent_on_an_end_that_closed_does_not_arrive() -> None:
    lab = Lab(2)
    link = lab.link(0, 1)
    lab.network.close(link, lab.devices[0], CloseReason.IDLE)
    lab.control(link, 0, 10, "never")
    lab.control(link, 1, 10, "too late")
    lab.world.run(5.0)
    assert not lab.arrived


def test_an_end_given_up_during_a_partition_is_learnt_of_by_sending_after_it() -> None:
    lab = Lab(2)
    link = lab.link(0, 1)
    lab.network.partition([[0]])
    lab.network.close(link, lab.devices[0], CloseReason.SILENT)
    lab.control(link, 1, 10, "hello?")
    lab.world.run(5.0)
    assert not lab.devices[1].lost
    lab.network.partition([])
    lab.world.run(6.0)
    assert [reason for _, reason in lab.devices[1].lost] == [CloseReason.BROKEN]
    assert not list(lab.network.links())


def test_a_killed_process_is_noticed_and_a_power_cut_is_not() -> None:
    for silently in (False, True):
        lab = Lab(2)
        lab.link(0, 1)
        lab.devices[0].powered = not silently
        lab.network.vanish(lab.devices[0], silently=silently)
        lab.world.run(60.0)
        assert bool(lab.devices[1].lost) is not silently


def test_a_stalled_link_is_given_up_when_its_queue_is_full() -> None:
    lab = Lab(2)
    link = lab.link(0, 1)
    lab.network.partition([[0]])
    for _ in range(links.CONTROL_QUEUE_BYTES // (64 * KIB) + 2):
        lab.control(link, 0, 64 * KIB, "x")
    lab.world.run(1.0)
    assert [reason for _, reason in lab.devices[0].lost] == [CloseReason.BROKEN]


def test_bulk_of_a_lost_link_gives_its_turn_away() -> None:
    lab = Lab(3, rate=1_000_000)
    lost, kept = lab.link(0, 1), lab.link(0, 2)
    lab.bulk(kept, 0, 1_000_000, "one")
    lab.bulk(lost, 0, 9_000_000, "never")
    lab.bulk(kept, 0, 1_000_000, "two")
    lab.network.close(lost, lab.devices[0], CloseReason.BROKEN)
    lab.world.run(20.0)
    assert lab.names == ["one", "two"]
    assert lab.arrived[-1][1] == pytest.approx(2.0 * FRAMING, abs=0.1)
    assert lab.devices[0].uplink.bulk_bytes == 0


def test_a_planned_close_drops_bulk_that_has_not_begun() -> None:
    lab = Lab(2, rate=1_000_000)
    link = lab.link(0, 1)
    for number in range(3):
        lab.bulk(link, 0, 500_000, f"bulk {number}")
    lab.world.at(0.1, lab.network.close, link, lab.devices[0], CloseReason.SHED)
    lab.world.run(20.0)
    assert lab.names == ["bulk 0"]
    assert lab.devices[0].uplink.bulk_bytes == 0
    assert [reason for _, reason in lab.devices[1].lost] == [CloseReason.SHED]


def test_delay_depends_on_the_sites() -> None:
    lab = Lab(2)
    near = lab.network.delay(lab.devices[0], lab.devices[1])
    lab.devices[1].site = "elsewhere"
    assert lab.network.delay(lab.devices[0], lab.devices[1]) > near
