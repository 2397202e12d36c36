"""A few agents in a temporary directory, linked with each other by addresses: what every benchmark begins with."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgecache.fleet.agents import Agent, free_port, set_up, wait_until

START_TIMEOUT = 30.0


@contextmanager
def stage(
    count: int,
    settings: Mapping[str, object],
    *,
    mdns: bool = False,
    wrappers: Mapping[int, Sequence[str]] | None = None,
) -> Iterator[list[Agent]]:
    """`count` running agents, each linked with all others; stopped and removed at the end."""
    directory = Path(tempfile.mkdtemp(prefix="edgecache-bench-"))
    agents = [Agent(f"n{number}", directory / f"n{number}") for number in range(count)]
    try:
        set_up(agents)
        ports = [free_port() for _ in agents]
        for agent, port in zip(agents, ports, strict=True):
            seeds = [f"127.0.0.1:{other}" for other in ports if other != port]
            agent.configure({
                "listen": {"host": "127.0.0.1", "port": port, "advertise": [f"127.0.0.1:{port}"]},
                "discovery": {"mdns": mdns, "seeds": seeds}, **settings,
            })  # fmt: skip
        for number, agent in enumerate(agents):
            agent.start((wrappers or {}).get(number, ()))
        wait_until("all links", lambda: all(_linked(agent) == count - 1 for agent in agents), START_TIMEOUT)
        for agent in agents:
            agent.node = agent.ask("status")["node"]
        yield agents
    finally:
        for agent in agents:
            agent.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _linked(agent: Agent) -> int:
    return sum(peer["linked"] for peer in agent.ask("peers")["peers"])


def pid_of(agent: Agent) -> int:
    """Of the agent itself, as it says: a wrapper may stand before it."""
    return int(agent.ask("status")["pid"])
