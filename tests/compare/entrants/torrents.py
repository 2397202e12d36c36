"""BitTorrent: libtorrent in three settings, and aria2c. Pieces are as large as edgecache's chunks."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from edgecache.model.content import CHUNK_BYTES
from tests.compare.entrant import Entrant, Task, tool
from tests.compare.entrants import libtorrent_peer, tracker
from tests.compare.ground import sha256_of
from tests.compare.process import Program, wait_for
from tests.compare.scenario import SEED

START_TIMEOUT = 30.0


def bencoded(value: object) -> bytes:
    """BEP 3."""
    match value:
        case int():
            return b"i%de" % value
        case bytes():
            return b"%d:%s" % (len(value), value)
        case str():
            return bencoded(value.encode())
        case Mapping():
            return b"d" + b"".join(bencoded(key) + bencoded(value[key]) for key in sorted(value)) + b"e"
    raise TypeError(f"{type(value)} is not in a torrent")


def torrent_of(path: Path, announce: str | None = None) -> bytes:
    """A torrent of one file."""
    pieces = bytearray()
    with path.open("rb") as stream:
        while part := stream.read(CHUNK_BYTES):
            pieces += hashlib.sha1(part, usedforsecurity=False).digest()
    info = {"name": path.name, "length": path.stat().st_size, "piece length": CHUNK_BYTES, "pieces": bytes(pieces)}
    return bencoded({"info": info} if announce is None else {"announce": announce, "info": info})


class Torrent(Entrant):
    """What both have in common: a torrent file, and a directory for each host."""

    announce: str | None = None

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.torrent = task.directory / "blob.torrent"
        self.torrent.write_bytes(torrent_of(task.content.path, self.announce))

    def directory(self, host: int) -> Path:
        """Where a host has its copy."""
        return self.task.content.path.parent if host == SEED else self.task.home(host)

    def digest(self, host: int) -> str:
        return sha256_of(self.directory(host) / self.task.content.path.name)


class Libtorrent(Torrent):
    """Through its Python binding, one process a host."""

    def __init__(self, task: Task, profile: str) -> None:
        super().__init__(task)
        self._profile = profile

    def prepare(self) -> None:
        for host in (SEED, *self.task.leechers):
            self.programs[host].append(self._start(host))
        for host in self.programs:
            self.programs[host][0].line("READY", START_TIMEOUT)

    def _start(self, host: int) -> Program:
        address = self.task.ground.address
        argv = [self.task.peers_python, libtorrent_peer.__file__, str(self.torrent), str(self.directory(host))]
        argv += ["--listen", address(host), "--profile", self._profile]
        if host == SEED:
            argv.append("--seed")
        else:
            for other in range(self.task.nodes):
                argv += ["--peer", address(other)] if other != host else []
        return self.task.ground.start(host, argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def go(self) -> None:
        for host in self.task.leechers:
            self.programs[host][0].tell("GO")

    def look(self) -> None:
        for host in self.task.leechers:
            if host in self.finished or host in self.failed:
                continue
            program = self.programs[host][0]
            if (found := program.said("DONE")) is not None:
                self.finished[host] = float(found)
            elif program.ended() is not None:
                self.failed[host] = f"ended with {program.process.returncode}"


class AriaTorrent(Torrent):
    """aria2c with a tracker beside the seed; each leecher is started at GO, as its command line has it."""

    def __init__(self, task: Task) -> None:
        self.announce = f"http://{task.ground.address(SEED)}:{tracker.PORT}/announce"
        super().__init__(task)

    def prepare(self) -> None:
        address = self.task.ground.address(SEED)
        serving = self.task.ground.start(SEED, [sys.executable, tracker.__file__, address])
        self.programs[SEED].append(serving)
        wait_for("the tracker listens", lambda: serving.listens(tracker.PORT), START_TIMEOUT)
        seed = self._start(SEED, "--check-integrity=true")
        wait_for("aria2c listens", lambda: seed.listens(libtorrent_peer.PORT), START_TIMEOUT)

    def _start(self, host: int, *more: str) -> Program:
        argv = [
            tool("aria2c") or "aria2c", "--quiet", "--no-conf", "--enable-dht=false", "--enable-dht6=false",
            "--bt-enable-lpd=false", "--disable-ipv6=true", "--interface=" + self.task.ground.address(host),
            f"--listen-port={libtorrent_peer.PORT}", "--bt-tracker-interval=2", "--bt-max-peers=0",
            "--bt-request-peer-speed-limit=1000M", "--seed-ratio=0", "--seed-time=100", "--bt-detach-seed-only=false",
            "--file-allocation=none", f"--dir={self.directory(host)}", *more, str(self.torrent),
        ]  # fmt: skip
        program = self.task.ground.start(host, argv, stdout=subprocess.DEVNULL)
        self.programs[host].append(program)
        return program

    def _mark(self, host: int) -> Path:
        return self.task.home(host) / "complete"

    def go(self) -> None:
        for host in self.task.leechers:
            hook = self.task.home(host) / "hook"
            hook.write_text(f"#!/bin/sh\n: >{self._mark(host)}\n")
            hook.chmod(0o755)
            self._start(host, f"--on-bt-download-complete={hook}")

    def look(self) -> None:
        for host in self.task.leechers:
            if host in self.finished or host in self.failed:
                continue
            program = self.programs[host][0]
            if self._mark(host).exists():
                self.finished[host] = time.monotonic()
            elif program.ended() is not None:
                self.failed[host] = f"ended with {program.process.returncode}"
