"""Two nodes, one link: messages, manifests, chunks, pings and the end of it."""

from __future__ import annotations

import asyncio
import time

import pytest

from edgecache.adapters.coap.bounds import LinkBounds
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import MalformedMessage, NotFound, Refused, TimedOut, Unreachable
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId, blob_id_from_root, sha256
from edgecache.model.peer import CloseReason, Limits
from edgecache.model.priority import Priority
from edgecache.ports import Refusal
from edgecache.wire.messages import Goodbye, Gossip, Have, StateSummary
from tests.integration.coap.mesh import BLOB, CHUNK, Mesh, Node, in_mesh, with_hello
from tests.integration.coap.rawpeer import RawPeer, get

DIGEST = sha256(CHUNK)
OTHER_BLOB: BlobId = blob_id_from_root(b"another")


async def unit(asker: Node, provider: Node, offset: int = 0, size: int = CHUNK_BYTES, timeout: float = 5.0) -> bytes:
    return bytes(await asker.links.fetch_unit(provider.id, BLOB, 0, DIGEST, offset, size, timeout))


@in_mesh
async def test_both_ends_learn_who_is_there(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    (link, peer, dialled, address), = one.handler.opened
    assert (peer, dialled, address) == (two.id, True, two.address)
    assert one.handler.open[link] == two.handler.greeting
    (_, peer, dialled, address), = two.handler.opened
    assert (peer, dialled, address) == (one.id, False, None)


@in_mesh
async def test_messages_travel_both_ways_in_order(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    for number in range(50):
        assert one.links.send(two.id, StateSummary(bytes([number])))
        assert two.links.send(one.id, StateSummary(bytes([100 + number])))
    have = Have(BLOB, HaveSet.of([1, 3]), True, False)
    assert one.links.send(two.id, have)
    await two.handler.until(lambda: len(two.handler.messages) == 51)
    await one.handler.until(lambda: len(one.handler.messages) == 50)
    assert two.handler.messages == [(one.id, StateSummary(bytes([n]))) for n in range(50)] + [(one.id, have)]
    assert one.handler.messages == [(two.id, StateSummary(bytes([100 + n]))) for n in range(50)]


@in_mesh
async def test_nothing_is_sent_without_a_link(mesh: Mesh) -> None:
    one, two = await mesh.node(), await mesh.node()
    assert not one.links.send(two.id, Gossip())
    with pytest.raises(Unreachable):
        await unit(one, two)


@in_mesh
async def test_a_chunk_and_its_parts_in_both_directions(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    assert await unit(one, two) == CHUNK
    assert await unit(two, one) == CHUNK
    for size in (16 * 1024, 64 * 1024, 100_000):
        assert await unit(one, two, 3 * 1024, size) == CHUNK[3 * 1024 : 3 * 1024 + size]
    assert len(two.handler.units_sent) == 4
    assert two.handler.units_sent[0] == (0, 0)


@in_mesh
async def test_many_chunks_at_once(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    got = await asyncio.gather(*(unit(one, two) for _ in range(16)))
    assert got == [CHUNK] * 16


@in_mesh
async def test_manifests(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    assert await one.links.fetch_manifest(two.id, BLOB, None, 5) == b"the root"
    assert await two.links.fetch_manifest(one.id, BLOB, 0, 5) == b"page 0"
    assert await one.links.fetch_small(two.id, BLOB, 4096, 5, Priority.NORMAL) == (b"the root", False)
    two.handler.small = b"all of it"
    assert await one.links.fetch_small(two.id, BLOB, 4096, 5, Priority.OTA) == (b"all of it", True)
    assert two.handler.smalls == [(4096, Priority.NORMAL), (4096, Priority.OTA)]
    assert two.handler.units_sent == [(0, 0)]
    with pytest.raises(MalformedMessage, match="at most 4 bytes"):
        await one.links.fetch_small(two.id, BLOB, 4, 5, Priority.NORMAL)
    with pytest.raises(NotFound):
        await one.links.fetch_manifest(two.id, OTHER_BLOB, None, 5)
    with pytest.raises(NotFound):
        await one.links.fetch_manifest(two.id, BLOB, 7, 5)


@in_mesh
async def test_refusals_are_typed(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    two.handler.refusal = Refusal()
    with pytest.raises(NotFound):
        await unit(one, two)
    two.handler.refusal = Refusal(2.4)
    with pytest.raises(Refused) as refused:
        await unit(one, two)
    assert refused.value.retry_after == 3.0
    assert two.handler.units_sent == []


@in_mesh
async def test_a_request_has_a_deadline_and_its_late_answer_is_harmless(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    two.handler.turn = asyncio.Event()
    began = time.monotonic()
    with pytest.raises(TimedOut):
        await unit(one, two, timeout=0.2)
    assert time.monotonic() - began < 1.0
    two.handler.turn.set()
    await two.handler.until(lambda: two.handler.units_sent)
    assert await unit(one, two) == CHUNK
    assert one.log.lines == []


@in_mesh
async def test_many_requests_time_out_while_their_answers_come(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    with_hello(two, limits=Limits(window=1000))
    one, two = await mesh.pair()
    for timeout in (0.0, 0.001, 0.002, 0.004, 0.008):
        results = await asyncio.gather(
            *(unit(one, two, size=16 * 1024, timeout=timeout) for _ in range(16)), return_exceptions=True
        )
        assert all(isinstance(result, bytes | TimedOut | Refused) for result in results)
    assert await unit(one, two) == CHUNK


@in_mesh
async def test_more_requests_than_the_window_are_refused_for_a_moment(mesh: Mesh) -> None:
    one, two = await mesh.node(bounds=LinkBounds()), await mesh.node(bounds=LinkBounds(requests_beside_window=1))
    with_hello(two, limits=Limits(window=3))
    await one.links.dial(two.id, [two.address])
    two.handler.turn = asyncio.Event()
    asking = [asyncio.ensure_future(unit(one, two)) for _ in range(6)]
    await asyncio.wait(asking, return_when=asyncio.FIRST_EXCEPTION)
    await two.handler.until(lambda: two.handler.units_asked == 4)
    two.handler.turn.set()
    results = await asyncio.gather(*asking, return_exceptions=True)
    assert results.count(CHUNK) == 4
    refusals = [result for result in results if isinstance(result, Refused)]
    assert [refusal.retry_after for refusal in refusals] == [1.0, 1.0]
    assert await unit(one, two) == CHUNK


@in_mesh
async def test_a_lost_link_fails_requests_and_stops_handlers(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    two.handler.turn = asyncio.Event()
    asking = asyncio.ensure_future(unit(one, two, timeout=20))
    await two.handler.until(lambda: two.handler.units_asked)
    one.links.close(next(iter(one.handler.open)), CloseReason.BROKEN)
    with pytest.raises(Unreachable):
        await asking
    await two.handler.until(lambda: two.handler.units_cancelled and two.handler.closed)
    assert two.handler.closed[0][2] is CloseReason.BROKEN
    with pytest.raises(Unreachable):
        await unit(one, two)


@in_mesh
async def test_a_planned_close_says_so(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    link = next(iter(one.handler.open))
    one.links.close(link, CloseReason.SHED)
    one.links.close(link, CloseReason.SHED)
    await two.handler.until(lambda: two.handler.closed)
    await one.handler.until(lambda: one.handler.closed)
    assert two.handler.messages == [(one.id, Goodbye(CloseReason.SHED, 0))]
    assert two.handler.closed[0][2] is CloseReason.SHED
    assert one.handler.closed[0][2] is CloseReason.SHED
    assert not two.links.send(one.id, Gossip())


@in_mesh
async def test_the_goodbye_arrives_although_the_peer_is_sending(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    asking = [asyncio.ensure_future(unit(one, two)) for _ in range(8)]
    await two.handler.until(lambda: two.handler.units_asked)
    one.links.close(next(iter(one.handler.open)), CloseReason.IDLE)
    await asyncio.gather(*asking, return_exceptions=True)
    await two.handler.until(lambda: two.handler.closed)
    assert two.handler.closed[0][2] is CloseReason.IDLE
    await two.handler.until(lambda: len(two.handler.units_sent) + two.handler.units_cancelled >= 1)


@in_mesh
async def test_a_ping_measures_or_is_spared(mesh: Mesh) -> None:
    one, _ = await mesh.pair()
    link = next(iter(one.handler.open))
    silent, rtt = await one.links.ping(link, 10.0, 1.0)
    assert silent < 10.0
    assert rtt is None
    silent, rtt = await one.links.ping(link, 0.0, 1.0)
    assert rtt is not None
    assert 0 < rtt < 1.0
    assert one.links.stats()[0].rtt == rtt
    one.links.close(link, CloseReason.GOODBYE)
    with pytest.raises(Unreachable):
        await one.links.ping(link, 0.0, 1.0)


@in_mesh
async def test_a_frozen_peer_fails_a_ping_and_any_byte_saves_it(mesh: Mesh) -> None:
    node = await mesh.node()
    peer, _ = await RawPeer.linked(mesh, node)
    link = next(iter(node.handler.open))
    with pytest.raises(TimedOut):
        await node.links.ping(link, 0.0, 0.2)
    asking = asyncio.ensure_future(node.links.ping(link, 0.0, 0.5))
    await asyncio.sleep(0)
    peer.write(get(b"x", ".well-known", "core"))
    silent, rtt = await asking
    assert rtt is None
    assert silent < 0.6


@in_mesh
async def test_sends_use_the_newest_of_two_links(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    await two.links.dial(one.id, [one.address])
    await one.handler.until(lambda: len(one.handler.open) == 2)
    before = {stats.dialled: stats.received for stats in one.links.stats()}
    for _ in range(20):
        two.links.send(one.id, StateSummary(b"x" * 32))
    await one.handler.until(lambda: len(one.handler.messages) == 20)
    after = {stats.dialled: stats.received for stats in one.links.stats()}
    assert after[True] == before[True]
    newest = two.handler.opened[1][0]
    two.links.close(newest, CloseReason.DUPLICATE)
    await one.handler.until(lambda: len(one.handler.open) == 1)
    assert await unit(two, one) == CHUNK
    assert await unit(one, two) == CHUNK


@in_mesh
async def test_stats_count_what_was_carried(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    await unit(one, two)
    stats, = one.links.stats()
    assert (stats.peer, stats.dialled, stats.address) == (two.id, True, str(two.address))
    assert CHUNK_BYTES < stats.received < 1.02 * CHUNK_BYTES + 4096
    assert 0 < stats.sent < 10_000
    assert stats.rtt is not None
    assert two.links.stats()[0].sent == stats.received


@in_mesh
async def test_stop_is_quick_and_says_goodbye(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    two.handler.turn = asyncio.Event()
    asking = asyncio.ensure_future(unit(one, two, timeout=20))
    await two.handler.until(lambda: two.handler.units_asked)
    began = time.monotonic()
    await two.links.stop()
    assert time.monotonic() - began < 1.0
    with pytest.raises(Unreachable):
        await asking
    await one.handler.until(lambda: one.handler.closed)
    assert one.handler.closed[0][2] is CloseReason.GOODBYE
    assert two.handler.closed[0][2] is CloseReason.GOODBYE


@in_mesh
async def test_the_dialler_says_goodbye_too(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    await one.links.stop()
    assert one.handler.closed[0][2] is CloseReason.GOODBYE
    await two.handler.until(lambda: two.handler.closed)
    assert two.handler.closed[0][2] is CloseReason.GOODBYE
    with pytest.raises(Unreachable):
        await one.links.dial(two.id, [two.address])


@in_mesh
async def test_a_peer_that_never_closes_does_not_hold_up_the_stop(mesh: Mesh) -> None:
    node = await mesh.node()
    await RawPeer.linked(mesh, node)
    began = time.monotonic()
    await node.links.stop()
    assert time.monotonic() - began < 1.0
    assert node.handler.closed[0][2] is CloseReason.GOODBYE


@in_mesh
async def test_resources_are_listed_for_peers(mesh: Mesh) -> None:
    node = await mesh.node()
    peer, _ = await RawPeer.linked(mesh, node)
    peer.write(get(b"a", ".well-known", "core") + get(b"b", ".well-known", "core", query=("rt=edgecache.chunk",)))
    answers = {}
    for _ in range(2):
        frame = await peer.frame()
        answers[frame.token] = frame
    assert b'</chunk>;rt="edgecache.chunk";ct=42' in answers[b"a"].payload
    assert (12, b"\x28") in answers[b"a"].options
    assert answers[b"b"].payload == b'</chunk>;rt="edgecache.chunk";ct=42'
