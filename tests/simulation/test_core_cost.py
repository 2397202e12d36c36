"""How often the core is asked for a chunk; its seconds are printed by `python -m tests.simulation.core_cost`."""

from __future__ import annotations

import pytest

from tests.simulation.core_cost import Cost, single


@pytest.mark.parametrize(("devices", "most"), [(2, 4.0), (8, 6.0)])
def test_a_chunk_costs_few_events(devices: int, most: float) -> None:
    """Among two: asked, served, stored, and a part of the news. In a swarm each chunk is news to all others too."""
    cost = Cost()
    chunks = single(cost, devices)
    assert chunks <= cost.events["ChunkStored"] <= 1.02 * chunks, "a duplicate that came too late to be stopped counts"
    assert cost.events.total() / chunks <= most
