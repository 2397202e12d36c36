"""Ports: both families, any free one, and one that somebody has."""

from __future__ import annotations

import asyncio
import os
import socket

import pytest

from edgecache.adapters.coap import listening
from edgecache.model.errors import ConfigError, ExitCode, StoreBusy
from edgecache.model.peer import Address
from tests.integration.coap.mesh import Mesh, in_mesh


@in_mesh
async def test_everywhere_is_both_families_on_one_port(mesh: Mesh) -> None:
    node, one, two = await mesh.node(), await mesh.node(), await mesh.node()
    port = await node.links.listen(None, 0)
    await one.links.dial(node.id, [Address("127.0.0.1", port)])
    await two.links.dial(node.id, [Address("::1", port)])
    await node.handler.until(lambda: len(node.handler.open) == 2)
    assert {stats.address.rpartition(":")[0] for stats in node.links.stats()} == {"127.0.0.1", "[::1]"}


@in_mesh
async def test_a_taken_port_names_its_holder_and_the_way_out(mesh: Mesh) -> None:
    one, two = await mesh.node(), await mesh.node(listen=False)
    for host in ("127.0.0.1", None):
        with pytest.raises(StoreBusy) as busy:
            await two.links.listen(host, one.port)
        assert f"tcp port {one.port} is taken by" in busy.value.message
        assert f"pid {os.getpid()}" in busy.value.message
        assert "0 takes any free one" in busy.value.hint
        assert busy.value.exit_code is ExitCode.BUSY


@in_mesh
async def test_a_port_can_be_had_again_right_after_a_stop(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    await two.links.stop()
    three = await mesh.node(listen=False)
    assert await three.links.listen("127.0.0.1", two.port) == two.port
    await one.links.dial(three.id, [two.address])


@in_mesh
async def test_a_host_that_is_not_ours(mesh: Mesh) -> None:
    node = await mesh.node(listen=False)
    for host in ("192.0.2.1", "no-such-host.invalid"):
        with pytest.raises(ConfigError) as wrong:
            await node.links.listen(host, 0)
        assert "address of this device" in wrong.value.hint


def test_all_addresses_of_a_name_share_a_port() -> None:
    sockets = asyncio.run(listening.bind_tcp("localhost", 0))
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
    finally:
        for sock in sockets:
            sock.close()


def test_nobody_holds_a_free_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
        assert str(os.getpid()) in listening.port_holder("tcp", port)
    assert listening.port_holder("tcp", port) == ""
