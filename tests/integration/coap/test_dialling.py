"""Dialling: several addresses, dead ones, both at once."""

from __future__ import annotations

import asyncio
import socket
import time

import pytest

from edgecache.adapters.coap.bounds import LinkBounds
from edgecache.model.errors import EdgecacheError, TimedOut, Unreachable
from edgecache.model.peer import Address
from edgecache.wire.messages import StateSummary
from tests.integration.coap.mesh import Mesh, in_mesh

QUICK = LinkBounds(dial_seconds=1.0, stagger_seconds=0.05)


def deaf() -> tuple[socket.socket, Address]:
    """A port that accepts connections (the kernel does) and never says a word."""
    sock = socket.create_server(("127.0.0.1", 0))
    return sock, Address("127.0.0.1", sock.getsockname()[1])


def closed() -> Address:
    """A port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return Address("127.0.0.1", sock.getsockname()[1])


@in_mesh
async def test_a_refused_connection_is_told_at_once(mesh: Mesh) -> None:
    one, two = await mesh.node(), await mesh.node()
    began = time.monotonic()
    with pytest.raises(Unreachable, match="Connection refused"):
        await one.links.dial(two.id, [closed()])
    assert time.monotonic() - began < 1.0


@in_mesh
async def test_a_deaf_address_times_out(mesh: Mesh) -> None:
    one, two = await mesh.node(bounds=QUICK), await mesh.node()
    sock, address = deaf()
    with sock, pytest.raises(TimedOut):
        await one.links.dial(two.id, [address])


@in_mesh
async def test_good_addresses_win_over_deaf_and_closed_ones(mesh: Mesh) -> None:
    one, two = await mesh.node(), await mesh.node()
    sock, address = deaf()
    began = time.monotonic()
    with sock:
        await one.links.dial(two.id, [address, closed(), two.address, Address("::1", two.port)])
    assert time.monotonic() - began < 1.5
    await two.handler.until(lambda: two.handler.opened)
    assert len(one.handler.opened) == len(two.handler.opened) == 1
    assert one.handler.opened[0][3] == two.address


@in_mesh
async def test_one_peer_at_many_addresses_gets_one_link(mesh: Mesh) -> None:
    one, two = await mesh.node(bounds=LinkBounds(stagger_seconds=0.0)), await mesh.node()
    ports = [await two.links.listen("127.0.0.1", 0) for _ in range(6)]
    await one.links.dial(two.id, [Address("127.0.0.1", port) for port in ports])
    assert two.links.send(one.id, StateSummary(b"x"))
    await one.handler.until(lambda: one.handler.messages)
    assert len(one.handler.opened) == len(two.handler.opened) == 1
    assert one.handler.closed == two.handler.closed == []


@in_mesh
async def test_dials_of_one_peer_at_the_same_time_are_one(mesh: Mesh) -> None:
    one, two = await mesh.node(), await mesh.node()
    await asyncio.gather(*(one.links.dial(two.id, [two.address]) for _ in range(5)))
    assert len(one.handler.opened) == 1
    await one.links.dial(two.id, [two.address])
    assert len(one.handler.opened) == 2


@in_mesh
async def test_two_nodes_that_dial_each_other_at_once(mesh: Mesh) -> None:
    one, two = await mesh.node(), await mesh.node()
    await asyncio.gather(one.links.dial(two.id, [two.address]), two.links.dial(one.id, [one.address]))
    await one.handler.until(lambda: len(one.handler.open) == 2)
    await two.handler.until(lambda: len(two.handler.open) == 2)
    assert sorted(opened[2] for opened in one.handler.opened) == [False, True]
    assert one.links.send(two.id, StateSummary(b"1"))
    assert two.links.send(one.id, StateSummary(b"2"))
    await one.handler.until(lambda: one.handler.messages)
    await two.handler.until(lambda: two.handler.messages)


@in_mesh
async def test_a_seed_is_whoever_answers(mesh: Mesh) -> None:
    one, two = await mesh.node(), await mesh.node()
    await one.links.dial(None, [two.address])
    assert one.handler.opened[0][1] == two.id


@in_mesh
async def test_a_dial_without_addresses_fails(mesh: Mesh) -> None:
    one, two = await mesh.node(), await mesh.node()
    with pytest.raises(Unreachable):
        await one.links.dial(two.id, [])


@in_mesh
async def test_a_stop_ends_dials(mesh: Mesh) -> None:
    one, two = await mesh.node(), await mesh.node()
    sock, address = deaf()
    with sock:
        dialling = asyncio.ensure_future(one.links.dial(two.id, [address]))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await one.links.stop()
        assert time.monotonic() - began < 1.0
        with pytest.raises((asyncio.CancelledError, EdgecacheError)):
            await dialling


@in_mesh
async def test_a_name_that_resolves_to_nothing(mesh: Mesh) -> None:
    one, two = await mesh.node(bounds=QUICK), await mesh.node()
    for host in ("no-such-host.invalid", "a" * 100 + ".b", "", "1.2.3.4.5"):
        with pytest.raises((Unreachable, TimedOut)):
            await one.links.dial(two.id, [Address(host, 1)])
