"""What we answer to a linked peer's GET besides chunks: manifests, small blobs, the list of resources."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from aiocoap import Message
from aiocoap.numbers import codes

from edgecache.adapters.coap.exchange import SentMessage
from edgecache.adapters.coap.framing import CONTENT_CBOR, CONTENT_OCTETS, Option
from edgecache.adapters.coap.linkformat import CONTENT_LINK_FORMAT, WELL_KNOWN, Link, render
from edgecache.model.errors import EdgecacheError, MalformedMessage, NotFound, UsageError
from edgecache.model.ids import NodeId, parse_blob_id
from edgecache.ports import LinkHandler, Whole
from edgecache.wire import paths
from edgecache.wire.limits import SMALL_BYTES_MAX

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
        if len(path) == 3 and path[0] == paths.BLOB and path[2] == paths.MANIFEST:
            page = paths.parse_page(query)
            if page is None and (most := paths.parse_small(query)):
                return await self._small(peer, request, min(most, SMALL_BYTES_MAX))
            data = await self._handler.serve_manifest(peer, parse_blob_id(path[1]), page)
            return _accepted(request, CONTENT_CBOR if page is None else CONTENT_OCTETS, Message(payload=data))
        raise NotFound("no such resource")

    async def _small(self, peer: NodeId, request: Message, most: int) -> Message:
        """The root, or all of a small blob."""
        blob, priority = parse_blob_id(request.opt.uri_path[1]), paths.parse_priority(request.opt.uri_query)
        found = await self._handler.serve_manifest(peer, blob, None, most, priority)
        if not isinstance(found, Whole):
            return _accepted(request, CONTENT_CBOR, Message(payload=found))
        message = SentMessage(payload=found.data)
        message.on_sent = partial(self._handler.unit_sent, peer, blob, 0, 0)
        return _accepted(request, CONTENT_OCTETS, message)


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
