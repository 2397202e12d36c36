"""What an idle mesh costs: memory, CPU and bytes on the network per agent, while nothing is read and nothing moves."""

from __future__ import annotations

import time
from typing import Any

from edgecache.bench.measure import usage
from edgecache.bench.stage import pid_of, stage
from edgecache.fleet.agents import Agent

RSS_MAX = 64 * 2**20
BYTES_PER_SECOND_MAX = 1000.0
SETTLE_SECONDS = 5.0


def idle(nodes: int, seconds: float) -> dict[str, Any]:
    """`ok` is false above 64 MB of memory an agent or 1 kB/s a node (TLS records on all links, sent and received)."""
    with stage(nodes, {}, mdns=True) as agents:
        time.sleep(SETTLE_SECONDS)
        before = [(usage(pid_of(agent)).cpu, _carried(agent)) for agent in agents]
        began = time.monotonic()
        time.sleep(seconds)
        elapsed = time.monotonic() - began
        rows = []
        for agent, (cpu, (sent, received)) in zip(agents, before, strict=True):
            used, (sent_now, received_now) = usage(pid_of(agent)), _carried(agent)
            rows.append({
                "rss_mib": round(used.rss / 2**20, 1),
                "cpu_percent": round(100 * (used.cpu - cpu) / elapsed, 2),
                "sent_bytes_per_s": round((sent_now - sent) / elapsed, 1),
                "received_bytes_per_s": round((received_now - received) / elapsed, 1),
            })  # fmt: skip
        traffic = max(row["sent_bytes_per_s"] + row["received_bytes_per_s"] for row in rows)
        ok = max(row["rss_mib"] for row in rows) <= RSS_MAX / 2**20 and traffic <= BYTES_PER_SECOND_MAX
        return {"nodes": nodes, "seconds": round(elapsed, 1), "agents": rows, "ok": ok}


def _carried(agent: Agent) -> tuple[int, int]:
    peers = agent.ask("peers")["peers"]
    return sum(peer["sent"] for peer in peers), sum(peer["received"] for peer in peers)
