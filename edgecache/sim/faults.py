"""What goes wrong: crashes, power cuts, restarts, pulled cables, partitions, slow and lying devices."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from edgecache.sim.mesh import VirtualMesh
from edgecache.sim.scenario import Happening


def crash(share: float, *, silently: bool, spare: Sequence[int] = (), over: float = 0.0) -> Happening:
    """A share of the live devices stops, within `over` seconds; `spare` never."""

    def happen(mesh: VirtualMesh, rng: Random) -> None:
        live = [device for device in mesh.live() if device.index not in spare]
        for device in rng.sample(live, round(share * len(live))):
            mesh.trace.note(f"crash {device.index}")
            mesh.world.after(rng.random() * over, stop, mesh, device.index, silently)

    return happen


def stop(mesh: VirtualMesh, index: int, silently: bool) -> None:
    """One device stops, if it runs."""
    if mesh.devices[index].running:
        mesh.devices[index].crash(silently=silently)


def stop_one(index: int, *, silently: bool) -> Happening:
    """This device stops."""
    return lambda mesh, rng: stop(mesh, index, silently)


def stop_bridge(*, silently: bool) -> Happening:
    """Whoever bridges to the broker stops."""

    def happen(mesh: VirtualMesh, rng: Random) -> None:
        for device in mesh.live():
            if device.bridging:
                device.crash(silently=silently)

    return happen


def restart(indexes: Sequence[int] | None = None) -> Happening:
    """Those of these devices (of all) that are down start again, from what their disks have kept.

    What a user wanted and no disk knows of yet is asked for again.
    """

    def happen(mesh: VirtualMesh, rng: Random) -> None:
        for device in mesh.devices:
            if device.running or (indexes is not None and device.index not in indexes):
                continue
            device.boot()
            for wish in list(device.wishes.values()):
                if wish.done_at is None and device.disk.get(wish.blob) is None:
                    device.want(wish.blob)

    return happen


def partition(*groups: Sequence[int]) -> Happening:
    """Devices reach each other only inside a group."""
    return lambda mesh, rng: mesh.network.partition(groups)


def heal(mesh: VirtualMesh, rng: Random) -> None:
    """Everybody reaches everybody again."""
    mesh.network.partition(())


def cable(index: int, *, plugged: bool) -> Happening:
    """Plug or pull a device's cable."""
    return lambda mesh, rng: mesh.network.plug(index, plugged)


def narrow(rate: float) -> Happening:
    """From now on the link between any two sites carries so many bytes a second, each way."""

    def happen(mesh: VirtualMesh, rng: Random) -> None:
        mesh.network.border.rate = rate

    return happen


def slow(index: int, uplink: float) -> Happening:
    """From now on a device sends only so many bytes a second."""

    def happen(mesh: VirtualMesh, rng: Random) -> None:
        mesh.devices[index].uplink.rate = uplink

    return happen


def lie(index: int) -> Happening:
    """From now on a device serves something else than what it is asked for."""

    def happen(mesh: VirtualMesh, rng: Random) -> None:
        mesh.devices[index].lies = True

    return happen
