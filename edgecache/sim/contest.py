"""One seed, several leechers that begin at once: the swarm of the measurements, on virtual links.

What it says of `CONTESTS` is compared with what real agents do in network namespaces
(tests/simulation/test_honesty.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from edgecache.core.node import NodeConfig
from edgecache.sim.device import Device, Profile
from edgecache.sim.lanes import FRAMING
from edgecache.sim.mesh import VirtualMesh
from edgecache.sim.scenario import Happening, Scenario, perform
from edgecache.sim.workload import everybody_has_what_they_want, fetch, join, publish

MBIT = 125_000.0
MIB = 1024 * 1024

SEED = 0
"""The node that has the blob."""

PUBLISHED, BEGAN = 12.0, 13.0
"""Virtual seconds: everybody has found everybody by then."""

LOOK_EVERY = 0.02
"""How often it is looked whether the one that is to be killed has half of the blob, and whether the fast ones are done;
the measurements do the same."""

BLOB = "film"


@dataclass(frozen=True, slots=True)
class Contest:
    """Node 0 has the blob, all others want it. Rates in bytes a second of whole Ethernet frames, delays in seconds."""

    nodes: int = 8
    size: int = 32 * MIB
    rates: tuple[float, ...] = (50 * MBIT,)
    """Both ways: of the seed, of the next, and so on, in turn."""
    delay: float = 0.002
    """One way between two nodes."""
    slow: int | None = None
    """This one has `slow_rate` both ways."""
    slow_rate: float = 5 * MBIT
    killed: int | None = None
    """The agent of this one is killed when it has received half of the blob."""
    patience: float = 40.0
    """A run fails that takes so many times the bound."""

    def rate(self, node: int) -> float:
        """Of this node, each way."""
        return self.slow_rate if node == self.slow else self.rates[node % len(self.rates)]

    @property
    def leechers(self) -> list[int]:
        """Who is to have it in the end."""
        return [node for node in range(1, self.nodes) if node != self.killed]

    @property
    def fast(self) -> list[int]:
        """Those of them that are not slow."""
        return [node for node in self.leechers if node != self.slow]

    def bound(self, nodes: Sequence[int]) -> float:
        """Seconds in which all of these could have it at best, headers not counted (Kumar and Ross 2006)."""
        uplinks = sum(self.rate(node) for node in range(self.nodes))
        least = min(self.rate(node) for node in (SEED, *nodes))
        return max(self.size / least, len(nodes) * self.size / uplinks)

    def scenario(self, name: str, command: str = "") -> Scenario:
        """For `perform`; `command` says how it is played again."""
        everybody = range(self.nodes)
        happenings = [
            (0.0, join(everybody)),
            (PUBLISHED, publish(SEED, BLOB, self.size)),
            (BEGAN, fetch(everybody[1:], BLOB, self.size)),
        ]
        if self.killed is not None:
            happenings.append((BEGAN, _kill_half_way(self.killed, self.size)))
        return Scenario(
            name,
            self.nodes,
            happenings,
            everybody_has_what_they_want,
            deadline=BEGAN + 1.0 + self.patience * self.bound(self.leechers),
            settle=0.0,
            command=command,
            profile=lambda node: Profile(
                uplink=self.rate(node), downlink=self.rate(node), delay=self.delay / 2, capacity=2 * self.size + MIB
            ),
        )


def _kill_half_way(index: int, size: int) -> Happening:
    def happen(mesh: VirtualMesh, rng: Random) -> None:
        device = mesh.devices[index]

        def look() -> None:
            if device.downlink.carried * FRAMING >= size / 2:
                device.crash(silently=False)
            else:
                mesh.world.after(LOOK_EVERY, look)

        look()

    return happen


CONTESTS = {
    "s1": Contest(),
    "s1-20": Contest(rates=(20 * MBIT,)),
    "s2": Contest(slow=1, killed=2),
}
"""By name: those that are measured with real agents."""


@dataclass(frozen=True, slots=True)
class Showing:
    """What a contest has shown; seconds from the moment that all asked."""

    fast: tuple[float, ...]
    """When each of the fast leechers had it, in order."""
    slow: float | None
    seed_copies: float
    """Bytes on the seed's uplink, headers and all, for each byte of the blob, until the last fast one had it."""
    seed_payload: float
    """Bytes of chunks that the seed has sent by then, for each byte of the blob."""
    redundant: float
    """Bytes of chunks sent by all, for each that was stored."""
    messages: int
    """Control messages of all nodes from the beginning of the fetch on, answers and requests for chunks not counted."""
    requests: int
    """For chunks, or units of them, likewise."""
    events: int
    """That the cores have handled from then on."""

    @property
    def last(self) -> float:
        """When the last of the fast ones had it."""
        return self.fast[-1]


class _Counts:
    """What had been counted when the fetch began, and when the last fast one was done."""

    def __init__(self, contest: Contest) -> None:
        self._fast = contest.fast
        self.began = self.done = (0, 0)

    def begin(self, mesh: VirtualMesh, rng: Random) -> None:
        """A happening."""
        self.messages, self.events = mesh.messages.total(), mesh.events
        self.began = self._seed(mesh)
        self._look(mesh)

    def _look(self, mesh: VirtualMesh) -> None:
        if all(wish.done_at is not None for node in self._fast for wish in mesh.devices[node].wishes.values()):
            self.done = self._seed(mesh)
        if mesh.world.now <= BEGAN or self.done <= self.began:
            mesh.world.after(LOOK_EVERY, self._look, mesh)

    def _seed(self, mesh: VirtualMesh) -> tuple[int, int]:
        seed = mesh.devices[SEED]
        return seed.uplink.carried, seed.served_bytes


def contend(
    contest: Contest, seed: int = 1, config: NodeConfig | None = None, *, name: str = "contest", command: str = "",
    strict: bool = True,
) -> Showing:
    """Play it; raises Failed. Not `strict`: what must be true is not looked at, which is faster."""
    counts = _Counts(contest)
    scenario = contest.scenario(name, command)
    scenario.happenings.append((BEGAN, counts.begin))
    run = perform(scenario, seed, config, strict=strict)
    devices = run.mesh.devices
    run.mesh.world.run(run.goal + 2 * LOOK_EVERY)
    served = sum(device.served_bytes for device in devices)
    stored = sum(device.disk.written for device in devices) - contest.size
    return Showing(
        fast=tuple(sorted(_took(devices[node]) for node in contest.fast)),
        slow=None if contest.slow is None else _took(devices[contest.slow]),
        seed_copies=(counts.done[0] - counts.began[0]) * FRAMING / contest.size,
        seed_payload=(counts.done[1] - counts.began[1]) / contest.size,
        redundant=served / stored,
        messages=run.mesh.messages.total() - counts.messages,
        requests=sum(device.serving.asked_units for device in devices),
        events=run.mesh.events - counts.events,
    )


def _took(device: Device) -> float:
    (wish,) = device.wishes.values()
    assert wish.done_at is not None, "everybody has what they want"
    return wish.done_at - wish.wanted_at
