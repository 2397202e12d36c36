"""A blob of 1 GiB: put and got in bounded memory, without holding up the event loop."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgecache.adapters.control.client import ControlClient
from edgecache.model.content import LARGE_CHUNK_BYTES
from edgecache.store.disk import DiskStore
from tests.integration.daemon.agent import MIB, OnePeer, agent

SIZE = 1024 * MIB
CAP = 2 * SIZE
GROWTH_MAX = 64 * MIB
"""Of the whole process: an agent, its peer and the command."""


def content() -> Iterator[bytes]:
    return (number.to_bytes(4, "big") * (MIB // 4) for number in range(SIZE // MIB))


def rss() -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def put(path: Path) -> dict[str, Any]:
    with ControlClient(path) as client:
        client.request("put", size=SIZE)
        client.send_content(content())
        *_, reply = client.replies()
        return reply


def get(path: Path, blob: str) -> bool:
    """Whether what comes is what was put."""
    with ControlClient(path) as client:
        client.request("get", blob=blob, content=True)
        for reply in client.replies():
            if reply.get("event") == "content":
                rest, expected = b"", content()
                for part in client.content():
                    rest += part
                    if len(rest) >= MIB:
                        if rest[:MIB] != next(expected):
                            return False
                        rest = rest[MIB:]
                return not rest and next(expected, None) is None
    return False


@pytest.mark.slow
def test_a_long_blob_takes_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    async def work() -> None:
        async with agent(tmp_path / "first", cap=CAP) as one:
            before = rss()
            reply = await asyncio.to_thread(put, one.socket)
            assert (reply["size"], reply["chunks"]) == (SIZE, SIZE // LARGE_CHUNK_BYTES)
            assert rss() - before < GROWTH_MAX
        source = DiskStore(tmp_path / "first/store", cap=CAP, reserve=0)
        async with agent(tmp_path / "second", OnePeer(source), cap=CAP) as two:
            two.meet()
            highest = rss()
            job = asyncio.ensure_future(asyncio.to_thread(get, two.socket, reply["blob"]))
            while not job.done():
                await asyncio.wait([job], timeout=0.5)
                highest = max(highest, rss())
            assert job.result()
            assert highest - before < GROWTH_MAX + MIB * 32
        source.close()

    asyncio.run(asyncio.wait_for(work(), 300.0))
