"""One publisher, several leechers that ask at once, on loopback: the limits of the agents stand for the links."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from edgecache.bench.measure import Usage, usage
from edgecache.bench.stage import pid_of, random_file, stage
from edgecache.fleet.agents import Agent

MIB = 2**20


def swarm(nodes: int, mib: int, rate: int) -> dict[str, Any]:
    """Seconds until each has it, against the least that `rate` (bytes/s each way, 0: no limit) allows; what each gave.

    The bound is size / rate: all uplinks are alike, so the publisher's own is the narrowest (Kumar and Ross, 2006).
    """
    limits = {"limits": {"upload": f"{rate}B/s", "download": f"{rate}B/s"}} if rate else {}
    with stage(nodes, limits) as agents:
        publisher, *leechers = agents
        path = publisher.directory / "content"
        random_file(path, mib)
        blob = publisher.command("put", str(path)).strip()
        before = [usage(pid_of(agent)) for agent in agents]
        began = time.monotonic()
        with ThreadPoolExecutor(len(leechers)) as pool:
            seconds = list(pool.map(lambda agent: _get(agent, blob, began), leechers))
        rows = [_row(agent, old) for agent, old in zip(agents, before, strict=True)]
    for row, took in zip(rows[1:], seconds, strict=True):
        row["seconds"] = round(took, 3)
    size, last = mib * MIB, max(seconds)
    bound = size / rate if rate else None
    return {
        "nodes": nodes, "mib": mib, "rate_bytes_per_s": rate,
        "last_s": round(last, 3), "first_s": round(min(seconds), 3),
        "bound_s": None if bound is None else round(bound, 3),
        "bound_ratio": None if bound is None else round(last / bound, 3),
        "publisher_copies": round(rows[0]["gave_bytes"] / size, 3), "agents": rows,
    }  # fmt: skip


def _get(agent: Agent, blob: str, began: float) -> float:
    agent.ask("get", blob=blob)
    return time.monotonic() - began


def _row(agent: Agent, before: Usage) -> dict[str, Any]:
    used, served = usage(pid_of(agent)), agent.ask("status")["served"]
    return {
        "name": agent.name, "seconds": None, "gave_bytes": sum(served.values()),
        "cpu_s": round(used.cpu - before.cpu, 2), "rss_peak_mib": round(used.rss_peak / MIB, 1),
    }  # fmt: skip
