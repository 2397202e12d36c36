"""A scenario is data: how many devices, what happens when, and when it should be over."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from edgecache.core.node import NodeConfig
from edgecache.model.errors import InvariantBroken
from edgecache.model.instant import Instant
from edgecache.sim.checkers import Converges, HoldsBounds, KeepsPins, OneBridge, ServesWhatIsVerified, Violation
from edgecache.sim.device import Profile
from edgecache.sim.mesh import VirtualMesh
from edgecache.sim.report import Report, report_on

Happening = Callable[[VirtualMesh, Random], None]
"""Something done to the mesh from outside; the random stream is the scenario's own."""

Goal = Callable[[VirtualMesh], bool]


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is played. Times are virtual seconds."""

    name: str
    devices: int
    happenings: list[tuple[Instant, Happening]]
    goal: Goal
    """Looked at every second after the last happening."""
    deadline: Instant
    """By then the goal is reached, or the run has failed."""
    settle: float = 40.0
    """After the goal, for gossip and anti-entropy to finish: the mesh is at rest then; at 0 that is not looked at."""
    profile: Callable[[int], Profile] = field(default=lambda _: Profile())
    faithful: bool = False
    command: str = ""
    """Plays it, with `--seed N` added; empty for those of the catalogue."""


class Failed(InvariantBroken):
    """A run broke a rule or did not get there; says how to see it again."""

    code = "simulation"


def replay(scenario: Scenario, seed: int) -> str:
    """The command that plays this again."""
    command = scenario.command or f"python -m edgecache.sim {scenario.name} --devices {scenario.devices}"
    return f"{command} --seed {seed}"


@dataclass(frozen=True, slots=True)
class Run:
    """A scenario that was played to its end."""

    mesh: VirtualMesh
    goal: Instant
    peaks: dict[str, int]
    """The longest that each table was, by name."""


def play(scenario: Scenario, seed: int, config: NodeConfig | None = None) -> Report:
    """Run to the end; raises Failed with the last events and one command that replays them."""
    run = perform(scenario, seed, config)
    return report_on(run.mesh, scenario.name, run.goal, run.peaks)


def perform(scenario: Scenario, seed: int, config: NodeConfig | None = None, *, strict: bool = True) -> Run:
    """The same, for who wants to look at the mesh. Not `strict`: faster, without trace and checkers."""
    config = config or NodeConfig()
    bounds = HoldsBounds(config)
    checkers = (ServesWhatIsVerified(), KeepsPins(), bounds, Converges(), OneBridge()) if strict else ()
    mesh = VirtualMesh(seed, config, checkers=checkers, faithful=scenario.faithful, traced=strict)
    for index in range(scenario.devices):
        mesh.add(scenario.profile(index))
    rng = mesh.world.fork("scenario")
    for when, happening in scenario.happenings:
        mesh.world.at(when, happening, mesh, rng)
    collecting = gc.isenabled()
    gc.disable()  # hundreds of thousands of live objects, no cycles among them: a quarter of the time for nothing
    try:
        done_at = _reach_goal(mesh, scenario)
        mesh.world.run(done_at + scenario.settle)
        for checker in checkers if scenario.settle else ():
            checker.at_rest(mesh)
    except InvariantBroken as broken:
        lines = [broken.message, "the last events:", *mesh.trace.tail()[-20:], f"replay: {replay(scenario, seed)}"]
        raise Failed("\n".join(lines)) from broken
    finally:
        if collecting:
            gc.enable()
    return Run(mesh, done_at, bounds.peaks)


def _reach_goal(mesh: VirtualMesh, scenario: Scenario) -> Instant:
    last = max((when for when, _ in scenario.happenings), default=0.0)
    mesh.world.run(last)
    while not scenario.goal(mesh):
        if mesh.world.now >= scenario.deadline:
            open_wishes = sum(wish.done_at is None for one in mesh.live() for wish in one.wishes.values())
            raise Violation(f"not there after {scenario.deadline:g} s: {open_wishes} wishes are open")
        mesh.world.run(mesh.world.now + 1.0)
    return mesh.world.now
