"""Each checker sees what it is there for: broken cores and broken devices are caught, honest ones pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import pytest

from edgecache.core.membership import Membership
from edgecache.core.node import Node, NodeConfig
from edgecache.core.swarm.config import SwarmConfig
from edgecache.core.vocabulary import (
    Effect,
    Event,
    EvictBlob,
    FetchChunk,
    FetchManifest,
    RequestId,
    ServeUnit,
    StartBridge,
    UnitAsked,
)
from edgecache.model.content import CHUNK_BYTES
from edgecache.sim.checkers import (
    Checker,
    Converges,
    HoldsBounds,
    KeepsPins,
    OneBridge,
    ServesWhatIsVerified,
    Violation,
    tables,
)
from edgecache.sim.device import Device, Profile
from edgecache.sim.mesh import VirtualMesh


@dataclass
class BrokenCore:
    """Answers every event with what it is told to; how it greets others is as before."""

    answer: Callable[[Event], list[Effect]]
    membership: Membership

    def handle(self, event: Event, now: float) -> list[Effect]:
        return self.answer(event)


def breaks(device: Device, answer: Callable[[Event], list[Effect]]) -> None:
    device.core = cast(Node, BrokenCore(answer, device.core.membership))


def made(*checkers: Checker) -> VirtualMesh:
    """Three devices that have met; the first has a blob of four chunks, pinned."""
    mesh = VirtualMesh(1, NodeConfig(), checkers=checkers)
    for _ in range(3):
        mesh.add(Profile())
    for device in mesh.devices:
        device.seeds = tuple(other.address for other in mesh.devices if other is not device)
        device.boot()
    mesh.devices[0].put(mesh.blob("film", 4 * CHUNK_BYTES), pinned=True)
    mesh.world.run(6.0)
    return mesh


def ask(mesh: VirtualMesh, server: Device, index: int) -> None:
    """Another device asks for a chunk, and the server's core says yes to anything."""
    (info,) = mesh.blobs.values()
    breaks(server, lambda event: [ServeUnit(event.request)] if isinstance(event, UnitAsked) else [])
    found = server.link_to(mesh.devices[2].node)
    assert found is not None
    effect = FetchChunk(RequestId(1), server.node, info.blob, index, CHUNK_BYTES, 5.0)
    server.serving.asked(found[0], effect, 0)


def test_a_chunk_that_is_not_there_is_not_served() -> None:
    mesh = made(ServesWhatIsVerified())
    with pytest.raises(Violation, match="does not have"):
        ask(mesh, mesh.devices[1], 2)


def test_a_chunk_that_was_not_verified_is_not_served() -> None:
    mesh = made(ServesWhatIsVerified())
    server, (info,) = mesh.devices[1], mesh.blobs.values()
    server.disk.begin(info)
    server.disk.put_chunk(info.blob, 2, genuine=False)
    with pytest.raises(Violation, match="never verified"):
        ask(mesh, server, 2)


def test_a_verified_chunk_is_served() -> None:
    mesh = made(ServesWhatIsVerified())
    ask(mesh, mesh.devices[0], 2)
    mesh.world.run(8.0)
    assert mesh.devices[0].served_bytes == CHUNK_BYTES


def test_a_device_that_does_not_verify_is_found_out() -> None:
    checker = ServesWhatIsVerified()
    mesh = made(checker)
    mesh.devices[0].lies = True
    mesh.devices[1].verifies = False
    (info,) = mesh.blobs.values()
    mesh.devices[1].disk.begin(info)
    for index in range(4):
        effect = FetchChunk(RequestId(1000 + index), mesh.devices[0].node, info.blob, index, CHUNK_BYTES, 5.0)
        mesh.devices[1].fetches.start(effect)
    mesh.world.run(8.0)
    with pytest.raises(Violation, match="unverified"):
        checker.at_rest(mesh)


def test_a_unit_that_nobody_asked_for_is_not_served() -> None:
    mesh = made(ServesWhatIsVerified())
    breaks(mesh.devices[0], lambda event: [ServeUnit(RequestId(77))])
    with pytest.raises(Violation, match="nobody waits"):
        mesh.world.run(20.0)


def test_a_pinned_blob_is_not_evicted() -> None:
    mesh = made(KeepsPins())
    (info,) = mesh.blobs.values()
    breaks(mesh.devices[0], lambda event: [EvictBlob(info.blob)])
    with pytest.raises(Violation, match="pinned"):
        mesh.world.run(20.0)


def test_more_in_flight_than_allowed() -> None:
    config = NodeConfig(swarm=SwarmConfig(inflight_bytes_max=4 * 1024**2))
    mesh = made(HoldsBounds(config))
    info = mesh.blob("larger", 40 * CHUNK_BYTES)
    device, count = mesh.devices[1], iter(range(1, 1000))

    def greedy(event: Event) -> list[Effect]:
        number = next(count)
        return [FetchChunk(RequestId(number), mesh.devices[0].node, info.blob, number % 40, CHUNK_BYTES, 60.0)]

    mesh.network.plug(0, False)
    breaks(device, greedy)
    with pytest.raises(Violation, match="in flight"):
        mesh.world.run(200.0)


def test_a_table_that_grows_without_bound() -> None:
    checker = HoldsBounds(NodeConfig(), every=10)
    mesh = made(checker)

    @dataclass
    class Leak:
        rows: list[int] = field(default_factory=lambda: list(range(100_000)))

    mesh.devices[1].core.serving.leak = Leak().rows  # type: ignore[attr-defined]
    with pytest.raises(Violation, match=r"serving\.leak has 100000 entries"):
        checker.at_rest(mesh)


def test_tables_are_found_where_machines_keep_them() -> None:
    mesh = made()
    found = dict(tables(mesh.devices[0].core.membership, "membership"))
    assert found["membership.book"] == 2


def test_answers_that_are_still_waited_for() -> None:
    checker = HoldsBounds(NodeConfig())
    mesh = made(checker)
    (info,) = mesh.blobs.values()
    mesh.devices[1].fetches.start(FetchManifest(RequestId(5), mesh.devices[0].node, info.blob, None, 50.0))
    with pytest.raises(Violation, match="still waits"):
        checker.at_rest(mesh)


def test_a_wish_that_did_not_come_true() -> None:
    mesh = made()
    (info,) = mesh.blobs.values()
    Converges().at_rest(mesh)
    mesh.devices[1].want(info.blob)
    with pytest.raises(Violation, match="wanted"):
        Converges().at_rest(mesh)


def test_members_that_do_not_agree() -> None:
    mesh = made()
    mesh.devices[2].crash(silently=True)
    with pytest.raises(Violation, match="alive, and it is not"):
        Converges().at_rest(mesh)


def test_maps_that_do_not_agree() -> None:
    mesh = made()
    mesh.network.plug(2, False)
    from_one = mesh.devices[0]
    from_one.measure("load", b"1")
    mesh.world.run(mesh.world.now + 2.0)
    with pytest.raises(Violation, match="map of pi0"):
        Converges().at_rest(mesh)


def test_two_bridges() -> None:
    mesh = made()
    for device in mesh.devices:
        mesh.broker.configure(device)
    mesh.world.run(20.0)
    OneBridge().at_rest(mesh)
    other = next(device for device in mesh.devices if not device.bridging)
    breaks(other, lambda event: [] if other.bridging else [StartBridge(mesh.broker.term + 1)])
    previous = mesh.broker.holder
    assert previous is not None
    breaks(previous, lambda event: [])
    mesh.world.run(25.0)
    with pytest.raises(Violation, match="2 nodes bridge"):
        OneBridge().at_rest(mesh)
