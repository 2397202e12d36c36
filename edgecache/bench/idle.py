"""What an idle mesh costs: memory, CPU, traffic and disk writes, while nothing is read and nothing moves."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgecache.bench.measure import usage
from edgecache.bench.stage import pid_of, stage
from edgecache.fleet.agents import Agent

RSS_MAX = 64 * 2**20
BYTES_PER_SECOND_MAX = 1000.0
SETTLE_SECONDS = 5.0
HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Spent:
    """By one agent since its start."""

    cpu: float
    sent: int
    received: int
    syncs: int
    written: int
    """Bytes that it has made the kernel write to disks."""


def idle(nodes: int, seconds: float) -> dict[str, Any]:
    """`ok` is false above 64 MB of memory an agent or 1 kB/s a node (TLS records on all links, sent and received).

    `loopback` is what crossed the machine's loopback for each node, headers included: other programs' traffic too, and
    without mDNS, which goes elsewhere.
    """
    with stage(nodes, {}, mdns=True) as agents:
        time.sleep(SETTLE_SECONDS)
        before, carried, began = [_spent(agent) for agent in agents], _loopback(), time.monotonic()
        time.sleep(seconds)
        elapsed, carried_now = time.monotonic() - began, _loopback()
        rows = [_row(agent, old, elapsed) for agent, old in zip(agents, before, strict=True)]
    traffic = max(row["sent_bytes_per_s"] + row["received_bytes_per_s"] for row in rows)
    share = nodes * elapsed
    return {
        "nodes": nodes, "seconds": round(elapsed, 1), "agents": rows,
        "loopback": {
            "bytes_per_s": round((carried_now[0] - carried[0]) / share, 1),
            "packets_per_s": round((carried_now[1] - carried[1]) / share, 2),
        },
        "ok": max(row["rss_mib"] for row in rows) <= RSS_MAX / 2**20 and traffic <= BYTES_PER_SECOND_MAX,
    }  # fmt: skip


def _row(agent: Agent, before: Spent, elapsed: float) -> dict[str, Any]:
    now = _spent(agent)
    return {
        "name": agent.name,
        "rss_mib": round(usage(pid_of(agent)).rss / 2**20, 1),
        "cpu_percent": round(100 * (now.cpu - before.cpu) / elapsed, 2),
        "sent_bytes_per_s": round((now.sent - before.sent) / elapsed, 1),
        "received_bytes_per_s": round((now.received - before.received) / elapsed, 1),
        "written_bytes_per_h": round((now.written - before.written) / elapsed * HOUR),
        "syncs_per_h": round((now.syncs - before.syncs) / elapsed * HOUR, 1),
    }


def _spent(agent: Agent) -> Spent:
    peers, pid = agent.ask("peers")["peers"], pid_of(agent)
    return Spent(
        cpu=usage(pid).cpu, sent=sum(peer["sent"] for peer in peers), received=sum(peer["received"] for peer in peers),
        syncs=agent.ask("status")["store"]["fsyncs"], written=_written(pid),
    )  # fmt: skip


def _written(pid: int) -> int:
    """proc(5)."""
    lines = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(lines["write_bytes"])


def _loopback() -> tuple[int, int]:
    """Bytes and packets so far."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == "lo":
            sent, packets = counters.split()[8:10]
            return int(sent), int(packets)
    return 0, 0
