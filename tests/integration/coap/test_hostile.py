"""What strangers and bad members can do to a node: nothing that lasts, and nothing to the links of others."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import ssl
from pathlib import Path

import pytest

from edgecache.adapters.coap import framing as f
from edgecache.adapters.coap.bounds import LinkBounds
from edgecache.adapters.coap.connection import Connection
from edgecache.adapters.coap.framing import Code
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import Unreachable
from edgecache.model.ids import sha256
from edgecache.model.peer import CloseReason
from edgecache.wire.messages import Gossip, StateSummary
from tests.integration.coap.mesh import BLOB, CHUNK, Mesh, Node, in_mesh
from tests.integration.coap.rawpeer import CSM, RawPeer, get, post

IMPATIENT = LinkBounds(tls_seconds=0.2, csm_seconds=0.2, hello_seconds=0.2, stall_seconds=0.3, message_seconds=0.6)


async def still_works(mesh: Mesh, node: Node) -> None:
    """A member can link with the node and fetch from it."""
    friend = await mesh.node()
    await friend.links.dial(node.id, [node.address])
    assert await friend.links.fetch_unit(node.id, BLOB, 0, sha256(CHUNK), 0, CHUNK_BYTES, 5) == CHUNK


def connections() -> int:
    gc.collect()
    return sum(isinstance(thing, Connection) for thing in gc.get_objects())


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@in_mesh
async def test_bad_handshakes_leave_nothing_behind(mesh: Mesh) -> None:
    node = await mesh.node()
    before, files = connections(), open_files()
    spy = mesh.authority.contexts(None)[1]
    for number in range(20):
        if number % 2:
            peer = await RawPeer.connect(node, None)
            peer.write(b"GET / HTTP/1.1\r\n\r\n" if number % 4 == 1 else os.urandom(300))
        else:
            peer = await RawPeer.connect(node, spy)
        await peer.ended()
        await peer.close()
    async with asyncio.timeout(5):
        while connections() > before or open_files() > files:
            await asyncio.sleep(0.01)
    assert node.handler.opened == []
    await still_works(mesh, node)


@in_mesh
async def test_every_phase_has_a_deadline(mesh: Mesh) -> None:
    node = await mesh.node(bounds=IMPATIENT)
    member = mesh.authority.contexts(mesh.authority.issue("lazy"))[1]
    silent = await RawPeer.connect(node, None)
    no_csm = await RawPeer.connect(node, member)
    no_hello = await RawPeer.connect(node, member)
    no_hello.write(CSM)
    for peer in (silent, no_csm, no_hello):
        assert all(frame.code == Code.CSM for frame in await peer.ended())
    assert {text.partition(": ")[2].split(" within")[0] for _, text in node.log.lines} == {
        "no TLS handshake", "no CSM", "no hello"
    }
    assert node.handler.opened == []


@in_mesh
async def test_a_message_that_stops_half_way_or_trickles_ends_the_link(mesh: Mesh) -> None:
    node = await mesh.node(bounds=IMPATIENT)
    half, _ = await RawPeer.linked(mesh, node)
    trickle, _ = await RawPeer.linked(mesh, node)
    message = f.head(Code.POST, b"", b"", 60_000) + b"x" * 60_000
    half.write(message[:1000])

    async def drip() -> None:
        for at in range(len(message)):
            trickle.write(message[at : at + 1])
            await asyncio.sleep(0.05)

    dripping = asyncio.ensure_future(drip())
    await node.handler.until(lambda: len(node.handler.closed) == 2)
    dripping.cancel()
    details = {detail for _, _, _, detail in node.handler.closed}
    assert details == {"nothing for 0.3 s in the middle of a message", "a message took more than 0.6 s"}
    assert {reason for _, _, reason, _ in node.handler.closed} == {CloseReason.SILENT}


@in_mesh
async def test_an_idle_link_is_left_alone(mesh: Mesh) -> None:
    node = await mesh.node(bounds=IMPATIENT)
    peer, _ = await RawPeer.linked(mesh, node)
    await asyncio.sleep(1.2)
    peer.write(f.head(Code.PING, b"p", b"", 0))
    assert (await peer.frame()).code == Code.PONG


@in_mesh
async def test_connections_of_one_address_are_capped(mesh: Mesh) -> None:
    node = await mesh.node(bounds=LinkBounds(handshakes_per_source=5))
    crowd = [await RawPeer.connect(node, None) for _ in range(20)]
    gone = [asyncio.ensure_future(peer.ended(2.0)) for peer in crowd]
    done, _ = await asyncio.wait(gone, timeout=0.5)
    assert len(done) == 15
    causes = [cause for cause, _ in node.log.lines]
    assert causes == ["link-refused"] * 15
    for waiting in gone:
        waiting.cancel()
    for peer in crowd:
        await peer.close()


@in_mesh
async def test_a_crowd_of_handshakes_makes_room_for_a_newcomer(mesh: Mesh) -> None:
    node = await mesh.node(bounds=LinkBounds(handshakes=8))
    crowd = [await RawPeer.connect(node, None) for _ in range(12)]
    await still_works(mesh, node)
    for peer in crowd:
        await peer.close()


@in_mesh
async def test_the_number_of_connections_is_capped(mesh: Mesh) -> None:
    node = await mesh.node(bounds=LinkBounds(connections=3))
    peers = [(await RawPeer.linked(mesh, node))[0] for _ in range(3)]
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await RawPeer.linked(mesh, node)
    assert len(node.handler.open) == 3
    friend = await mesh.node()
    with pytest.raises(Unreachable):
        await node.links.dial(friend.id, [friend.address])
    await peers[0].close()
    await node.handler.until(lambda: len(node.handler.open) == 2)
    await RawPeer.linked(mesh, node)


@pytest.mark.parametrize(
    "data",
    [
        f.head(Code.GET, b"", b"", 0),
        f.head(Code.PING, b"", b"", 0),
        b"\xff\xff\xff\xff\xff\x02",
        b"\x0f\x01" + b"t" * 15,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        f.head(Code.CSM, b"", f.encode_options([(3, b"")]), 0),
        f.head(Code.CSM, b"", f.encode_options([(2, f.uint(4096))]), 0),
        CSM + get(b"x", "chunk", "0" * 64),
        CSM + post(Gossip()),
        CSM + f.head(Code.CONTENT, b"hello", b"", 3) + b"abc",
        CSM + f.head(Code.POST, b"", b"", 100_000) + b"x",
    ],
)
def test_nothing_but_a_csm_and_a_hello_opens_a_link(data: bytes, tmp_path: object) -> None:
    @in_mesh
    async def refuse(mesh: Mesh) -> None:
        node = await mesh.node()
        identity = mesh.authority.issue("raw")
        peer = await RawPeer.connect(node, mesh.authority.contexts(identity)[1])
        peer.write(data)
        codes = {frame.code for frame in await peer.ended()}
        assert codes <= {Code.CSM, Code.ABORT, Code.BAD_REQUEST}
        assert node.handler.opened == []
        await still_works(mesh, node)

    refuse(tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff\xff\xff\x02",
        b"\xf0" + (514 * 1024 - 65805).to_bytes(4, "big") + b"\x45",
        b"\xf0" + (131 * 1024 - 65805).to_bytes(4, "big") + b"\x02",
        b"\x0f\x01" + b"t" * 15,
        b"\x20\x02\xf0\x00",
        b"\x10\x02\xff",
        f.head(Code.ABORT, b"", b"", 0),
        f.head(Code.RELEASE, b"", b"", 0),
        b"\x00\xe7",
        post(StateSummary(b"x"))[:-3] + b"\xff\xff\xff" + post(StateSummary(b"x")) * 0 + b"\x00\xff",
    ],
)
def test_broken_framing_ends_the_link_of_its_sender_only(data: bytes, tmp_path: object) -> None:
    @in_mesh
    async def end(mesh: Mesh) -> None:
        node, friend = await mesh.pair()
        peer, identity = await RawPeer.linked(mesh, node)
        peer.write(data)
        assert all(frame.code == Code.ABORT for frame in await peer.ended())
        await node.handler.until(lambda: node.handler.closed)
        assert [closed[1] for closed in node.handler.closed] == [identity.node]
        assert friend.links.send(node.id, StateSummary(b"x"))
        await node.handler.until(lambda: node.handler.messages)

    end(tmp_path)  # type: ignore[arg-type]


@in_mesh
async def test_malformed_messages_are_answered_forgiven_and_then_not(mesh: Mesh) -> None:
    node = await mesh.node(bounds=LinkBounds(malformed_burst=4))
    peer, _ = await RawPeer.linked(mesh, node)
    good, bad = post(StateSummary(b"x"), one_way=False, token=b"g"), post(StateSummary(b"x"), one_way=False, token=b"b")
    peer.write(good)
    assert (await peer.frame()).code == Code.CHANGED
    peer.write(bad[:-2] + b"\x01\x01")
    answer = await peer.frame()
    assert (answer.code, answer.token) == (Code.BAD_REQUEST, b"b")
    wrong_path = bad.replace(b"\xb6gossip", b"\xb6gossyp")
    assert wrong_path != bad
    peer.write(wrong_path)
    assert (await peer.frame()).code == Code.BAD_REQUEST
    critical = f.head(Code.POST, b"c", f.encode_options([(11, b"gossip"), (2049, b"")]), 1) + b"x"
    peer.write(critical)
    assert (await peer.frame()).code == Code.BAD_OPTION
    one_way = post(StateSummary(b"x"))
    peer.write(one_way[:-2] + b"\x01\x01" + good)
    assert (await peer.frame()).code == Code.CHANGED
    peer.write(bad[:-2] + b"\x01\x01")
    codes = [frame.code for frame in await peer.ended()]
    assert codes == [Code.BAD_REQUEST, Code.ABORT]
    assert len(node.handler.messages) == 2


@in_mesh
async def test_requests_that_make_no_sense_get_the_right_code(mesh: Mesh) -> None:
    node = await mesh.node()
    peer, _ = await RawPeer.linked(mesh, node)
    digest = sha256(CHUNK).hex()
    good = (f"b={BLOB}", "i=0")
    cases = {
        get(b"1", "nothing"): 0x84,
        get(b"1"): 0x84,
        get(b"1", "chunk", digest): 0x80,
        get(b"1", "chunk", digest, query=(f"b={BLOB}", "i=99999999999999999999")): 0x80,
        get(b"1", "chunk", digest, query=(*good, "n=0")): 0x80,
        get(b"1", "chunk", digest, query=(*good, "n=600000")): 0x80,
        get(b"1", "chunk", digest, query=good, more=((23, f.uint(255 << 4 | 7)),)): 0x45,
        get(b"1", "chunk", digest, query=good, more=((23, f.uint(512 << 4 | 7)),)): 0x80,
        get(b"1", "chunk", digest, query=good, more=((23, f.uint(6)),)): 0x82,
        get(b"1", "chunk", digest, query=good, more=((17, b"\x32"),)): 0x86,
        get(b"1", "chunk", digest, query=good, more=((2049, b""),)): 0x82,
        get(b"1", "blob", "nonsense", "manifest"): 0x80,
        get(b"1", "blob", BLOB, "manifest", query=("page=x",)): 0x80,
        f.head(3, b"1", f.encode_options([(11, b"chunk")]), 0): 0x85,
        f.head(Code.GET, b"1", f.encode_options([(11, b"\xff\xfe")]), 0): 0x82,
    }
    for request, code in cases.items():
        peer.write(request)
        frame = await peer.frame()
        assert (frame.code, frame.token) == (code, b"1"), request
    peer.write(get(b"2", "chunk", digest, query=good))
    assert (await peer.frame()).payload == CHUNK


@in_mesh
async def test_unknown_things_that_may_be_ignored_are(mesh: Mesh) -> None:
    node = await mesh.node()
    peer, _ = await RawPeer.linked(mesh, node)
    late = f.head(Code.CONTENT, b"late", b"", 4) + b"late"
    elective = f.head(Code.GET, b"e", f.encode_options([(11, b".well-known"), (11, b"core"), (2048, b"x")]), 0)
    csm_again = f.head(Code.CSM, b"", f.encode_options([(2, f.uint(1 << 20)), (2048, b"x")]), 0)
    peer.write(b"\x00\x00" + late + csm_again + f.head(Code.PONG, b"??", b"", 0) + elective)
    frame = await peer.frame()
    assert (frame.code, frame.token) == (Code.CONTENT, b"e")


@in_mesh
async def test_a_flood_of_messages_is_slowed_down_not_buffered(mesh: Mesh) -> None:
    node = await mesh.node(bounds=LinkBounds(control_rate=200.0, control_burst=100.0))
    peer, _ = await RawPeer.linked(mesh, node)
    flood = post(StateSummary(b"x")) * 400
    peer.write(flood)
    await node.handler.until(lambda: len(node.handler.messages) >= 100)
    assert len(node.handler.messages) < 250
    await node.handler.until(lambda: len(node.handler.messages) == 400)


@in_mesh
async def test_a_connection_that_is_reset_in_any_phase_is_forgotten(mesh: Mesh) -> None:
    node = await mesh.node()
    before = connections()
    member = mesh.authority.contexts(mesh.authority.issue("rude"))[1]
    for context in (None, member):
        peer = await RawPeer.connect(node, context)
        sock: socket.socket = peer.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.writer.transport.abort()
    linked, _ = await RawPeer.linked(mesh, node)
    linked.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    linked.writer.transport.abort()
    await node.handler.until(lambda: node.handler.closed)
    assert node.handler.closed[0][2] is CloseReason.BROKEN
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(5):
            while connections() > before:
                await asyncio.sleep(0.01)
    assert connections() <= before
