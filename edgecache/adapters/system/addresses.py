"""Where this device can be reached: its own addresses, without those that lead nowhere for a neighbour."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import psutil

from edgecache.model.peer import Address

ADDRESSES_MAX = 16
"""What a hello may carry (wire/limits.py)."""

POLL_SECONDS = 5.0
"""Late Wi-Fi is found within this; reading the addresses takes about half a millisecond."""

_Ip: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_CONTAINER_PLUMBING = re.compile(
    r"(docker\d+|docker_gwbridge|br-[0-9a-f]{12}|veth[0-9a-f]{7,8}|virbr\d+|vnet\d+|lxcbr\d+|lxdbr\d+|podman\d+"
    r"|cni\d+|cni-podman\d+|flannel\.\d+|cali[0-9a-f]{11}|hassio)\Z"
)
"""Names that container engines and hypervisors give to what only their guests can reach."""


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface as the kernel lists it."""

    name: str
    up: bool
    carrier: bool
    """Plugged in, or associated."""
    addresses: tuple[str, ...]
    """IP literals, link-local IPv6 with its zone."""


def interfaces() -> tuple[Interface, ...]:
    """All network interfaces with their IP addresses; empty when the kernel does not tell."""
    try:
        found, states = psutil.net_if_addrs(), psutil.net_if_stats()
    except OSError:
        return ()
    result = []
    for name, entries in sorted(found.items()):
        ips = tuple(e.address for e in entries if e.family in (socket.AF_INET, socket.AF_INET6))
        state = states.get(name)
        if state is not None:
            up = "up" in state.flags.split(",") or state.isup
            result.append(Interface(name, up, state.isup, ips))
    return tuple(result)


def usable_hosts(candidates: Sequence[Interface]) -> tuple[str, ...]:
    """IP literals worth telling to neighbours, best first, at most 16.

    Interfaces without a carrier count only when none has one, loopback only when there is nothing else, those of
    containers never, 169.254/16 only when there is no better IPv4. IPv6 link-local stays, with its zone: it is of use
    on the local network, and nowhere else.
    """
    chosen = [each for each in candidates if each.up and not _CONTAINER_PLUMBING.match(each.name)]
    plugged = _ranked(each for each in chosen if each.carrier)
    ranked = plugged or _ranked(chosen)
    if any(rank == _V4 for rank, _ in ranked):
        ranked = [(rank, host) for rank, host in ranked if rank != _V4_LINK_LOCAL]
    hosts = [host for _, host in sorted(ranked, key=lambda pair: pair[0])] or _loopback(chosen)
    return tuple(dict.fromkeys(hosts))[:ADDRESSES_MAX]


_V4, _V6, _V6_LINK_LOCAL, _V4_LINK_LOCAL = range(4)


def _ranked(chosen: Iterable[Interface]) -> list[tuple[int, str]]:
    ranked = []
    for interface in chosen:
        for text in interface.addresses:
            ip = _parse(text, interface.name)
            if ip is None or ip.is_multicast or ip.is_unspecified or ip.is_loopback:
                continue
            if ip.version == 4:
                rank = _V4_LINK_LOCAL if ip.is_link_local else _V4
            else:
                rank = _V6_LINK_LOCAL if ip.is_link_local else _V6
            ranked.append((rank, str(ip)))
    return ranked


def _loopback(chosen: Iterable[Interface]) -> list[str]:
    """One loopback address, IPv4 if there is one."""
    parsed = (_parse(text, each.name) for each in chosen for text in each.addresses)
    found = [str(ip) for ip in parsed if ip is not None and ip.is_loopback]
    return sorted(found, key=lambda host: (":" in host, host))[:1]


def _parse(text: str, interface: str) -> _Ip | None:
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(ip, ipaddress.IPv6Address) and ip.is_link_local and ip.scope_id is None:
        return ipaddress.IPv6Address(f"{ip}%{interface}")
    return ip


def own_addresses(port: int) -> tuple[Address, ...]:
    """Where an agent that listens on every interface at `port` can be reached now."""
    return tuple(Address(host, port) for host in usable_hosts(interfaces()))


def without_zones(addresses: Iterable[Address]) -> tuple[Address, ...]:
    """The addresses that mean the same on another device: what goes into hellos and gossip."""
    return tuple(address for address in addresses if "%" not in address.host)


class AddressWatcher:
    """Polls the own addresses and reports changes. `on_change` is called on the event loop."""

    def __init__(
        self,
        read: Callable[[], tuple[Address, ...]],
        on_change: Callable[[tuple[Address, ...]], None],
        period: float = POLL_SECONDS,
    ) -> None:
        self._read = read
        self._on_change = on_change
        self._period = period
        self._current = read()
        self._task: asyncio.Task[None] | None = None

    @property
    def current(self) -> tuple[Address, ...]:
        """As read last."""
        return self._current

    def start(self) -> None:
        """Begin to poll."""
        self._task = asyncio.create_task(self._watch(), name="address watcher")

    async def stop(self) -> None:
        """End polling; harmless when not started."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._period)
            found = self._read()
            if found != self._current:
                self._current = found
                self._on_change(found)
