"""Chunks and parts of chunks, asked of us by linked peers: what a link carries most of, answered without the library.

Part of a chunk is one BERT block (RFC 8323 section 6): Block2 with SZX 7, the block number counting 1,024 bytes, the
query `n` naming how many bytes the answer carries at most; without it, as many as the peer takes. The More flag says
whether the chunk goes on behind them.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from edgecache.adapters.coap import framing as f
from edgecache.adapters.coap.bounds import HEAD_ROOM
from edgecache.adapters.coap.connection import Connection
from edgecache.adapters.coap.framing import CONTENT_OCTETS, Code, Frame, Option
from edgecache.adapters.coap.sendqueue import Outgoing
from edgecache.model.content import LARGE_CHUNK_BYTES
from edgecache.model.errors import EdgecacheError, MalformedMessage, NotFound, UsageError
from edgecache.model.ids import BlobId, Digest
from edgecache.model.priority import Priority
from edgecache.ports import LinkHandler, Part, Refusal
from edgecache.wire import paths

BLOCK_BYTES = 1024
SZX_BERT = 7

_CHUNK = paths.CHUNK.encode()
_UNDERSTOOD = frozenset((Option.URI_HOST, Option.URI_PORT))
_OPTION_BYTES_MAX = 4
_RETRY_MAX = 0xFFFFFFFF


class _Refused(Exception):
    """The request is answered with this code and text."""

    def __init__(self, code: Code, text: str = "") -> None:
        self.code, self.text = code, text


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a request for a unit says; `block` is the number of its first block, None when it has no Block2."""

    blob: BlobId
    index: int
    digest: Digest
    offset: int
    size: int
    block: int | None
    priority: Priority


@dataclass(frozen=True, slots=True)
class _Answer:
    code: Code
    options: bytes = b""
    payload: bytes = b""
    sent: Callable[[], None] | None = None


def block_option(block: int, *, more: bool) -> bytes:
    """Value of a Block2 option that names a BERT block."""
    return f.uint(block << 4 | more << 3 | SZX_BERT)


class UnitServer:
    """Answers each request with a task of its own, which ends with its connection."""

    def __init__(self, handler: LinkHandler, warn: Callable[[str, str], None]) -> None:
        self._handler, self._warn = handler, warn
        self._loop = asyncio.get_running_loop()
        self.serving: dict[Connection, set[asyncio.Task[None]]] = {}
        """Answers on their way to the send queue: no more of a connection than its window."""

    @staticmethod
    def takes(frame: Frame) -> bool:
        """Whether a request is for a unit."""
        path = next((value for number, value in frame.options if number == Option.URI_PATH), b"")
        return path == _CHUNK and frame.code == Code.GET

    def requested(self, connection: Connection, frame: Frame) -> None:
        """Answer in time."""
        task = self._loop.create_task(self._serve(connection, frame))
        self.serving.setdefault(connection, set()).add(task)
        task.add_done_callback(lambda _: self._served(connection, task))

    def _served(self, connection: Connection, task: asyncio.Task[None]) -> None:
        serving = self.serving[connection]
        serving.discard(task)
        if not serving:
            del self.serving[connection]

    def left(self, connection: Connection) -> None:
        """Nobody waits for the answers any more."""
        for task in list(self.serving.get(connection, ())):
            task.cancel()

    async def _serve(self, connection: Connection, frame: Frame) -> None:
        answer = await self._answer(connection, frame)
        silent = next((value for number, value in frame.options if number == Option.NO_RESPONSE), b"")
        sent = partial(answered, connection, frame.token, answer.sent)
        if f.is_unwanted(answer.code, int.from_bytes(silent[:_OPTION_BYTES_MAX], "big")):
            sent()
            return
        head = f.head(answer.code, frame.token, answer.options, len(answer.payload))
        connection.stream.send(Outgoing(head, answer.payload, sent))

    async def _answer(self, connection: Connection, frame: Frame) -> _Answer:
        peer = connection.peer
        assert peer is not None, "only links are asked"
        try:
            ask = _read(frame, connection.takes - HEAD_ROOM)
            part = await self._handler.serve_unit(
                peer, ask.blob, ask.index, ask.digest, ask.offset, ask.size, ask.priority
            )
        except _Refused as refused:
            return _Answer(refused.code, payload=refused.text.encode())
        except NotFound:
            return _Answer(Code.NOT_FOUND)
        except (MalformedMessage, UsageError) as error:
            return _Answer(Code.BAD_REQUEST, payload=error.message.encode())
        except Exception as error:
            what = "failed" if isinstance(error, EdgecacheError) else "was not handled, a bug"
            self._warn("link-serve", f"a request of {peer} {what}: {error!r}")
            return _Answer(Code.INTERNAL_SERVER_ERROR)
        if not isinstance(part, Refusal):
            sent = partial(self._handler.unit_sent, peer, ask.blob, ask.index, ask.offset)
            return _Answer(Code.CONTENT, _options(ask, part), part.data, sent)
        if part.retry_after <= 0:
            return _Answer(Code.NOT_FOUND)
        age = f.uint(min(math.ceil(part.retry_after), _RETRY_MAX))
        return _Answer(Code.SERVICE_UNAVAILABLE, f.encode_options(((Option.MAX_AGE, age),)))


def answered(connection: Connection, token: bytes, tell: Callable[[], None] | None) -> None:
    """The last byte of an answer is with the socket layer, or never will be: a place in the window is free."""
    connection.in_progress.discard(token)
    if tell is not None:
        tell()


def _options(ask: _Asked, part: Part) -> bytes:
    options = [(Option.CONTENT_FORMAT, f.uint(CONTENT_OCTETS))]
    if ask.block is not None:
        options.append((Option.BLOCK2, block_option(ask.block, more=part.more)))
    return f.encode_options(options)


def _read(frame: Frame, most: int) -> _Asked:
    """What is asked for by a peer that takes `most` bytes at once; raises _Refused or MalformedMessage."""
    path, query, block = [], [], None
    try:
        for number, value in frame.options:
            if number == Option.URI_PATH:
                path.append(value.decode())
            elif number == Option.URI_QUERY:
                query.append(value.decode())
            elif number == Option.BLOCK2:
                block = _block(value)
            elif number == Option.ACCEPT:
                if int.from_bytes(value[:_OPTION_BYTES_MAX], "big") != CONTENT_OCTETS:
                    raise _Refused(Code.NOT_ACCEPTABLE)
            elif number & 1 and number not in _UNDERSTOOD:
                raise _Refused(Code.BAD_OPTION)
    except UnicodeDecodeError as error:
        raise _Refused(Code.BAD_OPTION) from error
    words = tuple(query)
    digest, blob, index = paths.parse_chunk(tuple(path[1:]), words)
    offset = (block or 0) * BLOCK_BYTES
    rest = LARGE_CHUNK_BYTES - offset
    size = paths.parse_unit(words) or min(rest, most // BLOCK_BYTES * BLOCK_BYTES)
    if not 0 < size <= rest:
        raise MalformedMessage("a part beyond the end of the largest chunk")
    if size > most:
        raise MalformedMessage(f"you take {most} bytes at once: n asks for less")
    return _Asked(blob, index, digest, offset, size, block, paths.parse_priority(words))


def _block(value: bytes) -> int:
    found = int.from_bytes(value[:_OPTION_BYTES_MAX], "big")
    if found & 0xF != SZX_BERT or len(value) >= _OPTION_BYTES_MAX:
        raise _Refused(Code.BAD_OPTION, "parts of chunks are BERT blocks")
    return found >> 4
