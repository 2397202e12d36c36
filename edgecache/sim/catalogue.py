"""Scenarios with names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from edgecache.model.content import CHUNK_BYTES
from edgecache.sim.contest import CONTESTS
from edgecache.sim.device import Profile
from edgecache.sim.faults import cable, crash, heal, lie, narrow, partition, restart, slow, stop_bridge, stop_one
from edgecache.sim.mesh import VirtualMesh
from edgecache.sim.scenario import Scenario
from edgecache.sim.workload import (
    everybody_has_what_they_want,
    expect,
    fetch,
    join,
    measure,
    publish,
    reach_broker,
)

FIRMWARE = "firmware"
FIRMWARE_BYTES = 16 * CHUNK_BYTES - 1000


def fleet(devices: int) -> Scenario:
    """Everybody joins, one publishes, everybody fetches, a tenth loses its power meanwhile."""
    everybody = range(devices)
    return Scenario(
        "fleet",
        devices,
        [
            (0.0, join(everybody, over=5.0)),
            (15.0, publish(0, FIRMWARE, FIRMWARE_BYTES)),
            (16.0, fetch(everybody[1:], FIRMWARE, FIRMWARE_BYTES, over=1.0)),
            (17.0, crash(0.1, silently=True, spare=(0,), over=1.5)),
        ],
        everybody_has_what_they_want,
        deadline=120.0,
    )


FILM_BYTES = 256 * CHUNK_BYTES
LINK = Profile(uplink=12.5e6, downlink=12.5e6)
"""100 Mbit/s."""


def swarm(devices: int) -> Scenario:
    """64 MiB from one to all the others at once, over links of 100 Mbit/s: what the system tests measure."""
    everybody = range(devices)
    return Scenario(
        "swarm",
        devices,
        [
            (0.0, join(everybody)),
            (5.0, publish(0, "film", FILM_BYTES)),
            (6.0, fetch(everybody[1:], "film", FILM_BYTES)),
        ],
        everybody_has_what_they_want,
        deadline=60.0,
        profile=lambda _: LINK,
    )


BORDER = 5e6 / 8
"""5 Mbit/s."""


def sites(devices: int) -> Scenario:
    """Two sites with a narrow link between them: one node has a blob, and everybody of the other site fetches it."""
    half = devices // 2
    return Scenario(
        "sites",
        devices,
        [
            (0.0, narrow(BORDER)),
            (0.0, join(range(devices))),
            (10.0, publish(0, "film", FILM_BYTES // 4)),
            (11.0, fetch(range(half, devices), "film", FILM_BYTES // 4)),
        ],
        everybody_has_what_they_want,
        deadline=240.0,
        profile=lambda index: Profile("north" if index < half else "south", uplink=11.9e6, downlink=11.9e6),
    )


def returning(devices: int) -> Scenario:
    """A third crashes while it fetches, and goes on after the restart with what its disks have kept."""
    everybody = range(devices)
    return Scenario(
        "returning",
        devices,
        [
            (0.0, join(everybody, over=2.0)),
            (10.0, publish(0, FIRMWARE, 8 * FIRMWARE_BYTES)),
            (11.0, fetch(everybody[1:], FIRMWARE, 8 * FIRMWARE_BYTES)),
            (14.0, crash(0.33, silently=False, spare=(0,))),
            (20.0, restart()),
        ],
        everybody_has_what_they_want,
        deadline=180.0,
        faithful=True,
    )


def split(devices: int) -> Scenario:
    """Half of the mesh is cut off from the publisher, measures and waits, and everything meets again."""
    everybody, half = range(devices), devices // 2
    return Scenario(
        "split",
        devices,
        [
            (0.0, join(everybody, over=2.0)),
            (10.0, partition(everybody[:half])),
            (12.0, publish(0, FIRMWARE, FIRMWARE_BYTES)),
            (12.0, measure(everybody, "temperature", 21.5)),
            (30.0, fetch(everybody[1:], FIRMWARE, FIRMWARE_BYTES)),
            (60.0, heal),
        ],
        everybody_has_what_they_want,
        deadline=240.0,
        settle=90.0,
        faithful=True,
    )


def publisher_cut(devices: int) -> Scenario:
    """The publisher's cable is pulled before everything of it is among the others, and plugged in again later."""
    everybody = range(devices)
    return Scenario(
        "publisher-cut",
        devices,
        [
            (0.0, join(everybody, over=2.0)),
            (10.0, publish(0, FIRMWARE, 16 * FIRMWARE_BYTES)),
            (10.1, slow(0, 4e6)),
            (11.0, fetch(everybody[1:], FIRMWARE, 16 * FIRMWARE_BYTES)),
            (16.0, cable(0, plugged=False)),
            (45.0, expect("every waiting node to say which chunks nobody has", _all_say_what_is_missing)),
            (50.0, cable(0, plugged=True)),
        ],
        everybody_has_what_they_want,
        deadline=240.0,
        settle=60.0,
    )


def hostile(devices: int) -> Scenario:
    """Some hold the blob and serve lies; some are slow; the publisher goes away for good once others have all of it."""
    everybody = range(devices)
    early = everybody[1 : devices // 2]
    liars = [(20.0, lie(index)) for index in early[:: max(1, len(early) // 3)][:3]]
    return Scenario(
        "hostile",
        devices,
        [
            (0.0, join(everybody, over=2.0)),
            (10.0, publish(0, FIRMWARE, FIRMWARE_BYTES)),
            (10.0, fetch(early, FIRMWARE, FIRMWARE_BYTES)),
            *liars,
            (20.0, slow(early[-1], 50e3)),
            (20.0, stop_one(0, silently=True)),
            (21.0, fetch(everybody[devices // 2 :], FIRMWARE, FIRMWARE_BYTES)),
        ],
        everybody_has_what_they_want,
        deadline=240.0,
        settle=60.0,
    )


def _all_say_what_is_missing(mesh: VirtualMesh) -> bool:
    waiting = [device for device in mesh.live() if device.wishes]
    return all(progress.missing_nowhere for device in waiting for progress in device.progress.values())


def bridging(devices: int) -> Scenario:
    """The bridging node loses its power, then its successor is killed; each time another publishes within 15 s."""
    everybody = range(devices)
    return Scenario(
        "bridging",
        devices,
        [
            (0.0, join(everybody, over=2.0)),
            (5.0, reach_broker(everybody)),
            (15.0, expect("a bridge", _is_bridged)),
            (20.0, stop_bridge(silently=True)),
            (35.0, expect("a second bridge within 15 s", _is_bridged)),
            (40.0, stop_bridge(silently=False)),
            (55.0, expect("a third bridge within 15 s", _is_bridged)),
            (60.0, restart()),
        ],
        _is_bridged,
        deadline=90.0,
        faithful=True,
    )


def _contest(name: str, devices: int) -> Scenario:
    return replace(CONTESTS[name], nodes=devices).scenario(name)


def _is_bridged(mesh: VirtualMesh) -> bool:
    return mesh.broker.holder is not None


SCENARIOS: dict[str, tuple[Callable[[int], Scenario], int]] = {
    "fleet": (fleet, 200),
    "swarm": (swarm, 4),
    "sites": (sites, 8),
    "returning": (returning, 12),
    "split": (split, 12),
    "publisher-cut": (publisher_cut, 8),
    "hostile": (hostile, 16),
    "bridging": (bridging, 6),
    **{name: (partial(_contest, name), contest.nodes) for name, contest in CONTESTS.items()},
}
"""By name: how to make it, and of how many devices it is usually played."""
