"""What is tried: hosts, links, the blob, who is slow and who dies; and the least time that the links allow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from edgecache.sim.contest import CONTESTS, MBIT, Contest
from edgecache.sim.contest import MIB as MIB
from edgecache.sim.contest import SEED as SEED


@dataclass(frozen=True, slots=True)
class Scenario:
    """Rates in Mbit/s of whole Ethernet frames; delay and loss are each uplink's."""

    name: str
    nodes: int = 8
    mib: float = 32
    mbit: float = 50
    delay_ms: float = 2
    loss_percent: float = 0
    queue_ms: float = 50
    congestion: str = "cubic"
    slow: int | None = None
    slow_mbit: float = 5
    victim: int | None = None
    """Killed (SIGKILL) when it has received `killed_at` of the blob."""
    killed_at: float = 0.5
    wait_slow: bool = True
    """Go on until the slow one is done too."""

    def __post_init__(self) -> None:
        if self.nodes < 2 or self.mib <= 0 or self.mbit <= 0:
            raise ValueError("a swarm needs two hosts, a blob and links")
        for special in (self.slow, self.victim):
            if special is not None and not SEED < special < self.nodes:
                raise ValueError(f"host {special} is not one of the leechers 1 to {self.nodes - 1}")

    @classmethod
    def of(cls, name: str, contest: Contest) -> Scenario:
        """What the simulator plays on virtual links; there all links but a slow one are alike."""
        return cls(
            name, contest.nodes, contest.size / MIB, contest.rate(SEED) / MBIT, contest.delay * 1000,
            slow=contest.slow, slow_mbit=contest.slow_rate / MBIT, victim=contest.killed,
        )  # fmt: skip

    @property
    def size(self) -> int:
        """Bytes of the blob."""
        return round(self.mib * MIB)

    @property
    def leechers(self) -> list[int]:
        """Who fetches."""
        return [host for host in range(self.nodes) if host != SEED]

    @property
    def fast(self) -> list[int]:
        """The leechers that are neither slow nor killed."""
        return [host for host in self.leechers if host not in (self.slow, self.victim)]

    @property
    def links(self) -> dict[str, float]:
        """How each host's link is shaped."""
        return {
            "up_mbit": self.mbit, "down_mbit": self.mbit, "delay_ms": self.delay_ms,
            "loss_percent": self.loss_percent, "queue_ms": self.queue_ms,
        }  # fmt: skip

    def bound(self) -> float:
        """Seconds in which the fast ones could all have it, headers not counted (Kumar and Ross, 2006)."""
        uplinks = self.mbit * self.nodes - (self.mbit - self.slow_mbit if self.slow is not None else 0)
        return fluid_bound(self.size, self.mbit, self.mbit, len(self.fast), uplinks)

    def slow_bound(self) -> float:
        """Seconds that the slow one's own link takes."""
        return self.size * 8 / (self.slow_mbit * 1e6)


def fluid_bound(size: int, seed_mbit: float, least_down_mbit: float, leechers: int, uplinks_mbit: float) -> float:
    """max(F / u_s, F / d_min, N F / sum of all u) in seconds, for a blob of `size` bytes."""
    megabits = size * 8 / 1e6
    return max(megabits / seed_mbit, megabits / least_down_mbit, leechers * megabits / uplinks_mbit)


SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        *(Scenario.of(name, CONTESTS[name]) for name in ("s1", "s2")),
        Scenario("s3", delay_ms=20, loss_percent=2),
    )
}


def varied(name: str, **changes: Any) -> Scenario:
    """A named scenario with other numbers; None keeps the scenario's own. Raises ValueError."""
    return replace(SCENARIOS[name], **{key: value for key, value in changes.items() if value is not None})
