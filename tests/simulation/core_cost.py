"""What a chunk costs the core at both ends together, from a simulated transfer: events, seconds, and where they go.

python -m tests.simulation.core_cost
"""

from __future__ import annotations

import cProfile
import pstats
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from edgecache.core import vocabulary as v
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.instant import Instant
from edgecache.sim.device import Profile
from edgecache.sim.mesh import VirtualMesh
from edgecache.sim.scenario import Scenario, perform
from edgecache.sim.workload import everybody_has_what_they_want, fetch, join, publish

CHUNKS = 512
EVENTS_MAX = 6.0
"""That the cores may handle for each chunk, both ends together."""
MICROSECONDS_MAX = 100.0
"""Of all cores for each chunk."""
GIGABIT = Profile(uplink=125e6, downlink=125e6)


@dataclass
class Cost:
    """Of all cores from the moment of the fetch on."""

    events: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    profile: cProfile.Profile | None = None

    def watch(self, mesh: VirtualMesh, _: Random) -> None:
        """A happening: count from now on."""
        for device in mesh.devices:
            self._wrap(device.core)

    @property
    def calls(self) -> int:
        """That the profile has counted; of Python functions only, and then the same in each run, if it was made so."""
        assert self.profile is not None
        return sum(entry.callcount for entry in self.profile.getstats())

    def _wrap(self, core: object) -> None:
        handle = core.handle  # type: ignore[attr-defined]

        def counted(event: v.Event, now: Instant) -> list[v.Effect]:
            self.events[type(event).__name__] += 1
            if self.profile is not None:
                self.profile.enable()
            began = time.perf_counter()
            effects: list[v.Effect] = handle(event, now)
            self.seconds += time.perf_counter() - began
            if self.profile is not None:
                self.profile.disable()
            return effects

        core.handle = counted  # type: ignore[attr-defined]


def single(cost: Cost, devices: int = 2, count: int = CHUNKS) -> int:
    """One blob of `count` chunks from one to all others; returns the chunks that were fetched."""
    size = count * CHUNK_BYTES
    scenario = Scenario(
        "single",
        devices,
        [
            (0.0, join(range(devices))),
            (5.0, publish(0, "film", size)),
            (5.9, cost.watch),
            (6.0, fetch(range(1, devices), "film", size)),
        ],
        everybody_has_what_they_want,
        deadline=60.0,
        settle=0.0,
        profile=lambda _: GIGABIT,
    )
    perform(scenario, 1, strict=False)
    return count * (devices - 1)


def main() -> None:
    """Print both beside what they may be, and where the time goes."""
    for devices, count in ((2, CHUNKS), (8, CHUNKS), (24, 64)):
        plain = Cost()
        chunks = single(plain, devices, count)
        per_chunk = ", ".join(f"{name} {number / chunks:.2f}" for name, number in plain.events.most_common(8))
        sys.stdout.write(
            f"{devices} nodes, {count} chunks: {plain.events.total() / chunks:.2f} events (at most {EVENTS_MAX:g}), "
            f"{plain.seconds / chunks * 1e6:.0f} us (at most {MICROSECONDS_MAX:g}) "
            f"for each chunk that was fetched, at both ends together ({per_chunk})\n"
        )
    for devices in (2, 8):
        profiled = Cost(profile=cProfile.Profile())
        single(profiled, devices)
        assert profiled.profile is not None
        sys.stdout.write(f"\n{devices} nodes:\n")
        pstats.Stats(profiled.profile, stream=sys.stdout).strip_dirs().sort_stats("tottime").print_stats(20)


if __name__ == "__main__":
    main()
