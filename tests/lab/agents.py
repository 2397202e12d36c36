"""Agents on the hosts of a lab: identities made once by the command line, real processes, and what they answer."""

from __future__ import annotations

import hashlib
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgecache.adapters.control.client import ControlClient
from edgecache.fleet.agents import COMMAND, Agent, set_up, wait_until
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import EdgecacheError
from edgecache.model.ids import BlobId
from edgecache.store.layout import Layout
from tests.lab.netlab import NetLab

NAMES = ("hall", "kitchen", "attic", "garage", "cellar", "porch", "study", "stable")
FEW = 5
PORT = 5684
_MARK = 16
"""Last bytes of a chunk that are compared to tell whether it is on the disk: they are written last."""


class Enrolment:
    """Data directories with key and certificates, as `edgecache init` and `edgecache mesh` leave them."""

    def __init__(self, directory: Path, count: int = FEW) -> None:
        self._members = [Agent(name, directory / name) for name in NAMES[:count]]
        self._stranger = Agent("stranger", directory / "stranger")
        set_up(self._members)
        set_up([self._stranger])

    def give(self, number: int, target: Path) -> None:
        """A copy of the data directory of member `number`, or of the first node of another mesh for -1."""
        source = self._stranger if number < 0 else self._members[number]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source.directory / "data", target, dirs_exist_ok=True)


class LabAgent(Agent):
    """An agent on a host of a lab."""

    def __init__(self, lab: NetLab, host: int, name: str, directory: Path) -> None:
        super().__init__(name, directory)
        self.lab, self.host = lab, host
        self.executed = 0.0
        """When it was last started."""

    def start(self, wrapper: Sequence[str] = ()) -> None:
        """Run it on its host, perhaps under another program; its log goes to a file."""
        command = [*wrapper, *COMMAND, "-c", str(self.config), "run"]
        with (self.directory / "log").open("ab") as stream:
            self.executed = time.monotonic()
            self.process = self.lab.popen(self.host, command, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL)

    def up(self) -> str:
        """Wait until it answers; its node id."""
        self.node = str(wait_until(f"{self.name} is up", lambda: self.ask("status"), 20.0, pause=0.05)["node"])
        return self.node

    def peers(self) -> dict[str, dict[str, Any]]:
        """What it knows of others, by name (by id for those whose name it does not know)."""
        return {peer["name"] or peer["node"]: peer for peer in self.ask("peers")["peers"]}

    def linked(self) -> set[str]:
        """The names of those it has a link to."""
        return {name for name, peer in self.peers().items() if peer["linked"]}

    def blobs(self) -> dict[str, dict[str, Any]]:
        """What `ls` says, by id."""
        return {row["blob"]: row for row in self.ask("ls")["blobs"]}

    def tried(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The command line, whether it succeeds or not."""
        command = [*COMMAND, "-c", str(self.config), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    def put(self, path: Path) -> str:
        """`edgecache put`; the id."""
        return self.command("put", str(path)).strip()

    def content(self, blob: str) -> bytes:
        """All bytes of a blob, as `get -o -` writes them."""
        with ControlClient(self.socket) as client:
            client.request("get", blob=blob, content=True)
            for reply in client.replies():
                if reply.get("event") == "content":
                    return b"".join(client.content())
        raise EdgecacheError(f"{self.name} did not send the content of {blob}")

    def on_disk(self, blob: str, content: bytes) -> set[int]:
        """The chunks of a blob that are in its data file, known by their last bytes."""
        try:
            data = Layout(self.directory / "data" / "store").data(BlobId(blob)).open("rb")
        except FileNotFoundError:
            return set()
        found = set()
        with data:
            for index, begin in enumerate(range(0, len(content), CHUNK_BYTES)):
                end = min(begin + CHUNK_BYTES, len(content))
                data.seek(end - _MARK)
                if data.read(_MARK) == content[end - _MARK : end]:
                    found.add(index)
        return found

    def log(self) -> list[str]:
        """Its log so far."""
        return (self.directory / "log").read_text(errors="replace").splitlines()


class Following(threading.Thread):
    """A `get` of an agent, followed as the command line would."""

    def __init__(self, agent: LabAgent, blob: str) -> None:
        super().__init__(daemon=True, name=f"get at {agent.name}")
        self.agent, self.blob = agent, blob
        self.progress: dict[str, Any] = {}
        self.reply: dict[str, Any] = {}
        self.error: EdgecacheError | None = None
        self.seconds = 0.0
        self.began = time.monotonic()
        self.start()

    def run(self) -> None:
        """Read progress until the end."""
        try:
            with ControlClient(self.agent.socket) as client:
                client.request("get", blob=self.blob)
                for reply in client.replies():
                    if reply.get("event") == "progress":
                        self.progress = reply
                    elif reply.get("ok"):
                        self.reply = reply
        except EdgecacheError as error:
            self.error = error
        self.seconds = time.monotonic() - self.began

    @property
    def have(self) -> int:
        """Chunks that it reported last."""
        return int(self.reply["chunks"] if self.reply else self.progress.get("have", 0))

    def done(self, timeout: float) -> dict[str, Any]:
        """Wait for the end; the last reply. Raises what the agent reported."""
        self.join(timeout)
        assert not self.is_alive(), f"{self.name}: not done within {timeout:.0f} s, at {self.progress}"
        if self.error is not None:
            raise self.error
        return self.reply


class Mesh:
    """Some agents of one mesh, each on the host of its number unless told otherwise."""

    def __init__(
        self, lab: NetLab, enrolment: Enrolment, directory: Path, hosts: Sequence[int], **settings: object
    ) -> None:
        """What an earlier mesh left in `directory` is replaced."""
        self.agents: list[LabAgent] = []
        for number, host in enumerate(hosts):
            agent = LabAgent(lab, host, NAMES[number], directory / NAMES[number])
            shutil.rmtree(agent.directory, ignore_errors=True)
            enrolment.give(number, agent.directory / "data")
            agent.configure(settings)
            self.agents.append(agent)

    def __iter__(self) -> Iterator[LabAgent]:
        return iter(self.agents)

    def __getitem__(self, number: int) -> LabAgent:
        return self.agents[number]

    def start(self) -> None:
        """Start all of them, and wait for nothing."""
        for agent in self.agents:
            agent.start()

    def meet(self, timeout: float = 15.0) -> float:
        """Wait until each is linked with every other; seconds since the last of them was started."""
        names = {agent.name for agent in self.agents}

        def met() -> bool:
            return all(agent.linked() >= names - {agent.name} for agent in self.agents)

        wait_until("everybody is linked with everybody", met, timeout, pause=0.05)
        seconds = time.monotonic() - max(agent.executed for agent in self.agents)
        for agent in self.agents:
            agent.up()
        return seconds


def sample(seed: int, size: int) -> bytes:
    """Content of which no two chunks are alike."""
    return random.Random(seed).randbytes(size)


def sha256(data: bytes) -> str:
    """As `ls` reports it."""
    return hashlib.sha256(data).hexdigest()


def eventually(what: str, check: Callable[[], object], timeout: float, *, pause: float = 0.05) -> float:
    """Wait until `check` holds; how many seconds that took."""
    began = time.monotonic()
    wait_until(what, lambda: check() or None, timeout, pause=pause)
    return time.monotonic() - began


def given_by(sources: Sequence[Mapping[str, int]], node: str) -> float:
    """The part of all bytes that came from one node."""
    return sum(source.get(node, 0) for source in sources) / sum(sum(source.values()) for source in sources)
