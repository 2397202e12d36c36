"""Nothing is left of a request on a link, however it ends: no task, no table entry, no descriptor."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edgecache.adapters.coap.connection import Connection
from edgecache.model.errors import TimedOut
from tests.integration.coap.mesh import CHUNK, Mesh, Node, in_mesh
from tests.integration.coap.test_links import unit


def connection_of(peer: Node) -> Connection:
    connection: Connection
    (connection,) = peer.links._switchboard.links()
    return connection


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def serving(peer: Node) -> int:
    return sum(map(len, peer.links._switchboard._exchange._units.serving.values()))


def tables(peer: Node) -> list[int]:
    connection = connection_of(peer)
    return [len(connection.questions), serving(peer), len(connection.in_progress), connection.stream.unacknowledged]


@in_mesh
async def test_two_hundred_units_leave_nothing_behind(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    assert await unit(one, two) == CHUNK
    tasks, descriptors = len(asyncio.all_tasks()), open_files()
    for round_ in range(50):
        asking = [asyncio.ensure_future(unit(one, two)) for _ in range(4)]
        if round_ % 5 == 0:
            await asyncio.sleep(0)
            asking.pop().cancel()
        assert await asyncio.gather(*asking) == [CHUNK] * len(asking)
    two.handler.turn = asyncio.Event()
    late = await asyncio.gather(*(unit(one, two, timeout=0.01) for _ in range(4)), return_exceptions=True)
    assert all(isinstance(result, TimedOut) for result in late)
    two.handler.turn.set()
    two.handler.turn = None
    async with asyncio.timeout(10.0):
        while any(tables(one)) or any(tables(two)) or len(asyncio.all_tasks()) > tasks:
            await asyncio.sleep(0.01)
    assert open_files() == descriptors
    assert await unit(one, two) == CHUNK


@in_mesh
async def test_a_link_that_goes_takes_its_questions_and_answers_along(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    two.handler.turn = asyncio.Event()
    tasks = len(asyncio.all_tasks())
    asking = [asyncio.ensure_future(unit(one, two)) for _ in range(4)]
    await two.handler.until(lambda: two.handler.units_asked == 4)
    asker = connection_of(one)
    assert (len(asker.questions), serving(two)) == (4, 4)
    asker.stream.cut()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert not any(isinstance(result, bytes) for result in results)
    async with asyncio.timeout(10.0):
        while asker.questions or serving(two) or len(asyncio.all_tasks()) > tasks:
            await asyncio.sleep(0.01)
