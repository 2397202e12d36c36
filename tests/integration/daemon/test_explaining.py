"""`explain` over the real socket: of a blob that was put, one that is being fetched, and one that was."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from edgecache.model.errors import NotFound
from tests.integration.daemon.agent import MIB, agent, beside_a_source, run, sample, sha256
from tests.integration.daemon.test_operations import follow


def test_what_was_put_is_here_and_what_nobody_asked_for_is_not(tmp_path: Path) -> None:
    async def work() -> None:
        data = sample(5, MIB)
        async with agent(tmp_path) as one:
            blob = (await one.put(data, size=len(data)))["blob"]
            for name in (blob, blob[:12], f"sha256:{sha256(data)}"):
                told = await one.call("explain", blob=name)
                assert (told["blob"], told["standing"]["kind"], told["have"]) == (blob, "here", 4)
            with pytest.raises(NotFound):
                await one.call("explain", blob="b" + "a" * 52)

    run(work)


def test_a_fetch_is_explained_while_it_waits_and_when_it_is_over(tmp_path: Path) -> None:
    async def work() -> None:
        data = sample(6, 8 * MIB)
        async with beside_a_source(tmp_path, data) as (one, blob):
            following = asyncio.ensure_future(one.do(lambda path: follow(path, blob)))
            await one.until(lambda: one.store.blobs() and one.store.blobs()[0].wanted)
            told = await one.call("explain", blob=blob[:12])
            (candidate,) = told["candidates"]
            assert (candidate["whole"], candidate["unused"]) == (True, "")
            assert {flight["node"] for flight in told["flights"]} == {candidate["node"]}
            assert told["have"] + told["missing"] == 32
            one.links.gate.set()
            await following
            told = await one.call("explain", blob=blob)
            assert told["standing"] == {"kind": "ended", "text": "here, and verified", "failure": ""}
            assert [(row["node"], row["bytes"]) for row in told["sources"]] == [(candidate["node"], len(data))]
            assert (await one.call("status"))["overhead"]["hedges"] == 0

    run(work)
