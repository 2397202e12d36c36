"""The long run: every scenario with many seeds. What fails prints the command that shows it again."""

from __future__ import annotations

import pytest

from edgecache.sim.catalogue import SCENARIOS
from edgecache.sim.scenario import Failed, play

SEEDS = {"fleet": 5}
"""How many of the one that takes half a minute; of the others a hundred."""


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SCENARIOS)
def test_no_seed_fails(name: str) -> None:
    make, devices = SCENARIOS[name]
    failures = []
    for seed in range(1, SEEDS.get(name, 100) + 1):
        try:
            play(make(devices), seed)
        except Failed as failed:
            failures.append("\n".join((failed.message.splitlines()[0], failed.message.splitlines()[-1])))
    assert not failures, "\n".join(["", *failures])
