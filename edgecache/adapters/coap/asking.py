"""Our requests to linked peers: manifests, chunks and parts of chunks, with their deadlines and typed failures."""

from __future__ import annotations

import asyncio

from aiocoap import Context, Message, error
from aiocoap.numbers import codes

from edgecache.adapters.coap import framing as f
from edgecache.adapters.coap.connection import Connection
from edgecache.adapters.coap.exchange import Exchange
from edgecache.adapters.coap.framing import CONTENT_OCTETS, Code, Frame, Option
from edgecache.adapters.coap.greeting import diagnostic
from edgecache.adapters.coap.questions import Unanswered
from edgecache.adapters.coap.switchboard import Switchboard
from edgecache.adapters.coap.units import BLOCK_BYTES, SZX_BERT, block_option
from edgecache.model.content import CHUNK_BYTES, LARGE_CHUNK_BYTES
from edgecache.model.errors import Denied, EdgecacheError, MalformedMessage, NotFound, Refused, TimedOut, Unreachable
from edgecache.model.ids import BlobId, Digest, NodeId
from edgecache.model.priority import Priority
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
        return bytes((await self._get(peer, paths.manifest_path(blob), query, timeout)).payload)

    async def small(
        self, peer: NodeId, blob: BlobId, most: int, timeout: float, priority: Priority
    ) -> tuple[bytes, bool]:
        """The root of a manifest and False, or all of a blob of one chunk and True."""
        query = (*paths.small_query(most), *paths.priority_query(priority))
        response = await self._get(peer, paths.manifest_path(blob), query, timeout)
        whole = response.opt.content_format == CONTENT_OCTETS
        if whole and len(response.payload) > most:
            raise MalformedMessage(f"asked for a blob of at most {most} bytes, got {len(response.payload)}")
        return bytes(response.payload), whole

    async def unit(
        self, peer: NodeId, blob: BlobId, index: int, digest: Digest, offset: int, size: int, timeout: float,
        priority: Priority = Priority.NORMAL,
    ) -> bytes | memoryview:
        """Exactly `size` bytes of a chunk; MalformedMessage when the answer is anything else."""
        if size <= 0 or offset < 0 or offset + size > LARGE_CHUNK_BYTES or offset % BLOCK_BYTES:
            raise ValueError(f"no part of a chunk: {size} bytes from {offset}")
        query = (*paths.chunk_query(blob, index), paths.unit_query(size), *paths.priority_query(priority))
        options = [(int(Option.URI_PATH), part.encode()) for part in paths.chunk_path(digest)]
        options += [(Option.URI_QUERY, part.encode()) for part in query]
        part = offset > 0 or size < CHUNK_BYTES
        if part:
            options.append((Option.BLOCK2, block_option(offset // BLOCK_BYTES, more=False)))
        answer = await self._ask(peer, f.encode_options(options), timeout)
        if part and _block_of(answer) != offset // BLOCK_BYTES:
            raise MalformedMessage("the answer is another part of the chunk than was asked for")
        if len(answer.payload) != size:
            raise MalformedMessage(f"asked for {size} bytes of a chunk, got {len(answer.payload)}")
        return answer.payload

    async def _ask(self, peer: NodeId, options: bytes, timeout: float) -> Frame:
        """GET without the library; `options` are encoded."""
        connection = self._to(peer)
        token, coming = connection.questions.ask(timeout)
        try:
            connection.say(f.head(Code.GET, token, options, 0))
            answer = await coming
        finally:
            connection.questions.forget(token)
        if answer is Unanswered.LATE:
            raise TimedOut(f"no answer from {peer} within {timeout:g} s")
        if answer is Unanswered.LOST:
            raise Unreachable(f"the link to {peer} was lost")
        if answer.code != Code.CONTENT:
            age = next((value for number, value in answer.options if number == Option.MAX_AGE), None)
            raise _failure(peer, answer.code, answer.payload, None if age is None else int.from_bytes(age[:4], "big"))
        return answer

    def _to(self, peer: NodeId) -> Connection:
        connection = self._switchboard.to(peer)
        if connection is None:
            raise Unreachable(f"no link to {peer}")
        return connection

    async def _get(self, peer: NodeId, path: tuple[str, ...], query: tuple[str, ...], timeout: float) -> Message:
        request = Message(code=codes.GET, uri_path=path, uri_query=query)
        request.remote = self._exchange.endpoint(self._to(peer))
        try:
            async with asyncio.timeout(timeout):
                response = await self._context.request(request, handle_blockwise=False).response
        except TimeoutError as cause:
            raise TimedOut(f"no answer from {peer} within {timeout:g} s") from cause
        except error.Error as cause:
            raise Unreachable(f"the link to {peer} was lost") from cause
        if response.code != codes.CONTENT:
            raise _failure(peer, int(response.code), response.payload, response.opt.max_age)
        return response


def _block_of(answer: Frame) -> int | None:
    """Number of the BERT block that an answer carries; None when it carries none."""
    found = next((value for number, value in answer.options if number == Option.BLOCK2), b"")
    block = int.from_bytes(found[:4], "big")
    return block >> 4 if block & 0x7 == SZX_BERT else None


def _failure(peer: NodeId, code: int, payload: bytes | memoryview, age: int | None) -> EdgecacheError:
    text = diagnostic(payload)
    said = f"{peer} answers {f.code_text(code)}{f': {text}' if text else ''}"
    if code == Code.NOT_FOUND:
        return NotFound(said)
    if code in (Code.UNAUTHORIZED, Code.FORBIDDEN):
        return Denied(said)
    return Refused(said, retry_after=RETRY_DEFAULT if age is None else float(age))
