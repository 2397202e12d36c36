"""What a run has shown, as numbers that can be compared with those of another version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from edgecache.model.instant import Instant

if TYPE_CHECKING:
    from edgecache.sim.mesh import VirtualMesh


@dataclass(frozen=True, slots=True)
class Report:
    """Times in virtual seconds."""

    scenario: str
    seed: int
    digest: str
    """Of everything that happened, in order."""
    devices: int
    live: int
    events: int
    steps: int
    ended: Instant
    goal: Instant
    wishes: int
    fetch_median: float
    fetch_worst: float
    """From a wish to the complete blob."""
    publisher_share: float
    """Of all chunk bytes, those that came from whoever put the blob."""
    redundant: float
    """Chunk bytes that were sent, for each one that was stored: 1 is perfect."""
    control_bytes: Mapping[str, int]
    warnings: Mapping[str, int]
    tables: Mapping[str, int]
    """The longest tables."""

    def as_json(self) -> dict[str, object]:
        """For programs."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        control = sum(self.control_bytes.values())
        rate = control / max(1, self.devices) / max(1.0, self.ended)
        most = sorted(self.control_bytes.items(), key=lambda item: -item[1])[:4]
        return [
            f"{self.scenario}: {self.devices} devices ({self.live} live at the end), seed {self.seed}",
            f"digest {self.digest}, {self.events} events in {self.ended:.0f} virtual seconds, goal at {self.goal:.0f}",
            f"fetches: {self.wishes}, median {self.fetch_median:.2f} s, worst {self.fetch_worst:.2f} s",
            f"bytes: {self.publisher_share:.0%} from the publisher, {self.redundant:.3f} sent for one stored",
            f"control: {rate:.0f} B/s for each device; most: " + ", ".join(f"{kind} {n}" for kind, n in most),
            "longest tables: " + ", ".join(f"{name} {n}" for name, n in self.tables.items()),
            "warnings: " + (", ".join(f"{cause} {n}" for cause, n in self.warnings.items()) or "none"),
        ]


def difference(base: Report, other: Report) -> list[str]:
    """Where two runs of one scenario differ, one line for each figure."""
    old, new = base.as_json(), other.as_json()
    return [f"{name}: {old[name]} -> {new[name]}" for name in old if old[name] != new[name]]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of all are; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def report_on(mesh: VirtualMesh, scenario: str, goal: Instant, tables: Mapping[str, int]) -> Report:
    """Sum up a mesh at rest."""
    took = [
        wish.done_at - wish.wanted_at
        for device in mesh.devices
        for wish in device.wishes.values()
        if wish.done_at is not None and not wish.failure
    ]
    served = sum(device.served_bytes for device in mesh.devices)
    put = sum(device.put_bytes for device in mesh.devices)
    stored = sum(device.disk.written for device in mesh.devices) - put
    by_publishers = sum(device.served_bytes for device in mesh.devices if device.put_bytes)
    longest = sorted(tables.items(), key=lambda item: (-item[1], item[0]))[:8]
    return Report(
        scenario=scenario,
        seed=mesh.world.seed,
        digest=mesh.trace.digest,
        devices=len(mesh.devices),
        live=len(mesh.live()),
        events=mesh.trace.events,
        steps=mesh.world.steps,
        ended=mesh.world.now,
        goal=goal,
        wishes=len(took),
        fetch_median=percentile(took, 0.5),
        fetch_worst=max(took, default=0.0),
        publisher_share=by_publishers / max(1, served),
        redundant=served / max(1, stored),
        control_bytes=dict(sorted(mesh.sent.items())),
        warnings=dict(sorted(mesh.warnings.items())),
        tables=dict(longest),
    )
