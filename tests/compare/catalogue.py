"""Who takes part in what, and what each needs of the machine."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Generic, TypeVar

from tests.compare.entrant import Daemon, Entrant, Task, tool
from tests.compare.entrants.control import Control
from tests.compare.entrants.mesh import Edgecache
from tests.compare.entrants.mosquitto import Mosquitto
from tests.compare.entrants.syncthing import Syncthing
from tests.compare.entrants.torrents import AriaTorrent, Libtorrent
from tests.compare.entrants.web import Aria, Curl, SecureAria

Lacking = Callable[[str], str | None]
"""Of an interpreter with the peers' bindings: what is missing here, None when it can run."""


E = TypeVar("E", bound=Daemon, covariant=True)


@dataclass(frozen=True, slots=True)
class Contestant(Generic[E]):
    """One way to do a task."""

    make: Callable[[Task], E]
    lacking: Lacking


def _nothing(_peers_python: str) -> str | None:
    return None


def _tools(*names: str) -> Lacking:
    def lacking(_peers_python: str) -> str | None:
        missing = [name for name in names if tool(name) is None]
        return f"{', '.join(missing)} not installed" if missing else None

    return lacking


@cache
def _imports(python: str, module: str) -> bool:
    try:
        done = subprocess.run([python, "-c", f"import {module}"], capture_output=True, timeout=30, check=False)
    except OSError:
        return False
    return done.returncode == 0


def _binding(module: str) -> Lacking:
    def lacking(peers_python: str) -> str | None:
        return None if _imports(peers_python, module) else f"{peers_python} has no {module}"

    return lacking


def _both(*several: Lacking) -> Lacking:
    def lacking(peers_python: str) -> str | None:
        return "; ".join(filter(None, (one(peers_python) for one in several))) or None

    return lacking


def _libtorrent(profile: str) -> Contestant[Entrant]:
    return Contestant(partial(Libtorrent, profile=profile), _binding("libtorrent"))


EDGECACHE: Contestant[Entrant] = Contestant(Edgecache, _nothing)
NGINX_CURL: Contestant[Entrant] = Contestant(Curl, _tools("nginx", "curl"))
ARIA: Contestant[Entrant] = Contestant(AriaTorrent, _tools("aria2c"))
SYNCTHING: Contestant[Entrant] = Contestant(Syncthing, _tools("syncthing", "curl"))
CONTROL: Contestant[Entrant] = Contestant(Control, _nothing)

SWARM: Mapping[str, Contestant[Entrant]] = {
    "edgecache": EDGECACHE,
    "nginx+curl": NGINX_CURL,
    "libtorrent-default": _libtorrent("default"),
    "libtorrent-tcp": _libtorrent("tcp"),
    "libtorrent-tuned": _libtorrent("tuned"),
    "aria2c-bt": ARIA,
}

SINGLE: Mapping[str, Contestant[Entrant]] = {
    "edgecache": EDGECACHE,
    "nginx+curl": NGINX_CURL,
    "nginx+aria2c": Contestant(Aria, _tools("nginx", "aria2c")),
    "nginx+aria2c, TLS": Contestant(SecureAria, _tools("nginx", "aria2c", "openssl")),
    "syncthing": SYNCTHING,
    "libtorrent-tcp": _libtorrent("tcp"),
    "aiocoap-tls": CONTROL,
}

IDLE: Mapping[str, Contestant[Daemon]] = {
    "edgecache": EDGECACHE,
    "mosquitto": Contestant(Mosquitto, _tools("mosquitto")),
    "nginx": NGINX_CURL,
    "aria2c, seeding": ARIA,
    "aiocoap-tls": CONTROL,
    "libtorrent, seeding": _libtorrent("tcp"),
    "syncthing": SYNCTHING,
}

SMALL: Mapping[str, Lacking] = {
    "edgecache": _nothing,
    "aiocoap, TCP": _nothing,
    "zenoh": _binding("zenoh"),
    "nats": _both(_tools("nats-server"), _binding("nats")),
}


def needs(contestants: Mapping[str, Contestant[E]]) -> dict[str, Lacking]:
    """By name."""
    return {name: contestant.lacking for name, contestant in contestants.items()}


def able(needs: Mapping[str, Lacking], wanted: list[str], peers_python: str) -> tuple[list[str], list[str]]:
    """Of those that are wanted (none: all): the names of those that can run, and a line for each that cannot.

    Raises ValueError for a name that nobody has.
    """
    for name in wanted:
        if name not in needs:
            raise ValueError(f"there is no contestant {name!r}: {', '.join(needs)}")
    why = {name: lacking(peers_python) for name, lacking in needs.items() if not wanted or name in wanted}
    left_out = [f"{name} left out: {reason}" for name, reason in why.items() if reason is not None]
    return [name for name in why if why[name] is None], left_out
