"""Somebody sets the clocks of both ends in the middle of a transfer: nothing notices."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.lab.agents import Following, LabAgent, eventually, sample
from tests.lab.netlab import NetLab
from tests.lab.wallclock import WallClock
from tests.system.conftest import MakeMesh

pytestmark = pytest.mark.system

MIB = 1024 * 1024
SOURCE, ASKER = 0, 1
YEAR = 366 * 86400.0
GOES_ON = 8.0
"""Seconds within which chunks come after a step: a time-out that the step had upset would take longer."""
NOTICED = ("linked with", "closed", "evicted", "slept", "bug:", "not valid", "gave up")


def steps(now: float) -> tuple[tuple[int, float, bool], ...]:
    """Whose clock is set, to what, and whether it is trusted."""
    return (
        (ASKER, now + YEAR, True), (ASKER, 0.0, True), (SOURCE, now + YEAR, True), (SOURCE, 0.0, False),
        (ASKER, now, False),
    )  # fmt: skip


def dials(lab: NetLab, host: int) -> int:
    """TCP connections that this host has begun."""
    names, values = (
        line.split() for line in lab.run(host, ["cat", "/proc/net/snmp"]).stdout.splitlines() if line.startswith("Tcp:")
    )
    return int(values[names.index("ActiveOpens")])


def further(get: Following) -> bool:
    """Whether it is still under way when more chunks have come."""
    had = get.have
    eventually("it goes on", lambda: get.have > had + 4, GOES_ON)
    return get.is_alive()


def noticed(agents: Sequence[LabAgent]) -> list[str]:
    """Lines about links, evictions and complaints, of all logs."""
    return [line for agent in agents for line in agent.log() if any(word in line for word in NOTICED)]


def test_clocks_are_set_while_a_blob_is_fetched(make_mesh: MakeMesh, tmp_path: Path) -> None:
    with NetLab(2, up_mbit=50) as lab:
        mesh = make_mesh(lab, range(2))
        clocks = [WallClock(tmp_path / f"clock-{agent.name}") for agent in mesh]
        for agent, clock in zip(mesh, clocks, strict=True):
            agent.start(clock.wrapper)
        mesh.meet()
        contents = [sample(seed, size * MIB) for seed, size in ((1, 1), (2, 12))]
        for number, content in enumerate(contents):
            (tmp_path / f"content-{number}").write_bytes(content)
        old, new = (mesh[SOURCE].put(tmp_path / f"content-{number}") for number in range(2))
        assert mesh[ASKER].content(old) == contents[0]
        before = noticed(mesh.agents), [dials(lab, host) for host in range(2)]
        assert before[0], "links are logged"

        get = Following(mesh[ASKER], new)
        for who, moment, trusted in steps(time.time()):
            assert further(get), "it had to last"
            clocks[who].set(moment, trusted=trusted)
        get.done(20.0)
        assert mesh[ASKER].content(new) == contents[1]

        late = mesh[SOURCE].put(Path(__file__))
        assert time.gmtime(mesh[SOURCE].blobs()[late]["added"]).tm_year == 1970, "its clock should be wrong by now"
        assert (noticed(mesh.agents), [dials(lab, host) for host in range(2)]) == before
        rows = mesh[ASKER].blobs()
        assert all(rows[blob]["complete"] for blob in (old, new))
        assert mesh[ASKER].content(new) == contents[1]
