"""Rows as runs would give them."""

from __future__ import annotations

from tests.compare.rows import IdleRow, NodeRow, Row, SingleRow, SmallRow, SwarmRow
from tests.compare.scenario import MIB, SCENARIOS, Scenario

S1 = SCENARIOS["s1"]


def swarm_row(contestant: str, seconds: list[float], scenario: Scenario = S1) -> SwarmRow:
    """Node 0 has sent twice the blob, each other one half of it."""
    row = SwarmRow.empty(contestant, scenario)
    row.nodes = [NodeRow(0, None, 64 * MIB, 0, 0.5, 50 * MIB)]
    row.nodes += [NodeRow(n, s, 16 * MIB, 33 * MIB, 1.0, 70 * MIB) for n, s in enumerate(seconds, 1)]
    row.fast_s, row.seed_copies_fast, row.seed_copies = max(seconds), 2.0, 2.0
    return row


def rows() -> list[Row]:
    return [
        swarm_row("edgecache", [6.0, 6.5, 7.0]),
        swarm_row("other", [9.0, 9.5, 10.0]),
        swarm_row("edgecache", [6.0, 6.2, 6.4]),
        SingleRow("edgecache", 256, "cubic", 1.0, 268.4, 5.5, 50 * MIB, 60 * MIB),
        SmallRow("edgecache", 400.0, 900.0, 2000.0, 5000.0),
        IdleRow("edgecache", 15, 52 * MIB, 0.12),
    ]
