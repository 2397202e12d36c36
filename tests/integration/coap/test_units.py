"""How a chunk request is answered, as a peer of another make would see it."""

from __future__ import annotations

import asyncio

import pytest

from edgecache.adapters.coap import framing as f
from edgecache.adapters.coap.framing import Code, Frame, Option, uint
from edgecache.adapters.coap.pacing import NoRests
from edgecache.model.ids import sha256
from edgecache.ports import Refusal
from tests.integration.coap.mesh import BLOB, CHUNK, Mesh, Node, in_mesh
from tests.integration.coap.rawpeer import RawPeer, get

DIGEST = sha256(CHUNK).hex()
QUERY = (f"b={BLOB}", "i=0")


async def ask(node: Node, peer: RawPeer, *more: tuple[int, bytes], query: tuple[str, ...] = QUERY) -> Frame:
    peer.write(get(b"t", "chunk", DIGEST, query=query, more=more))
    frame = await peer.frame()
    assert frame.token == b"t"
    return frame


@in_mesh
async def test_a_chunk_and_its_parts(mesh: Mesh) -> None:
    node = await mesh.node()
    peer, _ = await RawPeer.linked(mesh, node)
    whole = await ask(node, peer, (Option.ACCEPT, b"\x2a"))
    assert (whole.code, whole.options, whole.payload) == (Code.CONTENT, ((Option.CONTENT_FORMAT, b"\x2a"),), CHUNK)
    part = await ask(node, peer, (Option.BLOCK2, uint(16 << 4 | 7)), query=(*QUERY, "n=4096"))
    assert part.payload == CHUNK[16384:20480]
    assert dict(part.options)[Option.BLOCK2] == uint(16 << 4 | 8 | 7), "there is more"
    assert node.handler.units_sent == [(0, 0), (0, 16384)]


@pytest.mark.parametrize(
    ("more", "query", "code"),
    [
        ((), ("b=nonsense", "i=0"), Code.BAD_REQUEST),
        ((), (QUERY[0], "i=0", "n=999999"), Code.BAD_REQUEST),
        (((Option.BLOCK2, uint(1 << 4 | 6)),), QUERY, Code.BAD_OPTION),
        (((Option.BLOCK2, uint(1 << 4 | 8 | 7)),), QUERY, Code.BAD_OPTION),
        (((Option.BLOCK2, b"\xff" * 40),), QUERY, Code.BAD_OPTION),
        (((Option.BLOCK2, uint(512 << 4 | 7)),), QUERY, Code.BAD_REQUEST),
        (((Option.ACCEPT, b"\x3c"),), QUERY, Code.NOT_ACCEPTABLE),
        (((Option.URI_QUERY, b"\xff\xfe"),), QUERY, Code.BAD_OPTION),
        (((65001, b"critical"),), QUERY, Code.BAD_OPTION),
    ],
)
def test_what_cannot_be_served_is_answered_and_costs_no_turn(
    tmp_path_factory: pytest.TempPathFactory, more: tuple[tuple[int, bytes], ...], query: tuple[str, ...], code: Code
) -> None:
    @in_mesh
    async def work(mesh: Mesh) -> None:
        node = await mesh.node()
        peer, _ = await RawPeer.linked(mesh, node)
        assert (await ask(node, peer, *more, query=query)).code == code
        assert node.handler.units_asked == 0
        assert (await ask(node, peer)).payload == CHUNK

    work(tmp_path_factory.mktemp("mesh"))


@in_mesh
async def test_a_request_that_carries_something_is_not_kept(mesh: Mesh) -> None:
    node = await mesh.node()
    peer, _ = await RawPeer.linked(mesh, node)
    node.handler.turn = asyncio.Event()
    options = [(int(Option.URI_PATH), b"chunk"), (int(Option.URI_PATH), DIGEST.encode())]
    options += [(Option.URI_QUERY, part.encode()) for part in QUERY]
    peer.write(f.head(Code.GET, b"t", f.encode_options(options), 100_000) + bytes(100_000))
    assert [frame.code for frame in await peer.ended()] == [Code.ABORT]
    assert node.handler.units_asked == 0


@in_mesh
async def test_refusals_say_when_to_come_back(mesh: Mesh) -> None:
    node = await mesh.node()
    peer, _ = await RawPeer.linked(mesh, node)
    node.handler.refusal = Refusal(2.5)
    frame = await ask(node, peer)
    assert (frame.code, frame.options) == (Code.SERVICE_UNAVAILABLE, ((Option.MAX_AGE, b"\x03"),))
    node.handler.refusal = Refusal()
    assert (await ask(node, peer)).code == Code.NOT_FOUND


@in_mesh
async def test_a_token_in_use_is_not_served_twice(mesh: Mesh) -> None:
    node = await mesh.node()
    peer, _ = await RawPeer.linked(mesh, node)
    node.handler.turn = asyncio.Event()
    for _ in range(100):
        peer.write(get(b"t", "chunk", DIGEST, query=QUERY))
    peer.write(get(b"u", "chunk", DIGEST, query=QUERY))
    await node.handler.until(lambda: node.handler.units_asked == 2)
    node.handler.turn.set()
    assert {(await peer.frame()).token for _ in range(2)} == {b"t", b"u"}
    assert node.handler.units_asked == 2
    assert (await ask(node, peer)).payload == CHUNK


@in_mesh
async def test_who_wants_no_response_gets_none(mesh: Mesh) -> None:
    node = await mesh.node()
    peer, _ = await RawPeer.linked(mesh, node)
    peer.write(get(b"n", "chunk", DIGEST, query=QUERY, more=((Option.NO_RESPONSE, b"\x02"),)))
    assert (await ask(node, peer)).payload == CHUNK
    assert len(node.handler.units_sent) == 2


@in_mesh
async def test_pieces_of_a_chunk_are_counted_until_it_is_here(mesh: Mesh) -> None:
    pieces: list[int] = []

    class Counted(NoRests):
        def piece(self, size: int) -> None:
            pieces.append(size)

    node = await mesh.node(rests=Counted())
    peer, identity = await RawPeer.linked(mesh, node)
    size = len(CHUNK)
    asked = asyncio.create_task(node.links.fetch_unit(identity.node, BLOB, 0, sha256(CHUNK), 0, size, 5.0))
    request = await peer.frame()
    answer = f.head(Code.CONTENT, request.token, b"", size) + CHUNK
    assert pieces == []
    peer.write(answer[: size // 2])
    while sum(pieces) < size // 2:
        await asyncio.sleep(0.001)
    peer.write(answer[size // 2 :])
    assert await asked == CHUNK
    counted = len(pieces)
    peer.write(f.head(Code.PING, b"p", b"", 0))
    assert (await peer.frame()).code == Code.PONG
    assert len(pieces) == counted, "a small message is no piece"


LARGE = bytes(range(256)) * 2048
HALF = len(LARGE) // 2


@in_mesh
async def test_a_large_chunk_and_its_halves(mesh: Mesh) -> None:
    node = await mesh.node()
    node.handler.chunk = LARGE
    peer, _ = await RawPeer.linked(mesh, node)
    whole = await ask(node, peer)
    assert (whole.code, whole.payload) == (Code.CONTENT, LARGE)
    for query in (QUERY, (*QUERY, f"n={HALF}")):
        rest = await ask(node, peer, (Option.BLOCK2, uint(HALF // 1024 << 4 | 7)), query=query)
        assert (rest.payload, dict(rest.options)[Option.BLOCK2]) == (LARGE[HALF:], uint(HALF // 1024 << 4 | 7))
    first = await ask(node, peer, (Option.BLOCK2, b"\x07"), query=(*QUERY, f"n={HALF}"))
    assert (first.payload, dict(first.options)[Option.BLOCK2]) == (LARGE[:HALF], b"\x0f"), "there is more"
    odd = await ask(node, peer, (Option.BLOCK2, b"\x07"), query=(*QUERY, "n=1000"))
    assert (odd.payload, dict(odd.options)[Option.BLOCK2]) == (LARGE[:1000], b"\x0f")


@in_mesh
async def test_more_than_a_peer_takes_at_once_is_not_sent(mesh: Mesh) -> None:
    node = await mesh.node()
    node.handler.chunk = LARGE
    peer, _ = await RawPeer.linked(mesh, node)
    peer.write(f.head(Code.CSM, b"", f.encode_options([(2, f.uint(512 * 1024))]), 0))
    refused = await ask(node, peer, query=(*QUERY, f"n={len(LARGE)}"))
    assert (refused.code, len(refused.payload) < 100) == (Code.BAD_REQUEST, True)
    assert node.handler.units_asked == 0, "it costs no turn"
    room = 511 * 1024
    first = await ask(node, peer, (Option.BLOCK2, b"\x07"))
    assert (first.payload, dict(first.options)[Option.BLOCK2]) == (LARGE[:room], b"\x0f"), "as much as it takes"
    rest = await ask(node, peer, (Option.BLOCK2, uint(511 << 4 | 7)))
    assert (rest.payload, dict(rest.options)[Option.BLOCK2]) == (LARGE[room:], uint(511 << 4 | 7))


@in_mesh
async def test_a_capability_that_is_not_named_again_stays_as_it_was(mesh: Mesh) -> None:
    node = await mesh.node()
    peer, _ = await RawPeer.linked(mesh, node)
    peer.write(f.head(Code.CSM, b"", b"", 0))
    assert (await ask(node, peer)).payload == CHUNK


@in_mesh
async def test_a_large_chunk_is_fetched_at_once_or_in_halves(mesh: Mesh) -> None:
    asker, holder = await mesh.pair()
    holder.handler.chunk = LARGE
    peer, digest = holder.id, holder.handler.digest
    assert await asker.links.fetch_unit(peer, BLOB, 0, digest, 0, 2 * HALF, 5.0) == LARGE
    for offset in (0, HALF):
        assert await asker.links.fetch_unit(peer, BLOB, 0, digest, offset, HALF, 5.0) == LARGE[offset : offset + HALF]
    with pytest.raises(ValueError, match="no part"):
        await asker.links.fetch_unit(peer, BLOB, 0, digest, HALF, HALF + 1, 5.0)
