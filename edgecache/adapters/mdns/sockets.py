"""Opening multicast DNS on the interfaces that our addresses are on, with what the device allows."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Iterable

import zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from edgecache.model.errors import Unreachable

_TEST_TYPE = "_edgecache-test._tcp.local."

SELFTEST_SECONDS = 3.0
CLOSE_SECONDS = 0.45
"""A goodbye is three packets in about a quarter of a second."""


def interface_choices(hosts: Iterable[str]) -> list[list[str | int]]:
    """What to ask zeroconf for, best first: both IP versions, then each alone.

    IPv4 interfaces are named by address; IPv6 ones by the index of a link-local address's zone, else by address.
    """
    v4: list[str | int] = []
    by_zone: list[str | int] = []
    by_address: list[str | int] = []
    for host in hosts:
        bare, _, zone = host.partition("%")
        if ":" not in host:
            v4.append(host)
        elif zone:
            with contextlib.suppress(OSError):
                by_zone.append(socket.if_nametoindex(zone))
        else:
            by_address.append(bare)
    v6 = list(dict.fromkeys(by_zone)) or by_address
    choices = [v4 + v6, v4, v6] if v4 and v6 else [v4 or v6]
    return [choice for choice in choices if choice]


def open_zeroconf(hosts: Iterable[str]) -> AsyncZeroconf:
    """Sockets on the interfaces of these addresses; raises Unreachable when multicast is impossible there.

    Loopback works on Linux without privileges and without the MULTICAST flag, if it is asked for by address.
    """
    reason = "no network interface has an address"
    for choice in interface_choices(hosts):
        version = zeroconf.IPVersion.V4Only
        if any(isinstance(entry, int) or ":" in entry for entry in choice):
            v4 = any(isinstance(entry, str) and ":" not in entry for entry in choice)
            version = zeroconf.IPVersion.All if v4 else zeroconf.IPVersion.V6Only
        try:
            return AsyncZeroconf(interfaces=choice, ip_version=version)
        except (OSError, RuntimeError) as error:
            reason = str(error)
    raise Unreachable(
        f"mDNS cannot be used here: {reason}",
        hint="neighbours are found by discovery.seeds and by gossip; in a container, use the host's network",
    )


async def close_zeroconf(opened: AsyncZeroconf, timeout: float = CLOSE_SECONDS) -> None:
    """Say goodbye for what is registered, and close; gives up after `timeout` seconds."""
    with contextlib.suppress(TimeoutError, OSError, zeroconf.Error):
        await asyncio.wait_for(opened.async_close(), timeout)


async def multicast_selftest(hosts: Iterable[str], timeout: float = SELFTEST_SECONDS) -> str:
    """Whether two mDNS responders on this device see each other: empty if so, else the reason in one sentence."""
    own = tuple(hosts)
    instances: list[AsyncZeroconf] = []
    try:
        for _ in range(2):
            instances.append(open_zeroconf(own))
        return await _see_each_other(instances[0], instances[1], own, timeout)
    except Unreachable as error:
        return error.message
    except (OSError, zeroconf.Error) as error:
        return f"multicast does not work here: {error or type(error).__name__}"
    finally:
        await asyncio.gather(*(close_zeroconf(instance) for instance in instances))


async def _see_each_other(one: AsyncZeroconf, other: AsyncZeroconf, hosts: tuple[str, ...], timeout: float) -> str:
    token = secrets.token_hex(8)
    name = f"{token}.{_TEST_TYPE}"
    seen = asyncio.Event()

    def on_change(*, zeroconf: object, service_type: str, name: str, state_change: object) -> None:
        if name.startswith(token):
            seen.set()

    info = AsyncServiceInfo(
        _TEST_TYPE, name, port=9, server=f"{token}.local.", parsed_addresses=[host.partition("%")[0] for host in hosts]
    )
    browser = AsyncServiceBrowser(other.zeroconf, _TEST_TYPE, handlers=[on_change])
    try:
        announced = await one.async_register_service(info, cooperating_responders=True)
        await asyncio.wait_for(asyncio.gather(announced, seen.wait()), timeout)
    except TimeoutError:
        return f"a multicast announcement on this device was not heard on it within {timeout:g} s"
    finally:
        await browser.async_cancel()
    return ""
