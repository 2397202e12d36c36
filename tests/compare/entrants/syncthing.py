"""Syncthing: two daemons that share a folder, directly, without any of its public services."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from tests.compare.entrant import Entrant, Task, tool
from tests.compare.ground import sha256_of
from tests.compare.process import Failed, Program, wait_for
from tests.compare.scenario import SEED

SYNC_PORT, GUI_PORT = 22000, 8384
FOLDER, KEY = "folder", "edgecache-compare"
START_TIMEOUT = 30.0
SETTLE = 2.0
"""After the first connection they still exchange indexes."""

_ALONE = {
    "globalAnnounceEnabled": "false", "localAnnounceEnabled": "false", "relaysEnabled": "false", "natEnabled": "false",
    "urAccepted": "-1", "autoUpgradeIntervalH": "0", "crashReportingEnabled": "false", "startBrowser": "false",
    "reconnectionIntervalS": "1", "stunKeepaliveStartS": "0",
}  # fmt: skip


class Syncthing(Entrant):
    """The time includes the source's own scan of the file: it shares nothing before."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self._hosts = [SEED, *task.leechers]
        self._devices: dict[int, str] = {}

    def home(self, host: int) -> Path:
        return self.task.home(host) / "syncthing"

    def folder(self, host: int) -> Path:
        return self.task.home(host) / FOLDER

    def prepare(self) -> None:
        for host in self._hosts:
            self._devices[host] = self._generate(host)
            (self.folder(host) / ".stfolder").mkdir(parents=True)
        for host in self._hosts:
            (self.home(host) / "config.xml").write_text(self._configuration(host))
            self.programs[host].append(self._start(host))
        wait_for("syncthing is up", self._up, START_TIMEOUT, pause=0.2)
        wait_for("syncthing is connected", self._connected, START_TIMEOUT, pause=0.2)
        time.sleep(SETTLE)

    def _environment(self, host: int) -> dict[str, str]:
        return {**os.environ, "HOME": str(self.task.home(host)), "STNODEFAULTFOLDER": "1", "STNOUPGRADE": "1"}

    def _generate(self, host: int) -> str:
        """Keys of a device; its id."""
        program, environment = tool("syncthing") or "syncthing", self._environment(host)
        at = f"--home={self.home(host)}"
        for words in (["generate", at, "--no-default-folder"], [at, "--device-id"]):
            done = subprocess.run(
                [program, *words], env=environment, capture_output=True, text=True, timeout=START_TIMEOUT, check=False
            )
            if done.returncode:
                raise Failed(f"syncthing {words[0]}: {done.stderr.strip()[-200:]}")
        return done.stdout.strip()

    def _start(self, host: int) -> Program:
        argv = [tool("syncthing") or "syncthing", "serve", f"--home={self.home(host)}", "--no-browser"]
        argv += ["--no-restart", "--no-upgrade"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return self.task.ground.start(host, argv, env=self._environment(host), **quiet)

    def _configuration(self, host: int) -> str:
        address = self.task.ground.address
        shared = "".join(f"<device id={quoteattr(self._devices[one])}/>" for one in self._hosts)
        devices = "".join(
            f"<device id={quoteattr(self._devices[one])} name={quoteattr(f'host{one}')}>"
            f"<address>{'dynamic' if one == host else f'tcp://{address(one)}:{SYNC_PORT}'}</address></device>"
            for one in self._hosts
        )
        options = "".join(f"<{name}>{value}</{name}>" for name, value in _ALONE.items())
        return (
            f'<configuration version="36"><folder id="{FOLDER}" path={quoteattr(str(self.folder(host)))} '
            f'type="sendreceive" rescanIntervalS="3600" fsWatcherEnabled="false">{shared}'
            f'<minDiskFree unit="">0</minDiskFree></folder>{devices}'
            f'<gui enabled="true" tls="false"><address>{address(host)}:{GUI_PORT}</address><apikey>{KEY}</apikey></gui>'
            f"<options><listenAddress>tcp://{address(host)}:{SYNC_PORT}</listenAddress>{options}</options>"
            "</configuration>"
        )

    def _rest(self, host: int, path: str, method: str = "GET") -> Any:
        """Asked from inside, where its address is; None when it does not answer."""
        url = f"http://{self.task.ground.address(host)}:{GUI_PORT}/rest/{path}"
        argv = ["curl", "-sf", "-m", "30", "-X", method, "-H", f"X-API-Key: {KEY}", url]
        done = self.task.ground.lab.run(0, argv)
        return json.loads(done.stdout or "true") if done.returncode == 0 else None

    def _up(self) -> bool:
        return all(self._rest(host, "system/status") for host in self._hosts)

    def _connected(self) -> bool:
        found = self._rest(SEED, "system/connections")
        others = [one for one in (found or {}).get("connections", {}).values() if one["connected"]]
        return len(others) == len(self.task.leechers)

    def go(self) -> None:
        self.task.content.path.rename(self.folder(SEED) / "blob")
        threading.Thread(target=self._rest, args=(SEED, f"db/scan?folder={FOLDER}", "POST"), daemon=True).start()

    def look(self) -> None:
        for host in self.task.leechers:
            if host not in self.finished and (self.folder(host) / "blob").exists():
                self.finished[host] = time.monotonic()

    def digest(self, host: int) -> str:
        return sha256_of(self.folder(host) / "blob")
