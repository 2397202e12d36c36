"""The journal of published entities, and what an unreachable broker costs."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from edgecache.adapters.mqtt.published import Journal, Published
from tests.integration.mqtt.brokers import QUICK, Agent, config_for, free_port, node

ENTRIES = {Published(node(1), "host/load1", "sensor"), Published(node(2), "door", "binary_sensor")}


def test_what_is_saved_is_loaded_and_nothing_else_is_left(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "published.json")
    assert journal.load() == set()
    journal.save(ENTRIES)
    journal.save(ENTRIES)
    assert journal.load() == ENTRIES
    assert [path.name for path in tmp_path.iterdir()] == ["published.json"]


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"version": 2, "entities": []}', b"[" * 100_000,
     b'{"version": 1, "entities": [["x", "y", "sensor"]]}',
     b'{"version": 1, "entities": [["%s", "load", "../../x"]]}' % node(1).encode(),
     b'{"version": 1, "entities": [["%s", "a/../b", "sensor"]]}' % node(1).encode(), b"\xff\x00" * 100],
)  # fmt: skip
def test_a_damaged_file_is_said_and_replaced(tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "published.json"
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert Journal(path).load() == set()
    assert len(caplog.records) == 1
    Journal(path).save(ENTRIES)
    assert Journal(path).load() == ENTRIES


def test_a_file_that_cannot_be_written_leaves_no_trace(tmp_path: Path) -> None:
    target = tmp_path / "published.json"
    target.mkdir()
    (target / "x").touch()
    with pytest.raises(OSError, match="published"):
        Journal(target).save(ENTRIES)
    assert [path.name for path in tmp_path.iterdir()] == ["published.json"]


def test_an_unreachable_broker_costs_neither_threads_nor_sockets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def open_files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    async def scenario() -> None:
        timing = replace(QUICK, backoff=0.01, backoff_max=0.01)
        before = open_files(), threading.active_count()
        agent = Agent(1, config_for(free_port()), tmp_path, timing)
        await asyncio.sleep(1.0)
        assert open_files() <= before[0] + 6
        assert threading.active_count() <= before[1] + 2
        assert agent.events == []
        await agent.bridge.stop(handover=False)

    gc.collect()
    gc.disable()
    try:
        with caplog.at_level(logging.WARNING):
            asyncio.run(scenario())
    finally:
        gc.enable()
    assert len(caplog.records) == 1
    assert "connection refused" in caplog.records[0].getMessage()
