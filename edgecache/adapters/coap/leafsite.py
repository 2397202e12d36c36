"""The resources of the CoAP/UDP server."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from hashlib import sha256
from itertools import islice
from typing import Any

from aiocoap import Message, error, resource
from aiocoap.numbers import codes

from edgecache.adapters.coap.blockwise import Block, Snapshot, Snapshots, block_response, valid
from edgecache.adapters.coap.framing import CONTENT_JSON, CONTENT_OCTETS, Option
from edgecache.adapters.coap.journal import Journal
from edgecache.adapters.coap.leafsource import LeafReading, LeafSource
from edgecache.adapters.coap.linkformat import CONTENT_LINK_FORMAT, WELL_KNOWN, Link, render
from edgecache.adapters.coap.observers import Observers
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import EdgecacheError, NotFound, UsageError
from edgecache.model.ids import BlobId, NodeId, blob_id_to_bytes, parse_blob_id, parse_node_id
from edgecache.model.reading import Failure, parse_series
from edgecache.wire import paths, senml

SENML_FORMATS = (senml.JSON_FORMAT, senml.CBOR_FORMAT)

MAX_AGE = 60
"""Seconds for which a reading may be taken for the latest; observers are told again before."""

FAILURE_MAX_AGE = 10
LISTED_BLOBS_MAX = 256
LISTED_SERIES_MAX = 1024
"""Links in `/.well-known/core`; what is beyond can be read all the same."""

READS_MAX = 16
"""Reads of the store at a time; more clients are asked to wait a second."""

WINDOW_BYTES = 64 * 1024
WINDOWS_MAX = 16
"""Parts of blobs kept in memory: clients ask for 1 KiB after the other, the store verifies a chunk each time."""

assert CHUNK_BYTES % WINDOW_BYTES == 0

_LIST = "list"
_UNDERSTOOD = frozenset(
    (Option.URI_HOST, Option.URI_PORT, Option.URI_PATH, Option.URI_QUERY, Option.ACCEPT, Option.BLOCK2)
)


class LeafSite(resource.ObservableResource):
    """All of them, by path."""

    def __init__(self, source: LeafSource, journal: Journal, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._source, self._journal, self._loop = source, journal, loop
        self._observers = Observers(loop)
        self._snapshots = Snapshots()
        self._windows: OrderedDict[tuple[BlobId, int], bytes] = OrderedDict()
        self._reads = 0
        self._unwatch: Callable[[], None] | None = None

    def start(self) -> None:
        """Begin to hear of changes."""
        self._unwatch = self._source.watch(self._changed)

    def stop(self) -> None:
        """Hear of nothing more."""
        if self._unwatch is not None:
            self._unwatch()
        self._observers.stop()

    # ---- what aiocoap calls

    async def needs_blockwise_assembly(self, request: Message) -> bool:
        """Never: aiocoap would keep whole bodies per client for 93 s."""
        return False

    async def add_observation(self, request: Message, serverobservation: Any) -> None:
        """A GET with Observe."""
        key = self._watched(request)
        source = request.remote.sockaddr[0]
        if key is None:
            serverobservation.accept(lambda: None)
            serverobservation.deregister()
        elif not self._observers.add(key, serverobservation, source):
            self._journal.warning("leaf-observers", f"too many observers; {source} is not one of them")

    async def render(self, request: Message) -> Message:
        """One response."""
        try:
            for option in request.opt.option_list():
                if option.number & 1 and option.number not in _UNDERSTOOD:
                    raise error.BadOption(f"critical option {int(option.number)} is unknown here")
            if request.code != codes.GET:
                raise error.UnallowedMethod
            return await self._get(request)
        except error.RenderableError as refusal:
            return refusal.to_message()
        except (NotFound, UsageError):
            return Message(code=codes.NOT_FOUND)
        except EdgecacheError as problem:
            self._journal.warning("leaf-serve", f"a CoAP/UDP request failed: {problem}")
            return Message(code=codes.INTERNAL_SERVER_ERROR)

    # ---- resources

    async def _get(self, request: Message) -> Message:
        path = request.opt.uri_path
        if path == WELL_KNOWN:
            accept(request, CONTENT_LINK_FORMAT)
            return self._body(request, CONTENT_LINK_FORMAT, lambda: render(self._links(), request.opt.uri_query))
        if path == paths.NODE:
            accept(request, CONTENT_JSON)
            return self._body(request, CONTENT_JSON, lambda: json.dumps(dict(self._source.node())).encode())
        if path == (paths.READING,):
            return self._senml(request, self._source.readings)
        if path[:1] == (paths.READING,) and len(path) > 2:
            return self._reading(request, parse_node_id(path[1]), parse_series("/".join(path[2:])))
        if len(path) == 2 and path[0] == paths.BLOB:
            return await self._blob(request, parse_blob_id(path[1]))
        raise error.NotFound

    def _links(self) -> list[Link]:
        links = [
            Link(paths.NODE, "edgecache.node", (CONTENT_JSON,)),
            Link((paths.READING,), "edgecache.readings", SENML_FORMATS, observable=True),
        ]
        for reading in islice(self._source.readings(), LISTED_SERIES_MAX):
            path = (paths.READING, reading.node, *reading.observation.series.split("/"))
            links.append(Link(path, "edgecache.reading", SENML_FORMATS, observable=True))
        for blob, size in islice(self._source.blobs(), LISTED_BLOBS_MAX):
            links.append(Link((paths.BLOB, blob), "edgecache.blob", (CONTENT_OCTETS,), size))
        return links

    def _reading(self, request: Message, node: NodeId, series: str) -> Message:
        reading = self._source.reading(node, series)
        if reading is None:
            raise error.NotFound
        if isinstance(reading.observation, Failure):
            text = str(reading.observation).encode()
            return Message(code=codes.SERVICE_UNAVAILABLE, max_age=FAILURE_MAX_AGE, payload=text)
        return self._senml(request, lambda: [reading])

    def _senml(self, request: Message, readings: Callable[[], Iterable[LeafReading]]) -> Message:
        content_format = accept(request, *SENML_FORMATS)
        encode = senml.encode_json if content_format == senml.JSON_FORMAT else senml.encode_cbor
        response = self._body(request, content_format, lambda: encode(_records(readings())))
        response.opt.max_age = MAX_AGE
        return response

    def _body(self, request: Message, content_format: int, make: Callable[[], bytes]) -> Message:
        """One block of what `make` renders."""
        block, now = Block.of(request), self._loop.time()

        def snapshot() -> Snapshot:
            body = make()
            return Snapshot(now, body, sha256(body).digest()[:8])

        key = (request.remote, request.opt.uri_path, request.opt.uri_query, content_format)
        taken = self._snapshots.get(key, block, now, snapshot)
        data = taken.body[block.offset : block.offset + block.size]
        return valid(request, taken.etag) or block_response(
            request, block, data, len(taken.body), taken.etag, content_format
        )

    async def _blob(self, request: Message, blob: BlobId) -> Message:
        accept(request, CONTENT_OCTETS)
        size = self._source.blob_size(blob)
        if size is None:
            raise error.NotFound
        block = Block.of(request)
        etag = blob_id_to_bytes(blob)[1:9]
        if (known := valid(request, etag)) is not None:
            return known
        wanted = min(block.size, size - block.offset)
        data = await self._read(blob, block.offset, wanted) if wanted > 0 else b""
        return block_response(request, block, data, size, etag, CONTENT_OCTETS)

    async def _read(self, blob: BlobId, offset: int, size: int) -> bytes:
        """Bytes of a blob, which never cross a window's end: blocks are aligned."""
        begin = offset - offset % WINDOW_BYTES
        window = self._windows.get((blob, begin))
        if window is None:
            if self._reads >= READS_MAX:
                raise _Busy
            self._reads += 1
            try:
                window = await self._source.read_blob(blob, begin, WINDOW_BYTES)
            finally:
                self._reads -= 1
            self._windows[(blob, begin)] = window
        self._windows.move_to_end((blob, begin))
        if len(self._windows) > WINDOWS_MAX:
            self._windows.popitem(last=False)
        return window[offset - begin : offset - begin + size]

    # ---- observation

    def _watched(self, request: Message) -> Hashable:
        """The key of what a request watches; None when it cannot be watched."""
        path = request.opt.uri_path
        if path == (paths.READING,):
            return _LIST
        if path[:1] == (paths.READING,) and len(path) > 2:
            return (path[1], "/".join(path[2:]))
        return None

    def _changed(self, node: NodeId, series: str) -> None:
        self._observers.changed(_LIST)
        reading = self._source.reading(node, series)
        # An error would end the observation: while a source fails, its observers hear nothing.
        if reading is None or not isinstance(reading.observation, Failure):
            self._observers.changed((str(node), series))


class _Busy(error.ServiceUnavailable):
    def to_message(self) -> Message:
        """Try again in a second."""
        return Message(code=codes.SERVICE_UNAVAILABLE, max_age=1)


def accept(request: Message, *offered: int) -> int:
    """The content format to answer in; raises NotAcceptable."""
    wanted = request.opt.accept
    if wanted is None:
        return offered[0]
    if wanted not in offered:
        raise error.NotAcceptable
    return int(wanted)


def _records(readings: Iterable[LeafReading]) -> list[senml.Record]:
    return [
        senml.record_of(reading.node, reading.observation, reading.age)
        for reading in readings
        if not isinstance(reading.observation, Failure)
    ]
