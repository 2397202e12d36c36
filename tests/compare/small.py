"""Small requests on loopback: a few bytes asked and answered, one after the other and 16 in flight."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.compare.entrant import tool
from tests.compare.entrants import small_peer
from tests.compare.ground import Loopback, loopback
from tests.compare.process import Failed, wait_for
from tests.compare.rows import SmallRow

START_TIMEOUT = 20.0
LIMIT = 120.0

EDGECACHE = {
    "leaf": "edgecache: another node's reading, CoAP/UDP",
    "link": "edgecache: a manifest, mutual TLS link",
    "control": "edgecache: all readings, control socket",
}
"""The ways in of `edgecache bench small`, as rows."""


@dataclass(frozen=True, slots=True)
class Library:
    """A contestant of small_peer.py."""

    name: str
    ours: bool = False
    """It is in our own environment, not in that of the peers."""
    broker: str | None = None


LIBRARIES: Mapping[str, Library] = {
    "aiocoap, TCP": Library("aiocoap", ours=True),
    "zenoh": Library("zenoh"),
    "nats": Library("nats", broker="nats-server"),
}


def edgecache(requests: int, held: Sequence[str] = ()) -> list[SmallRow]:
    """All its ways in, from one run of `edgecache bench small`."""
    argv = [sys.executable, "-m", "edgecache", "bench", "small", "--json", "--requests", str(requests)]
    with loopback(held=held) as ground:
        done = ground.lab.run(0, [*argv, "--readings", "10", "--nodes", "2"], timeout=LIMIT)
    try:
        result = json.loads(done.stdout)
    except ValueError:
        return [SmallRow(name, error=done.stderr.strip()[-300:]) for name in EDGECACHE.values()]
    return [_row(name, result[way]) for way, name in EDGECACHE.items()]


def _row(name: str, found: Mapping[str, float]) -> SmallRow:
    return SmallRow(
        name, round(found["p50_ms"] * 1000, 1), round(found["p99_ms"] * 1000, 1), found["per_s"], found["per_s_16"]
    )


def small(name: str, requests: int, peers_python: str, held: Sequence[str] = ()) -> list[SmallRow]:
    """One contestant, once."""
    if name == "edgecache":
        return edgecache(requests, held)
    return [library(name, requests, peers_python, held)]


def library(name: str, requests: int, peers_python: str, held: Sequence[str] = ()) -> SmallRow:
    """One of the others; what goes wrong is in the row."""
    try:
        with loopback(held=held) as ground:
            return _library(name, ground, requests, peers_python)
    except (Failed, OSError, RuntimeError, ValueError) as error:
        return SmallRow(name, error=f"{type(error).__name__}: {error}"[:300])


def _library(name: str, ground: Loopback, requests: int, peers_python: str) -> SmallRow:
    wanted = LIBRARIES[name]
    python = sys.executable if wanted.ours else peers_python
    if wanted.broker is not None:
        argv = [tool(wanted.broker) or wanted.broker, "-a", small_peer.HOST]
        broker = ground.start(0, argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("the broker listens", lambda: broker.listens(small_peer.NATS_PORT), START_TIMEOUT)
    server = ground.start(0, [python, small_peer.__file__, "serve", wanted.name], stdout=subprocess.PIPE)
    server.line("READY", START_TIMEOUT)
    argv = [python, small_peer.__file__, "ask", wanted.name, str(requests)]
    client = ground.start(0, argv, stdout=subprocess.PIPE)
    found = json.loads(client.line("DONE", LIMIT))
    seconds = found["seconds"]
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return SmallRow(
        name, p50_us=round(cuts[49] * 1e6, 1), p99_us=round(cuts[98] * 1e6, 1),
        rate_1=round(len(seconds) / sum(seconds), 1), rate_16=round(found["many"] / found["elapsed"], 1),
    )  # fmt: skip
