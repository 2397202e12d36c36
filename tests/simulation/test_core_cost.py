"""What a chunk costs the core, in numbers that do not depend on the machine; its seconds are printed by
`python -m tests.simulation.core_cost`."""

from __future__ import annotations

import cProfile

import pytest

from tests.simulation.core_cost import EVENTS_MAX, Cost, single


@pytest.mark.parametrize(("devices", "events_most", "calls_most"), [(2, 4.0, 240.0), (8, EVENTS_MAX, 365.0)])
def test_a_chunk_costs_few_events_and_calls(devices: int, events_most: float, calls_most: float) -> None:
    """Among two: asked, served, stored, and a part of the news. In a swarm each chunk is news to all others too. Calls
    of Python functions stand for time: a quarter more than there were when this was written are allowed."""
    cost = Cost(profile=cProfile.Profile(builtins=False))
    chunks = single(cost, devices)
    assert chunks <= cost.events["ChunkStored"] <= 1.02 * chunks, "a duplicate that came too late to be stopped counts"
    assert cost.events.total() / chunks <= events_most
    assert cost.calls / chunks <= calls_most
