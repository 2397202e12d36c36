"""A class from the command to the request, and over a restart of the agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecache.core import vocabulary as v
from edgecache.daemon.priorities import Priorities
from edgecache.model.errors import UsageError
from edgecache.model.priority import Priority
from tests.integration.daemon.agent import MIB, OnePeer, agent, beside_a_source, run, sample, source_of


def test_what_is_asked_for_in_a_class_is_fetched_in_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with beside_a_source(tmp_path, sample(1, 2 * MIB), held_up=False) as (one, blob):
            await one.call("get", blob=blob, priority="ota")
            assert set(one.links.priorities) == {Priority.OTA}
            with pytest.raises(UsageError):
                await one.call("get", blob=blob, priority="urgent")

    run(work)


def test_quiet_hours_hold_up_what_is_prefetched_until_they_end(tmp_path: Path) -> None:
    async def work() -> None:
        async with beside_a_source(tmp_path, sample(2, 2 * MIB), held_up=False) as (one, blob):
            one.driver.post(v.QuietChanged(one.driver.clock.now() + 3600.0))
            await one.call("get", blob=blob, priority="prefetch", wait=False)
            fetches = one.driver.node.swarm.fetches
            await one.until(lambda: any(view.phase == "fetching" for view in fetches()))
            assert not one.links.priorities
            status = await one.call("status")
            assert status["quiet"] == {"hours": [], "now": False, "ends_in": None, "clock_trusted": False} or (
                status["quiet"]["clock_trusted"]
            )
            one.driver.post(v.QuietChanged(None))
            await one.until(lambda: one.store.blob(blob).complete)
            assert set(one.links.priorities) == {Priority.PREFETCH}

    run(work)


def test_status_says_that_the_processor_is_short(tmp_path: Path) -> None:
    async def work() -> None:
        async with beside_a_source(tmp_path, sample(2, MIB), held_up=False) as (one, _):
            for strained in (False, True, False):
                one.driver.post(v.StrainChanged(strained))
                assert (await one.call("status"))["strained"] is strained

    run(work)


def test_a_fetch_that_was_stopped_half_way_goes_on_in_its_class(tmp_path: Path) -> None:
    source, blob = source_of(tmp_path / "source", sample(3, 4 * MIB))
    kept: list[bytes] = []

    async def first() -> None:
        async with agent(tmp_path, OnePeer(source)) as one:
            priorities = Priorities(None, lambda: kept.append(priorities.data()))
            one.operations._getting._priorities = priorities
            one.links.gate.clear()  # some chunk never comes
            one.meet()
            await one.call("get", blob=blob, priority="prefetch", wait=False)
            await one.until(lambda: one.links.priorities)

    run(first)
    again = Priorities(kept[-1])
    assert again.of(blob) is Priority.PREFETCH
    peer = OnePeer(source)

    async def second() -> None:
        async with agent(tmp_path, peer, priority_of=again.of) as one:
            one.meet()
            await one.until(lambda: one.store.blob(blob).complete)

    run(second)
    assert set(peer.priorities) == {Priority.PREFETCH}
