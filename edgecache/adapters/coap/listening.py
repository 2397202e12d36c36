"""Sockets to listen on: both address families, never shared with another process, and clear words when one is taken."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Sequence
from typing import Literal

from edgecache.model.errors import ConfigError, StoreBusy

BACKLOG = 128
ANY_PORT_TRIES = 8

Kind = Literal["tcp", "udp"]
_TYPES = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


async def bind_tcp(host: str | None, port: int) -> list[socket.socket]:
    """Sockets bound to every address of `host`, or to all addresses for None; all on one port, any free one for 0.

    Raises StoreBusy when the port is taken, ConfigError when the host is not ours.
    """
    if host is None:
        return [_bind_everywhere(port)]
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ConfigError(f"cannot listen on {host!r}: {error}", hint="give an address of this device") from error
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    for attempt in range(ANY_PORT_TRIES):
        try:
            return _bind_all(addresses, port)
        except StoreBusy:
            if port or attempt == ANY_PORT_TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _bind_all(addresses: Sequence[tuple[int, tuple[object, ...]]], port: int) -> list[socket.socket]:
    bound: list[socket.socket] = []
    try:
        for family, address in addresses:
            bound.append(bind("tcp", family, (address[0], port, *address[2:])))
            port = port or bound[0].getsockname()[1]
    except BaseException:
        for sock in bound:
            sock.close()
        raise
    return bound


def _bind_everywhere(port: int) -> socket.socket:
    """One socket for IPv6 and IPv4; where the kernel has no IPv6, for IPv4."""
    try:
        return bind("tcp", socket.AF_INET6, ("::", port, 0, 0))
    except ConfigError:
        return bind("tcp", socket.AF_INET, ("0.0.0.0", port))  # noqa: S104 - every interface is what was asked for


def bind(kind: Kind, family: int, address: tuple[object, ...]) -> socket.socket:
    """One bound socket, IPv6 ones for IPv4 too; raises StoreBusy or ConfigError."""
    try:
        sock = socket.socket(family, _TYPES[kind])
    except OSError as error:
        raise ConfigError(f"cannot listen on {address[0]}: {error}") from error
    try:
        if kind == "tcp":
            # For TCP on Linux this only allows a port whose old connections linger; two listeners still collide.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)
        if kind == "tcp":
            # Not before listening does a second socket on this port fail: both may bind with SO_REUSEADDR.
            sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise _busy(kind, address) from error
        if error.errno == errno.EACCES:
            raise ConfigError(
                f"not allowed to listen on {kind} port {address[1]}", hint="use a port above 1023"
            ) from error
        raise ConfigError(f"cannot listen on {address[0]}: {error}", hint="give an address of this device") from error
    sock.setblocking(False)
    return sock


def _busy(kind: Kind, address: tuple[object, ...]) -> StoreBusy:
    holder = port_holder(kind, int(str(address[1])))
    return StoreBusy(
        f"{kind} port {address[1]} is taken{f' by {holder}' if holder else ''}",
        hint="stop that process, or set another port in the configuration (0 takes any free one)",
    )


def port_holder(kind: Kind, port: int) -> str:
    """Name and pid of a process that has this local port; empty when it cannot be seen (another user's)."""
    import psutil  # noqa: PLC0415 - 20 ms, only when something is wrong

    try:
        for connection in psutil.net_connections(kind):
            mine = connection.laddr and connection.laddr.port == port
            if mine and connection.pid and (kind == "udp" or connection.status == psutil.CONN_LISTEN):
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        return ""
    return ""
