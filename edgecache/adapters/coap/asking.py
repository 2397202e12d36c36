"""Our requests to linked peers: manifests, chunks and parts of chunks, with their deadlines and typed failures."""

from __future__ import annotations

import asyncio

from aiocoap import Context, Message, error
from aiocoap.numbers import codes

from edgecache.adapters.coap.exchange import Exchange
from edgecache.adapters.coap.greeting import diagnostic
from edgecache.adapters.coap.site import BLOCK_BYTES, SZX_BERT
from edgecache.adapters.coap.switchboard import Switchboard
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import Denied, EdgecacheError, MalformedMessage, NotFound, Refused, TimedOut, Unreachable
from edgecache.model.ids import BlobId, Digest, NodeId
from edgecache.wire import paths

RETRY_DEFAULT = 60.0
"""Max-Age of a response that names none (RFC 7252 section 5.10.5)."""


class Asker:
    """GET over the most recent link to a peer."""

    def __init__(self, context: Context, exchange: Exchange, switchboard: Switchboard) -> None:
        self._context, self._exchange, self._switchboard = context, exchange, switchboard

    async def manifest(self, peer: NodeId, blob: BlobId, page: int | None, timeout: float) -> bytes:
        """The root of a manifest, or one page of it."""
        query = () if page is None else (f"page={page}",)
        return bytes((await self._get(peer, paths.manifest_path(blob), query, None, timeout)).payload)

    async def unit(
        self, peer: NodeId, blob: BlobId, index: int, digest: Digest, offset: int, size: int, timeout: float
    ) -> bytes:
        """Exactly `size` bytes of a chunk; MalformedMessage when the answer is anything else."""
        if size <= 0 or offset < 0 or offset + size > CHUNK_BYTES or offset % BLOCK_BYTES:
            raise ValueError(f"no part of a chunk: {size} bytes from {offset}")
        query = (*paths.chunk_query(blob, index), paths.unit_query(size))
        block = None if size == CHUNK_BYTES else (offset // BLOCK_BYTES, False, SZX_BERT)
        response = await self._get(peer, paths.chunk_path(digest), query, block, timeout)
        got = response.opt.block2
        if block is not None and (got is None or (got.block_number, got.size_exponent) != (block[0], SZX_BERT)):
            raise MalformedMessage("the answer is another part of the chunk than was asked for")
        if len(response.payload) != size:
            raise MalformedMessage(f"asked for {size} bytes of a chunk, got {len(response.payload)}")
        return bytes(response.payload)

    async def _get(
        self, peer: NodeId, path: tuple[str, ...], query: tuple[str, ...], block: tuple[int, bool, int] | None,
        timeout: float,
    ) -> Message:
        connection = self._switchboard.to(peer)
        if connection is None:
            raise Unreachable(f"no link to {peer}")
        request = Message(code=codes.GET, uri_path=path, uri_query=query)
        if block is not None:
            request.opt.block2 = block
        request.remote = self._exchange.endpoint(connection)
        try:
            async with asyncio.timeout(timeout):
                response = await self._context.request(request, handle_blockwise=False).response
        except TimeoutError as cause:
            raise TimedOut(f"no answer from {peer} within {timeout:g} s") from cause
        except error.Error as cause:
            raise Unreachable(f"the link to {peer} was lost") from cause
        if response.code != codes.CONTENT:
            raise _failure(peer, response)
        return response


def _failure(peer: NodeId, response: Message) -> EdgecacheError:
    text = diagnostic(response.payload)
    said = f"{peer} answers {response.code}{f': {text}' if text else ''}"
    if response.code == codes.NOT_FOUND:
        return NotFound(said)
    if response.code in (codes.UNAUTHORIZED, codes.FORBIDDEN):
        return Denied(said)
    if response.code in (codes.SERVICE_UNAVAILABLE, codes.TOO_MANY_REQUESTS):
        age = response.opt.max_age
        return Refused(said, retry_after=RETRY_DEFAULT if age is None else float(age))
    return Refused(said, retry_after=RETRY_DEFAULT)
