"""A few agents in a temporary directory, linked with each other by addresses: what every benchmark begins with."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from edgecache.fleet.agents import Agent, enrol, free_port, wait_until

_PART = 1024 * 1024
START_TIMEOUT = 30.0
LINKS = 5
"""Links that each has before anything is measured, or one to every other where there are fewer."""


@contextmanager
def stage(
    count: int,
    settings: Mapping[str, object],
    *,
    mdns: bool = False,
    wrappers: Mapping[int, Sequence[str]] | None = None,
    special: Mapping[int, Mapping[str, object]] | None = None,
) -> Iterator[list[Agent]]:
    """`count` running agents that know each other and are linked; stopped and removed at the end.

    `special` are settings of some, by number, on top of everybody's.
    """
    directory = Path(tempfile.mkdtemp(prefix="edgecache-bench-"))
    agents = [Agent(f"n{number}", directory / f"n{number}") for number in range(count)]
    try:
        enrol(agents)
        ports = [free_port() for _ in agents]
        for number, (agent, port) in enumerate(zip(agents, ports, strict=True)):
            seeds = [f"127.0.0.1:{other}" for other in ports if other != port]
            agent.configure({
                "listen": {"host": "127.0.0.1", "port": port, "advertise": [f"127.0.0.1:{port}"]},
                "discovery": {"mdns": mdns, "seeds": seeds},
                **settings, **(special or {}).get(number, {}),
            })  # fmt: skip
        for number, agent in enumerate(agents):
            agent.start((wrappers or {}).get(number, ()))
        wait_until("all links", lambda: all(_met(agent, count) for agent in agents), START_TIMEOUT)
        for agent in agents:
            agent.node = agent.ask("status")["node"]
        yield agents
    finally:
        for agent in agents:
            agent.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _met(agent: Agent, count: int) -> bool:
    status = agent.ask("status")
    return bool(status["members"] == count and status["links"] >= min(count - 1, LINKS))


def random_file(path: Path, mib: int) -> None:
    """A file of which no two parts are alike."""
    with path.open("wb") as stream:
        for _ in range(mib):
            stream.write(os.urandom(_PART))


def warm(directory: Path, size: int) -> None:
    """Have the kernel own the memory that files of this size there will take: in a virtual machine the host may have
    taken it back, and the first touch of each page then costs more than all the rest (measured: 1.4 ms for 256 KiB)."""
    path = directory / "warm"
    with path.open("wb") as stream:
        for _ in range(-(-size // _PART)):
            stream.write(bytes(_PART))
    path.unlink()


def pid_of(agent: Agent) -> int:
    """Of the agent itself, as it says: a wrapper may stand before it."""
    return int(agent.ask("status")["pid"])
