"""edgecache: real agents, linked before the start, each told by its control socket to `get` the blob."""

from __future__ import annotations

import hashlib

from edgecache.adapters.control.client import ControlClient
from edgecache.fleet.agents import enrol, wait_until
from tests.compare.entrant import Entrant, Task
from tests.compare.process import Program
from tests.compare.scenario import SEED
from tests.lab.agents import PORT, Following, LabAgent

LINKS = 5
"""Standing links that each has before the start, or one to every other where there are fewer."""
MEET_TIMEOUT = 120.0
"""Of processes that all start at once, perhaps on half a core."""


class HostAgent(LabAgent):
    """An agent at an address of a task's ground."""

    def __init__(self, task: Task, host: int) -> None:
        lab = task.ground.lab
        super().__init__(lab, host if task.ground.multicast else 0, f"host{host}", task.home(host))

    def met(self, others: int) -> bool:
        """It knows everybody, and has its links."""
        status = self.ask("status")
        return status["members"] == others + 1 and int(status["links"]) >= min(others, LINKS)


class Edgecache(Entrant):
    """On wires they find each other by mDNS, as they would on a LAN; on loopback by the first one's address."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.agents = [HostAgent(task, host) for host in range(task.nodes)]
        self._gets: dict[int, Following] = {}
        self._blob = ""

    def _settings(self, host: int) -> dict[str, object]:
        if self.task.ground.multicast:
            return {}
        here = self.task.ground.address(host)
        return {
            "listen": {"host": here, "advertise": [f"{here}:{PORT}"]},
            "discovery": {"mdns": False, "seeds": [f"{self.task.ground.address(SEED)}:{PORT}"]},
        }

    def prepare(self) -> None:
        enrol(self.agents)
        for host, agent in enumerate(self.agents):
            agent.configure(self._settings(host))
            agent.start()
            assert agent.process is not None, "it was started"
            self.programs[host].append(Program(agent.process))
        others = len(self.agents) - 1
        wait_until("all agents are linked", lambda: all(agent.met(others) for agent in self.agents), MEET_TIMEOUT)
        self._blob = self.agents[SEED].put(self.task.content.path)

    def go(self) -> None:
        self._gets = {host: Following(self.agents[host], self._blob) for host in self.task.leechers}

    def look(self) -> None:
        for host, get in self._gets.items():
            if host in self.finished or host in self.failed or get.is_alive():
                continue
            if get.error is not None:
                self.failed[host] = str(get.error)
            elif get.reply.get("blob") == self._blob:
                self.finished[host] = get.began + get.seconds
            else:
                self.failed[host] = f"it says that it got {get.reply}"

    def digest(self, host: int) -> str:
        whole = hashlib.sha256()
        with ControlClient(self.agents[host].socket) as client:
            client.request("get", blob=self._blob, content=True)
            for reply in client.replies():
                if reply.get("event") == "content":
                    break
            for part in client.content():
                whole.update(part)
        return whole.hexdigest()
