"""Small things: how fast an agent answers its command line, and how soon a reading is known elsewhere."""

from __future__ import annotations

import statistics
import time
from typing import Any

from edgecache.adapters.control.client import ControlClient
from edgecache.adapters.system.clock import SystemClock
from edgecache.bench.stage import stage

_SOURCES = {"readings": {"interval": "0.5s", "sources": [{"type": "host", "metrics": ["load"]}]}}


def small(nodes: int, requests: int, readings: int) -> dict[str, Any]:
    """Milliseconds for a `status`, and from the measurement of a value to its arrival at another node's command line.

    All agents are on one machine, so its one clock tells the delay.
    """
    with stage(nodes, _SOURCES) as agents:
        answers = []
        for _ in range(requests):
            began = time.perf_counter()
            agents[0].ask("status")
            answers.append((time.perf_counter() - began) * 1000)
        clock, delays = SystemClock(), []
        with ControlClient(agents[-1].socket) as client:
            client.request("readings", follow=True)
            known = {(agent.node, "host/load1") for agent in agents[:-1]}
            for reply in client.replies():
                if (reply.get("node"), reply.get("series")) in known:
                    delays.append((clock.now() - int(reply["mark"].partition(".")[2]) / 1000) * 1000)
                if len(delays) >= readings + len(known):
                    break
    # The first of each node was measured before anybody listened.
    return {"nodes": nodes, "status_ms": _quantiles(answers), "reading_ms": _quantiles(delays[len(known) :])}


def _quantiles(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100, method="inclusive")
    return {"p50": round(cuts[49], 2), "p99": round(cuts[98], 2), "max": round(max(values), 2), "n": len(values)}
