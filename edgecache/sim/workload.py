"""What people do to a mesh: switch devices on, put files, ask for them, and measure things."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from edgecache.model.ids import BlobId
from edgecache.sim.checkers import Violation
from edgecache.sim.device import Device
from edgecache.sim.mesh import VirtualMesh
from edgecache.sim.scenario import Goal, Happening


def join(indexes: Sequence[int], *, seeds: int = 3, over: float = 0.0) -> Happening:
    """Switch devices on within `over` seconds; each knows the addresses of a few others, any of all."""

    def happen(mesh: VirtualMesh, rng: Random) -> None:
        for index in indexes:
            device = mesh.devices[index]
            others = [other.address for other in mesh.devices if other is not device and other.profile.dialable]
            device.seeds = tuple(rng.sample(others, min(seeds, len(others))))
            mesh.world.after(rng.random() * over, device.boot)

    return happen


def publish(index: int, name: str, size: int, *, pin: bool = True) -> Happening:
    """Put a file at one device."""

    def happen(mesh: VirtualMesh, rng: Random) -> None:
        mesh.devices[index].put(mesh.blob(name, size), pinned=pin)

    return happen


def fetch(indexes: Sequence[int], name: str, size: int, *, over: float = 0.0) -> Happening:
    """Ask for a file at several devices within `over` seconds."""

    def happen(mesh: VirtualMesh, rng: Random) -> None:
        blob = mesh.blob(name, size).blob
        for index in indexes:
            mesh.world.after(rng.random() * over, _want, mesh.devices[index], blob)

    return happen


def _want(device: Device, blob: BlobId) -> None:
    if device.running:
        device.want(blob)


def measure(indexes: Sequence[int], series: str, value: float) -> Happening:
    """A new reading at each of some devices."""

    def happen(mesh: VirtualMesh, rng: Random) -> None:
        for index in indexes:
            mesh.devices[index].measure(series, f"{value}".encode())

    return happen


def reach_broker(indexes: Sequence[int]) -> Happening:
    """Some devices have an MQTT broker in their configuration, and reach it."""

    def happen(mesh: VirtualMesh, rng: Random) -> None:
        for index in indexes:
            mesh.broker.configure(mesh.devices[index])

    return happen


def expect(what: str, holds: Goal) -> Happening:
    """Looked at in passing: the run fails when it does not hold."""

    def happen(mesh: VirtualMesh, rng: Random) -> None:
        if not holds(mesh):
            raise Violation(f"expected {what} at {mesh.world.now:g} s")

    return happen


def everybody_has_what_they_want(mesh: VirtualMesh) -> bool:
    """No wish of a live device is open."""
    return all(wish.done_at is not None for device in mesh.live() for wish in device.wishes.values())
