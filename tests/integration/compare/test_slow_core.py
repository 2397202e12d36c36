"""Who is held to a slow core: the contestants, and what is between them only when that is asked for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.compare.cores import slow_core
from tests.compare.ground import loopback
from tests.compare.process import Failed
from tests.lab.tools import require_namespaces

pytestmark = pytest.mark.system

WHERE = "import json, os; print(json.dumps([open('/proc/self/cgroup').read(), sorted(os.sched_getaffinity(0))]))"
CORES = os.sched_getaffinity(0)


def here() -> list[Any]:
    return [Path("/proc/self/cgroup").read_text(), sorted(os.sched_getaffinity(0))]


def there(held: Sequence[str]) -> list[Any]:
    """A contestant, started as all are."""
    with loopback(held=held) as ground:
        program = ground.start(0, [sys.executable, "-c", WHERE], stdout=subprocess.PIPE)
        assert program.process.stdout is not None, "it was piped"
        found: list[Any] = json.loads(program.process.stdout.readline())
        return found


@pytest.fixture
def before() -> list[Any]:
    """Where we are; skips where no cgroup can hold anybody."""
    require_namespaces()
    found = here()
    try:
        with slow_core(50, wires=True):
            pass
    except (Failed, OSError) as error:
        pytest.skip(f"no cpu controller: {error}")
    assert here() == found, "and we are back"
    return found


@pytest.mark.skipif(len(CORES) < 2, reason="takes two cores")
def test_the_network_and_the_harness_are_elsewhere(before: list[Any]) -> None:
    with slow_core(50) as held:
        groups, cores = there(held)
        assert "edgecache-compare" in groups
        assert cores == [min(CORES)]
        assert "edgecache-compare" not in here()[0]
        assert min(CORES) not in here()[1], "on other cores than the contestants"
    assert here() == before
    assert "edgecache-compare" not in there(())[0]


def test_all_can_be_held(before: list[Any]) -> None:
    with slow_core(50, wires=True) as held:
        assert there(held) == here()
        assert "edgecache-compare" in here()[0]
        assert here()[1] == [min(CORES)]
    assert here() == before
