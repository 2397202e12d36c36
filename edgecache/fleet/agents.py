"""One agent: a directory of its own, a configuration, a process, and the questions that it answers."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from edgecache.adapters.control.client import ControlClient
from edgecache.adapters.pki.authority import ALL_ROLES, NODE_ROLES, Authority
from edgecache.adapters.pki.credentials import install, read_bundle
from edgecache.adapters.pki.files import IdentityFiles
from edgecache.adapters.pki.keys import create_key
from edgecache.model.errors import EdgecacheError, TimedOut, TransportError

T = TypeVar("T")

COMMAND = (sys.executable, "-m", "edgecache")
SETUP_TIMEOUT = 60.0

class Agent:
    """One agent."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name, self.directory = name, directory
        self.config = directory / "edgecache.yaml"
        self.node = ""
        self.process: subprocess.Popen[bytes] | None = None

    def configure(self, settings: Mapping[str, object]) -> None:
        """Replace the configuration that `init` wrote; JSON is YAML."""
        whole = {"version": 1, "name": self.name, "data_dir": str(self.directory / "data"), **settings}
        self.config.write_text(json.dumps(whole, indent=1))

    def command(self, *words: str, stdin: str | None = None) -> str:
        """Run the command line for this agent; its standard output."""
        done = subprocess.run(
            [*COMMAND, "-c", str(self.config), *words], input=stdin, capture_output=True, text=True,
            timeout=SETUP_TIMEOUT, check=False,
        )  # fmt: skip
        if done.returncode:
            raise EdgecacheError(f"`edgecache {' '.join(words)}` for {self.name}: {done.stderr.strip()}")
        return done.stdout

    def start(self, wrapper: Sequence[str] = ()) -> None:
        """Run the agent, perhaps under another program such as a profiler; its log goes to a file."""
        with (self.directory / "log").open("ab") as stream:
            self.process = subprocess.Popen(
                [*(wrapper or COMMAND), "-c", str(self.config), "run"], stdin=subprocess.DEVNULL,
                stdout=stream, stderr=stream, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        """SIGKILL: as if the power went."""
        assert self.process is not None, "only a running agent is killed"
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, and a little patience."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5.0)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def socket(self) -> Path:
        """The control socket."""
        return self.directory / "data" / "control.sock"

    @property
    def call(self) -> str:
        """How a person reaches this agent."""
        return f"edgecache -c {self.config}"

    def ask(self, op: str, **arguments: object) -> dict[str, Any]:
        """One operation of the running agent."""
        with ControlClient(self.socket) as client:
            return client.call(op, **arguments)

    def log_tail(self, lines: int = 5) -> str:
        """The end of the log, for when something went wrong."""
        path = self.directory / "log"
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:]) if path.exists() else ""


def set_up(agents: Sequence[Agent]) -> None:
    """Keys and certificates as a user would make them: the first agent's device has the CA."""
    first, *others = agents

    def init(agent: Agent) -> None:
        agent.directory.mkdir(parents=True, exist_ok=True)
        agent.command("init", "--name", agent.name, "--data-dir", str(agent.directory / "data"))

    def join(agent: Agent) -> None:
        request = agent.command("mesh", "request")
        path = agent.directory / "node.crt"
        path.write_text(first.command("mesh", "issue", "-", stdin=request))
        agent.command("mesh", "install", str(path))

    with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
        list(pool.map(init, agents))
        first.command("mesh", "create")
        list(pool.map(join, others))


def enrol(agents: Sequence[Agent]) -> None:
    """What `set_up` leaves, without its processes: for meshes of many. Configurations are left to the caller."""
    homes = [IdentityFiles(agent.directory / "data") for agent in agents]
    authority = Authority.create(homes[0].ca_key)
    for home in homes:
        key = create_key(home.node_key)
        roles = ALL_ROLES if home is homes[0] else NODE_ROLES
        install(home, read_bundle(key, authority.bundle(authority.issue(key.public_key(), roles=roles))))


def wait_until(what: str, check: Callable[[], T | None], timeout: float, *, pause: float = 0.1) -> T:
    """Ask until there is an answer; an agent that is not up yet counts as none. Raises TimedOut."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            if found := check():
                return found
        except TransportError:
            pass
        if time.monotonic() > deadline:
            raise TimedOut(f"{what}: not within {timeout:.0f} s")
        time.sleep(pause)


def free_port() -> int:
    """A TCP port that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
