"""Scenarios with names."""

from __future__ import annotations

from collections.abc import Callable

from edgecache.model.content import CHUNK_BYTES
from edgecache.sim.faults import cable, crash, heal, lie, partition, restart, slow, stop_one
from edgecache.sim.scenario import Scenario
from edgecache.sim.workload import everybody_has_what_they_want, fetch, join, measure, publish

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


SCENARIOS: dict[str, tuple[Callable[[int], Scenario], int]] = {
    "fleet": (fleet, 200),
    "returning": (returning, 12),
    "split": (split, 12),
    "publisher-cut": (publisher_cut, 8),
    "hostile": (hostile, 16),
}
"""By name: how to make it, and of how many devices it is usually played."""
