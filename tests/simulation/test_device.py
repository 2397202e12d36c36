"""The virtual device carries out every effect that the core can ask for."""

from __future__ import annotations

from typing import get_args

import pytest

from edgecache.core import vocabulary as v
from edgecache.core.node import NodeConfig
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.ids import Digest
from edgecache.sim.device import Device, Profile
from edgecache.sim.mesh import VirtualMesh
from edgecache.wire.messages import Entry, MemberStatus, StatePush


def mesh_of(*profiles: Profile) -> VirtualMesh:
    """Devices that know each other's addresses and have met."""
    mesh = VirtualMesh(1, NodeConfig(), faithful=True)
    for profile in profiles:
        mesh.add(profile)
    for device in mesh.devices:
        device.seeds = tuple(other.address for other in mesh.devices if other is not device)
        device.boot()
    mesh.world.run(3.0)
    return mesh


def linked(one: Device, other: Device) -> bool:
    return one.link_to(other.node) is not None


def test_every_effect_is_carried_out() -> None:
    device = VirtualMesh(1, NodeConfig()).add(Profile())
    assert set(get_args(v.Effect)) == set(device._effects)


def test_devices_meet_by_their_addresses() -> None:
    mesh = mesh_of(Profile(), Profile(), Profile())
    assert all(linked(one, other) for one in mesh.devices for other in mesh.devices if one is not other)


def test_multicast_is_enough_to_meet() -> None:
    mesh = VirtualMesh(1, NodeConfig())
    one, other = mesh.add(Profile()), mesh.add(Profile())
    one.boot()
    other.boot()
    one.sight(other)
    mesh.world.run(2.0)
    assert linked(one, other)
    assert linked(other, one)


def test_one_that_cannot_be_dialled_dials() -> None:
    mesh = mesh_of(Profile(dialable=False), Profile())
    assert linked(*mesh.devices)


def test_a_blob_goes_from_one_to_the_other_at_the_rate_of_the_uplink() -> None:
    mesh = mesh_of(Profile(uplink=1e6), Profile())
    info = mesh.blob("film", 20 * CHUNK_BYTES)
    mesh.devices[0].put(info, pinned=True)
    mesh.world.run(5.0)
    mesh.devices[1].want(info.blob)
    mesh.world.run(5.0 + info.size / 1e6 + 2.0)
    wish = mesh.devices[1].wishes[info.blob]
    assert wish.done_at is not None
    assert info.size / 1e6 < wish.done_at - wish.wanted_at < info.size / 1e6 * 1.15
    assert mesh.devices[0].served_bytes == info.size


@pytest.mark.parametrize("busy", [0, 1])
def test_a_weak_device_takes_its_time_for_each_chunk(busy: int) -> None:
    profiles = [Profile(chunk_work=0.5 if index == busy else 0.0) for index in range(2)]
    mesh = mesh_of(*profiles)
    info = mesh.blob("film", 8 * CHUNK_BYTES)
    mesh.devices[0].put(info, pinned=True)
    mesh.world.run(5.0)
    mesh.devices[1].want(info.blob)
    mesh.world.run(5.0 + 8 * 0.5 + 2.0)
    wish = mesh.devices[1].wishes[info.blob]
    assert wish.done_at is not None
    assert 8 * 0.5 < wish.done_at - wish.wanted_at < 8 * 0.5 + 0.5


def test_a_full_disk_refuses_a_put() -> None:
    mesh = mesh_of(Profile(capacity=CHUNK_BYTES))
    mesh.devices[0].put(mesh.blob("film", 2 * CHUNK_BYTES), pinned=False)
    mesh.world.run(4.0)
    assert not mesh.devices[0].disk.holdings()


def test_a_power_cut_is_noticed_within_ten_seconds_and_a_restart_refutes_it() -> None:
    mesh = mesh_of(Profile(), Profile(), Profile())
    gone, here = mesh.devices[0], mesh.devices[1]

    def believed() -> MemberStatus:
        return next(view.status for view in here.core.membership.peers() if view.node == gone.node)

    gone.crash(silently=True)
    mesh.world.run(mesh.world.now + 10.0)
    assert believed() is not MemberStatus.ALIVE
    assert not linked(here, gone)
    gone.boot()
    mesh.world.run(mesh.world.now + 5.0)
    assert believed() is MemberStatus.ALIVE
    assert linked(here, gone)


def test_nothing_that_was_scheduled_survives_a_restart() -> None:
    mesh = mesh_of(Profile())
    device, fired = mesh.devices[0], list[str]()
    device.later(1.0, fired.append, "from the first boot")
    device.crash(silently=False)
    device.boot()
    device.later(1.0, fired.append, "from the second boot")
    mesh.world.run(10.0)
    assert fired == ["from the second boot"]


def test_a_forged_head_does_not_reach_the_core() -> None:
    mesh = mesh_of(Profile(), Profile())
    here, forger = mesh.devices
    before = here.core.state.heads()
    entries = (Entry("r/load", 9, b"1"),)
    certificate = mesh.certificate(forger.node)
    forged = StatePush(forger.node, forger.epoch, 0, 9, entries, Digest(bytes(32)), bytes(64), certificate)
    here.receive(forger.node, forged)
    assert here.core.state.heads() == before
    assert mesh.warnings["misbehaved"] == 1


@pytest.mark.parametrize("silently", [False, True])
def test_the_broker_has_one_holder(silently: bool) -> None:
    mesh = mesh_of(Profile(), Profile(), Profile())
    for device in mesh.devices:
        mesh.broker.configure(device)
    mesh.world.run(mesh.world.now + 10.0)
    first = mesh.broker.holder
    assert first is not None
    first.crash(silently=silently)
    mesh.world.run(mesh.world.now + 15.0)
    assert mesh.broker.holder not in (None, first)
    assert sum(device.bridging for device in mesh.live()) == 1
