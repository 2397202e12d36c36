"""Small things: requests a second and their times over each way in, and how soon a reading is known elsewhere."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from edgecache.adapters.control.client import ControlClient
from edgecache.adapters.system.clock import SystemClock
from edgecache.bench.guest import linked
from edgecache.bench.leaf import LeafClient
from edgecache.bench.stage import stage
from edgecache.fleet.agents import Agent, free_port, wait_until
from edgecache.model.ids import BlobId, NodeId
from edgecache.model.peer import Address
from edgecache.wire import paths

IN_FLIGHT = 16
LEAF_REQUESTS_MAX = 1200
"""With two for one in flight they stay below what an agent answers one address at once; beyond it has a rate."""
WARM_UP = 100
SERIES = "host/load1"
ANSWER_TIMEOUT = 10.0

_SOURCES = {"interval": "0.5s", "sources": [{"type": "host", "metrics": ["load"]}]}


def small(nodes: int, requests: int, readings: int) -> dict[str, Any]:
    """Times of `requests` one after the other, the rate of twice as many with 16 in flight, over each way in:

    `leaf`: another node's reading by CoAP/UDP, as a sensor or a script asks; `link`: the manifest of a small blob over
    a mutually authenticated TLS link, as a member asks; `control`: all readings over the command line's socket, with a
    connection for each. And milliseconds from the measurement of a value to its arrival at another node's command line:
    all agents are on one machine, so its one clock tells.
    """
    port = free_port()
    leaves = {"coap": {"enabled": True, "host": "127.0.0.1", "port": port}}
    with stage(nodes, {"readings": _SOURCES}, special={0: leaves}) as agents:
        return {
            "nodes": nodes,
            "leaf": _leaf(agents, port, min(requests, LEAF_REQUESTS_MAX)),
            "link": asyncio.run(_link(agents[0], requests)),
            "control": _control(agents[0], requests),
            "reading_ms": _delays(agents, readings),
        }


def _figures(seconds: list[float], many: int, elapsed: float) -> dict[str, float]:
    return {
        "p50_ms": _cut(seconds, 50), "p99_ms": _cut(seconds, 99),
        "per_s": round(len(seconds) / sum(seconds), 1), "per_s_16": round(many / elapsed, 1), "n": len(seconds),
    }  # fmt: skip


def _cut(seconds: list[float], percent: int) -> float:
    return round(statistics.quantiles(seconds, n=100, method="inclusive")[percent - 1] * 1000, 3)


def _leaf(agents: list[Agent], port: int, requests: int) -> dict[str, float]:
    other = agents[-1].node
    wait_until(
        "the reading of the other", lambda: any(r["node"] == other for r in agents[0].ask("readings")["readings"]), 30.0
    )
    with LeafClient(port, (paths.READING, other, *SERIES.split("/"))) as client:
        client.many(WARM_UP, 1)
        seconds = [client.get() for _ in range(requests)]
        return _figures(seconds, 2 * requests, client.many(2 * requests, IN_FLIGHT))


async def _link(agent: Agent, requests: int) -> dict[str, float]:
    blob = BlobId(agent.command("put", "-", stdin="22.5").strip())
    host, _, port = agent.ask("status")["listen"][0].rpartition(":")
    async with linked(agent, Address(host, int(port)), agent.directory / "guest") as links:

        async def once() -> float:
            began = time.perf_counter()
            await links.fetch_manifest(NodeId(agent.node), blob, None, ANSWER_TIMEOUT)
            return time.perf_counter() - began

        await _several(once, WARM_UP, 1)
        seconds = [await once() for _ in range(requests)]
        return _figures(seconds, 2 * requests, await _several(once, 2 * requests, IN_FLIGHT))


async def _several(once: Callable[[], Awaitable[object]], count: int, in_flight: int) -> float:
    """Seconds for `count` of which always `in_flight` are under way."""
    left = iter(range(count))

    async def one_after_the_other() -> None:
        for _ in left:
            await once()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(one_after_the_other())
    return time.perf_counter() - began


def _control(agent: Agent, requests: int) -> dict[str, float]:
    def once(_: int) -> float:
        began = time.perf_counter()
        agent.ask("readings")
        return time.perf_counter() - began

    seconds = [once(number) for number in range(requests)]
    with ThreadPoolExecutor(IN_FLIGHT) as pool:
        began = time.perf_counter()
        list(pool.map(once, range(2 * requests)))
        return _figures(seconds, 2 * requests, time.perf_counter() - began)


def _delays(agents: list[Agent], readings: int) -> dict[str, float]:
    clock, delays = SystemClock(), []
    known = {(agent.node, SERIES) for agent in agents[:-1]}
    with ControlClient(agents[-1].socket) as client:
        client.request("readings", follow=True)
        for reply in client.replies():
            if (reply.get("node"), reply.get("series")) in known:
                delays.append(clock.now() - int(reply["mark"].partition(".")[2]) / 1000)
            if len(delays) >= readings + len(known):
                break
    own = delays[len(known) :]  # the first of each node was measured before anybody listened
    return {"p50_ms": _cut(own, 50), "p99_ms": _cut(own, 99), "max_ms": round(max(own) * 1000, 3), "n": len(own)}
