"""The control of `edgecache bench`: the same chunks through the bare CoAP library's own TLS transport."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from edgecache.fleet.agents import Agent, enrol
from tests.compare.entrant import Entrant, Task
from tests.compare.ground import sha256_of
from tests.compare.process import Program
from tests.compare.scenario import SEED

PORT = 5684
START_TIMEOUT = 20.0


class Control(Entrant):
    """It has no address of its own but 127.0.0.1, so it takes part on loopback only, with one sink."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        (self._sink,) = task.leechers
        self._sink_cpu = 0.0

    def _start(self, host: int, role: str, file: Path, *more: str) -> Program:
        data = self.task.home(host) / "data"
        argv = [sys.executable, "-m", "edgecache.bench.control", role, str(file), str(PORT)]
        argv += [str(data / "node.crt"), str(data / "node.key"), *more]
        program = self.task.ground.start(host, argv, stdout=subprocess.PIPE)
        self.programs[host].append(program)
        return program

    def prepare(self) -> None:
        enrol([Agent(f"host{host}", self.task.home(host)) for host in (SEED, self._sink)])
        self._start(SEED, "serve", self.task.content.path).line("READY", START_TIMEOUT)

    def _target(self) -> Path:
        return self.task.home(self._sink) / "blob"

    def go(self) -> None:
        self._start(self._sink, "fetch", self._target(), str(self.task.content.size))

    def look(self) -> None:
        """It times itself, from after its first chunk: what it needs to start is not counted."""
        program = self.programs[self._sink][0]
        if self._sink in self.finished or self._sink in self.failed:
            return
        if (said := program.said("")) is not None:
            figures = json.loads(said)
            self.finished[self._sink] = self.began + float(figures["seconds"])
            self._sink_cpu = float(figures["cpu_seconds"])
        elif program.ended() is not None:
            self.failed[self._sink] = f"ended with {program.process.returncode}"

    def cpu(self, host: int) -> float:
        """The sink counts its own, without its start."""
        return self._sink_cpu if host == self._sink else super().cpu(host)

    def digest(self, host: int) -> str:
        return sha256_of(self._target())
