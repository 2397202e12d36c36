"""The middle of the demo: four fetch at once, one of them is killed half-way and comes back."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from edgecache.adapters.control.client import ControlClient
from edgecache.fleet.agents import Agent, wait_until
from edgecache.model.errors import EdgecacheError

FETCH_TIMEOUT = 90.0
KILL_FROM, KILL_TO = 0.40, 0.60
POLL_SECONDS = 0.05


@dataclass(slots=True)
class Fetch:
    """One agent's fetch as its command line would see it."""

    agent: Agent
    chunks: int = 0
    have: int = 0
    sources: int = 0
    seconds: float = 0.0
    received: dict[str, int] = field(default_factory=dict)
    """Bytes from each peer, over all lives of the agent."""
    error: str = ""
    finished: bool = False


@dataclass(slots=True)
class Victim:
    """What is known of the agent that is killed."""

    fetch: Fetch
    killed_at: int = 0
    """Chunks that it had reported when it was killed."""
    refetched: int = 0
    """Bytes that it fetched after its restart."""
    missing: int = 0
    """Bytes that it lacked, by its last report, when it was killed."""


class Swarm:
    """Fetches of one blob by several agents."""

    def __init__(self, blob: str, size: int, agents: list[Agent], victim: Agent) -> None:
        self.blob, self.size = blob, size
        self.fetches = [Fetch(agent) for agent in agents]
        self.victim = Victim(next(fetch for fetch in self.fetches if fetch.agent is victim))
        self._reborn = threading.Event()

    def run(self) -> None:
        """Start all fetches, kill and restart the victim, wait for the end. `fetches` can be looked at meanwhile."""
        threads = [threading.Thread(target=self._follow, args=(fetch,), daemon=True) for fetch in self.fetches]
        for thread in threads:
            thread.start()
        self._kill_and_restart()
        deadline = time.monotonic() + FETCH_TIMEOUT
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        for fetch in self.fetches:
            if not fetch.finished and not fetch.error:
                fetch.error = f"not finished within {FETCH_TIMEOUT:.0f} s"

    def _follow(self, fetch: Fetch) -> None:
        began = time.monotonic()
        try:
            try:
                self._get(fetch)
            except EdgecacheError:
                if fetch is not self.victim.fetch or not self._reborn.wait(FETCH_TIMEOUT):
                    raise
                self._get(fetch)
        except EdgecacheError as error:
            fetch.error = error.message
        fetch.seconds = time.monotonic() - began

    def _get(self, fetch: Fetch) -> None:
        with ControlClient(fetch.agent.socket) as client:
            client.request("get", blob=self.blob)
            for reply in client.replies():
                if reply.get("event") == "progress" and reply["chunks"]:
                    fetch.chunks, fetch.have, fetch.sources = reply["chunks"], reply["have"], reply["sources"]
                elif reply.get("ok"):
                    fetch.have = fetch.chunks = reply["chunks"]
                    fetch.finished = True
        for node, count in fetch.agent.ask("status")["fetched"].items():
            fetch.received[node] = fetch.received.get(node, 0) + count

    def _kill_and_restart(self) -> None:
        victim, fetch = self.victim, self.victim.fetch

        def half_way() -> bool:
            if fetch.finished or fetch.error:
                why = fetch.error or "the file is too small"
                raise EdgecacheError(f"{fetch.agent.name} was done before it could be killed: {why}")
            return fetch.chunks > 0 and fetch.have >= KILL_FROM * fetch.chunks

        wait_until(f"{fetch.agent.name} half-way", half_way, FETCH_TIMEOUT, pause=POLL_SECONDS)
        first_life: dict[str, int] = fetch.agent.ask("status")["fetched"]
        fetch.agent.kill()
        victim.killed_at = fetch.have
        victim.missing = self.size * (fetch.chunks - fetch.have) // fetch.chunks
        fetch.agent.start()
        wait_until(f"{fetch.agent.name} back", lambda: fetch.agent.ask("status"), 20.0)
        self._reborn.set()
        wait_until(f"{fetch.agent.name} done", lambda: fetch.finished or fetch.error, FETCH_TIMEOUT)
        victim.refetched = sum(fetch.received.values())
        for node, count in first_life.items():
            fetch.received[node] = fetch.received.get(node, 0) + count
