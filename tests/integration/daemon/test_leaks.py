"""Two hundred transfers between two real agents leave no descriptor, no thread and no memory behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edgecache.adapters.control.client import ControlClient
from edgecache.bench.measure import usage
from edgecache.bench.stage import pid_of, stage
from edgecache.fleet.agents import Agent

MIB = 1024 * 1024
TRANSFERS = 200
GROWTH_MAX = 6 * MIB
"""Of resident memory: 30 kB for each transfer, of which the history of fetches and allocators take their part once."""


def held_by(pid: int) -> tuple[int, int]:
    """Descriptors and threads."""
    return len(list(Path(f"/proc/{pid}/fd").iterdir())), len(list(Path(f"/proc/{pid}/task").iterdir()))


def transfer(source: Agent, sink: Agent) -> None:
    """One blob of nine chunks, put, fetched and removed at both ends."""
    with ControlClient(source.socket) as client:
        client.request("put")
        client.send_content(os.urandom(size) for size in (MIB, MIB, 1))
        *_, reply = client.replies()
    sink.ask("get", blob=reply["blob"])
    for agent in (sink, source):
        agent.ask("rm", blob=reply["blob"], force=True)


@pytest.mark.slow
def test_two_hundred_transfers_leave_nothing_behind() -> None:
    with stage(2, {}) as (source, sink):
        for _ in range(40):
            transfer(source, sink)
        pids = pid_of(source), pid_of(sink)
        before = [(held_by(pid), usage(pid).rss) for pid in pids]
        for _ in range(TRANSFERS):
            transfer(source, sink)
        for pid, ((descriptors, threads), resident) in zip(pids, before, strict=True):
            assert held_by(pid)[0] <= descriptors + 2
            assert held_by(pid)[1] <= threads + 2
            assert usage(pid).rss - resident < GROWTH_MAX
