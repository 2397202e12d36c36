"""What we answer to a linked peer's GET: chunks and parts of them, manifests, the list of resources.

Part of a chunk is one BERT block (RFC 8323 section 6): Block2 with SZX 7, the block number counting 1,024 bytes, the
query `n` naming how many bytes the answer carries. The More flag is set unless the part is known to be the last.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from aiocoap import Message
from aiocoap.numbers import codes

from edgecache.adapters.coap.exchange import SentMessage
from edgecache.adapters.coap.framing import Option
from edgecache.adapters.coap.linkformat import CONTENT_LINK_FORMAT, WELL_KNOWN, Link, render
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import EdgecacheError, MalformedMessage, NotFound, UsageError
from edgecache.model.ids import NodeId, parse_blob_id
from edgecache.ports import LinkHandler, Refusal
from edgecache.wire import paths

CONTENT_OCTETS = 42
CONTENT_CBOR = 60
BLOCK_BYTES = 1024
SZX_BERT = 7

LINKS = (
    Link(paths.NODE, "edgecache.node", (CONTENT_CBOR,)),
    Link(paths.GOSSIP, "edgecache.gossip", (CONTENT_CBOR,)),
    Link(paths.DIRECTORY, "edgecache.directory", (CONTENT_CBOR,)),
    Link((paths.BLOB,), "edgecache.blob", (CONTENT_OCTETS, CONTENT_CBOR)),
    Link((paths.CHUNK,), "edgecache.chunk", (CONTENT_OCTETS,)),
)

_UNDERSTOOD = frozenset(
    (Option.URI_HOST, Option.URI_PORT, Option.URI_PATH, Option.URI_QUERY, Option.ACCEPT, Option.BLOCK2)
)
_RETRY_MAX = 0xFFFFFFFF


class MeshSite:
    """The request handler that the mesh's aiocoap context calls."""

    def __init__(self, handler: LinkHandler, warn: Callable[[str, str], None]) -> None:
        self._handler, self._warn = handler, warn

    async def render_to_pipe(self, pipe: Any) -> None:
        """Answer one request; cancelled when its connection is gone."""
        pipe.add_response(await self._answer(pipe.request), is_last=True)

    async def _answer(self, request: Message) -> Message:
        peer = request.remote.connection.peer
        try:
            for option in request.opt.option_list():
                if option.number & 1 and option.number not in _UNDERSTOOD:
                    return Message(code=codes.BAD_OPTION)
            if request.code != codes.GET:
                return Message(code=codes.METHOD_NOT_ALLOWED)
            return await self._get(peer, request)
        except NotFound:
            return Message(code=codes.NOT_FOUND)
        except (MalformedMessage, UsageError) as error:
            return Message(code=codes.BAD_REQUEST, payload=error.message.encode())
        except EdgecacheError as error:
            self._warn("link-serve", f"a request of {peer} failed: {error}")
            return Message(code=codes.INTERNAL_SERVER_ERROR)

    async def _get(self, peer: NodeId, request: Message) -> Message:
        path, query = request.opt.uri_path, request.opt.uri_query
        if path == WELL_KNOWN:
            return _accepted(request, CONTENT_LINK_FORMAT, Message(payload=render(LINKS, query)))
        if path[:1] == (paths.CHUNK,):
            return _accepted(request, CONTENT_OCTETS, await self._chunk(peer, request))
        if len(path) == 3 and path[0] == paths.BLOB and path[2] == paths.MANIFEST:
            page = paths.parse_page(query)
            data = await self._handler.serve_manifest(peer, parse_blob_id(path[1]), page)
            return _accepted(request, CONTENT_CBOR if page is None else CONTENT_OCTETS, Message(payload=data))
        raise NotFound("no such resource")

    async def _chunk(self, peer: NodeId, request: Message) -> Message:
        query, block = request.opt.uri_query, request.opt.block2
        digest, blob, index = paths.parse_chunk(request.opt.uri_path[1:], query)
        if block is not None and (block.size_exponent != SZX_BERT or block.more):
            return Message(code=codes.BAD_OPTION, payload=b"parts of chunks are BERT blocks")
        offset = block.block_number * BLOCK_BYTES if block is not None else 0
        size = paths.parse_unit(query) or CHUNK_BYTES - offset
        if size <= 0 or offset + size > CHUNK_BYTES:
            raise MalformedMessage("a part beyond the end of the largest chunk")
        data = await self._handler.serve_unit(peer, blob, index, digest, offset, size)
        if isinstance(data, Refusal):
            if data.retry_after <= 0:
                return Message(code=codes.NOT_FOUND)
            return Message(code=codes.SERVICE_UNAVAILABLE, max_age=min(math.ceil(data.retry_after), _RETRY_MAX))
        message = SentMessage(payload=data)
        if block is not None:
            more = len(data) == size and len(data) % BLOCK_BYTES == 0 and offset + size < CHUNK_BYTES
            message.opt.block2 = (block.block_number, more, SZX_BERT)
        message.on_sent = partial(self._handler.unit_sent, peer, blob, index, offset)
        return message


def _accepted(request: Message, content_format: int, response: Message) -> Message:
    if response.code is not None:
        return response
    if request.opt.accept not in (None, content_format):
        if (sent := getattr(response, "on_sent", None)) is not None:
            sent()
        return Message(code=codes.NOT_ACCEPTABLE)
    response.code = codes.CONTENT
    response.opt.content_format = content_format
    return response
