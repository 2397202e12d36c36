"""A slow reader: control overtakes bulk, little waits in the socket, and nobody's queue grows without end."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable

from edgecache.adapters.coap.bounds import LinkBounds
from edgecache.adapters.coap.connection import Connection
from edgecache.adapters.coap.framing import Code, head
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import TimedOut, Unreachable
from edgecache.model.ids import NodeId, sha256
from edgecache.model.peer import Limits
from edgecache.wire.messages import Entry, Gossip, Hello, StatePush, StateSummary
from tests.integration.coap.mesh import BLOB, CHUNK, Mesh, Node, in_mesh, with_hello
from tests.integration.coap.rawpeer import CSM, RawPeer, get, hello_request

QUERY = (f"b={BLOB}", "i=0")
DIGEST = sha256(CHUNK)
FLOOR = LinkBounds().queue_bytes_min


async def slow_reader(mesh: Mesh, node: Node) -> RawPeer:
    """A linked peer whose kernel takes little, and that reads when it is told to."""
    with_hello(node, limits=Limits(window=64))
    return (await RawPeer.linked(mesh, node, receive_buffer=8192))[0]


def connection_of(node: Node) -> Connection:
    connection, = node.links._switchboard.links()
    return connection


def in_socket(connection: Connection) -> int:
    """Bytes in the transport and the kernel that the peer has not acknowledged."""
    writer, state = connection.stream._writer, connection.stream.socket_state()
    assert writer is not None
    assert state is not None
    return writer.written - state.acked


@in_mesh
async def test_control_overtakes_bulk(mesh: Mesh) -> None:
    node = await mesh.node()
    peer = await slow_reader(mesh, node)
    for number in range(16):
        peer.write(get(b"c%d" % number, "chunk", DIGEST.hex(), query=QUERY))
    await node.handler.until(lambda: node.handler.units_asked == 16)
    await asyncio.sleep(0.1)
    assert len(node.handler.units_sent) < 8
    large = StatePush(node.id, 1, 0, 1, (Entry("k", 1, b"v" * 4096), Entry("l", 1, b"v" * 4096)), DIGEST, b"s" * 64)
    raw = connection_of(node).peer
    assert raw is not None
    assert node.links.send(raw, large)
    assert node.links.send(raw, StateSummary(b"x"))
    kinds: list[str] = []
    async with asyncio.timeout(20):
        while len(kinds) < 18:
            frame = await peer.frame()
            kinds.append("chunk" if frame.code == Code.CONTENT else "large" if len(frame.payload) > 8000 else "control")
    assert kinds.count("chunk") == 16
    assert kinds.index("control") < 8
    assert kinds.index("control") < kinds.index("large") == 17


def blocking_peer(context: ssl.SSLContext, port: int, first: bytes) -> ssl.SSLSocket:
    """A peer that reads just as much as it is told to: asyncio's streams read in gulps of 256 KiB."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    sock.connect(("127.0.0.1", port))
    peer = context.wrap_socket(sock)
    peer.sendall(first)
    return peer


@in_mesh
async def test_little_waits_in_the_socket_of_a_slow_link(mesh: Mesh) -> None:
    node = await mesh.node()
    with_hello(node, limits=Limits(window=64))
    identity = mesh.authority.issue("raw")
    first = CSM + hello_request(Hello(identity.node, "testmesh", "default", "raw", 1, 0, ()))
    first += b"".join(get(b"c%d" % number, "chunk", DIGEST.hex(), query=QUERY) for number in range(32))
    peer = await asyncio.to_thread(blocking_peer, mesh.authority.contexts(identity)[1], node.port, first)
    await node.handler.until(lambda: node.handler.units_asked == 32)
    connection = connection_of(node)
    async with asyncio.timeout(15):
        # What loopback took at full speed before the reader's buffers were full is drained first.
        while in_socket(connection) > FLOOR:
            await asyncio.to_thread(peer.recv, 16 * 1024)
            await asyncio.sleep(0.02)
    most = 0
    for _ in range(60):
        await asyncio.to_thread(peer.recv, 4 * 1024)
        await asyncio.sleep(0.01)
        most = max(most, in_socket(connection))
    peer.close()
    assert FLOOR / 4 < most <= 1.1 * FLOOR
    assert connection.stream.unacknowledged > 16 * CHUNK_BYTES


@in_mesh
async def test_a_peer_that_takes_no_control_is_dropped(mesh: Mesh) -> None:
    node = await mesh.node(bounds=LinkBounds(control_queue_bytes=100_000))
    peer = await slow_reader(mesh, node)
    raw = connection_of(node).peer
    assert raw is not None
    sent = 0
    async with asyncio.timeout(20):
        while node.links.send(raw, StateSummary(b"x" * 32)):
            sent += 1
            if sent % 1000 == 0:
                await asyncio.sleep(0)
    assert sent * (40 + 256) > 90_000
    await node.handler.until(lambda: node.handler.closed)
    await peer.close()
    assert node.handler.closed[0][3] == "does not take what we send"
    assert "link-slow" in node.log.causes()


async def ask_until_dropped(mesh: Mesh, ask: Callable[[Node, NodeId], Awaitable[object]]) -> None:
    """Ask a peer that reads nothing, again and again, as somebody does whose every request times out."""
    node = await mesh.node(bounds=LinkBounds(control_queue_bytes=100_000))
    peer = await slow_reader(mesh, node)
    raw = connection_of(node).peer
    assert raw is not None
    asked = 0
    while not node.handler.closed and asked < 12_000:
        failed = await asyncio.gather(*(ask(node, raw) for _ in range(200)), return_exceptions=True)
        assert all(isinstance(error, TimedOut | Unreachable) for error in failed)
        asked += len(failed)
    await peer.close()
    assert node.handler.closed
    assert node.handler.closed[0][3] == "does not take what we send"


@in_mesh
async def test_a_peer_that_takes_no_requests_for_chunks_is_dropped(mesh: Mesh) -> None:
    await ask_until_dropped(
        mesh, lambda node, peer: node.links.fetch_unit(peer, BLOB, 0, DIGEST, 0, CHUNK_BYTES, timeout=0.01)
    )


@in_mesh
async def test_a_peer_that_takes_no_requests_for_manifests_is_dropped(mesh: Mesh) -> None:
    await ask_until_dropped(mesh, lambda node, peer: node.links.fetch_manifest(peer, BLOB, None, timeout=0.01))


@in_mesh
async def test_a_peer_that_pings_and_never_listens_is_dropped(mesh: Mesh) -> None:
    node = await mesh.node(bounds=LinkBounds(control_queue_bytes=100_000, control_rate=1e6, control_burst=1e6))
    peer = await slow_reader(mesh, node)
    ping = head(Code.PING, b"tokentok", b"", 0)
    async with asyncio.timeout(20):
        while node.handler.open:
            peer.write(ping * 1000)
            await asyncio.sleep(0.01)
    await node.handler.until(lambda: node.handler.closed)
    assert node.handler.closed[0][3] == "does not take what we send"
    await peer.close()


@in_mesh
async def test_units_that_will_never_be_sent_are_accounted_for(mesh: Mesh) -> None:
    node = await mesh.node()
    peer = await slow_reader(mesh, node)
    for number in range(16):
        peer.write(get(b"c%d" % number, "chunk", DIGEST.hex(), query=QUERY))
    await node.handler.until(lambda: node.handler.units_asked == 16)
    await peer.close()
    await node.handler.until(lambda: node.handler.closed)
    assert len(node.handler.units_sent) + node.handler.units_cancelled == 16


@in_mesh
async def test_a_busy_link_still_answers_pings_quickly(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    link = next(iter(one.handler.open))

    async def load() -> None:
        while True:
            await one.links.fetch_unit(two.id, BLOB, 0, DIGEST, 0, CHUNK_BYTES, 5)

    loads = [asyncio.ensure_future(load()) for _ in range(4)]
    rtts = []
    for _ in range(20):
        _, rtt = await one.links.ping(link, -1.0, 2.0)
        assert rtt is not None
        rtts.append(rtt)
    for task in loads:
        task.cancel()
    await asyncio.gather(*loads, return_exceptions=True)
    assert sorted(rtts)[10] < 0.3
    assert one.links.send(two.id, Gossip())


@in_mesh
async def test_the_socket_is_tuned(mesh: Mesh) -> None:
    one, two = await mesh.pair()
    for node in (one, two):
        transport = connection_of(node).stream._transport
        assert transport is not None
        sock = transport.get_extra_info("socket")
        for level, option, value in (
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 20),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 20_000),
        ):
            assert sock.getsockopt(level, option) == value
        assert 0 < sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) <= FLOOR
