"""The class of a chunk request, and a paced link, over a real connection."""

from __future__ import annotations

import time

from edgecache.model.content import CHUNK_BYTES
from edgecache.model.ids import sha256
from edgecache.model.priority import Priority
from tests.integration.coap.mesh import BLOB, CHUNK, Mesh, in_mesh

DIGEST = sha256(CHUNK)


@in_mesh
async def test_the_class_of_a_request_arrives(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    for priority in (Priority.OTA, Priority.NORMAL, Priority.PREFETCH):
        await one.links.fetch_unit(two.id, BLOB, 0, DIGEST, 0, CHUNK_BYTES, 5.0, priority)
        await one.links.fetch_unit(two.id, BLOB, 0, DIGEST, 16384, 16384, 5.0, priority)
    assert two.handler.priorities == [p for p in (Priority.OTA, Priority.NORMAL, Priority.PREFETCH) for _ in range(2)]


@in_mesh
async def test_a_paced_link_is_measured_and_sends_at_that_rate(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    (gauge,) = one.links.measure()
    assert gauge.peer == two.id
    assert gauge.link == one.handler.opened[0][0]
    two.links.pace(one.id, 1e6)
    began = time.monotonic()
    for _ in range(4):
        await one.links.fetch_unit(two.id, BLOB, 0, DIGEST, 0, CHUNK_BYTES, 5.0)
    # The kernel lets some segments go before it paces, and one message of the last is on its way.
    assert time.monotonic() - began > 0.3
    two.links.pace(one.id, 0)
    began = time.monotonic()
    await one.links.fetch_unit(two.id, BLOB, 0, DIGEST, 0, CHUNK_BYTES, 5.0)
    assert time.monotonic() - began < 1.0
    (after,) = one.links.measure()
    assert after.received > 5 * CHUNK_BYTES
