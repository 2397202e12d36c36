"""Block2 without state per client but for short-lived snapshots (RFC 7959 section 2.4)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from aiocoap import Message, error
from aiocoap.numbers import codes

SZX_MAX = 6
"""1,024 bytes, the most over UDP."""

SNAPSHOTS_MAX = 32
SNAPSHOT_SECONDS = 30.0
SNAPSHOT_BYTES_MAX = 256 * 1024
"""Bodies that change while a client reads them block by block: who has one, for how long, and how large."""


@dataclass(frozen=True, slots=True)
class Block:
    """The part of a body that a request asks for."""

    number: int
    exponent: int

    @classmethod
    def of(cls, request: Message) -> Block:
        """The request's Block2, or its default; raises BadOption for the reserved exponent."""
        block = request.opt.block2
        if block is None:
            return cls(0, SZX_MAX)
        if block.size_exponent > SZX_MAX:
            raise error.BadOption("no BERT over UDP")
        return cls(block.block_number, block.size_exponent)

    @property
    def size(self) -> int:
        """Bytes of a whole block."""
        return 1 << self.exponent + 4

    @property
    def offset(self) -> int:
        """Where it begins."""
        return self.number * self.size


def valid(request: Message, etag: bytes) -> Message | None:
    """2.03 for a client that has this version already."""
    return Message(code=codes.VALID, etag=etag) if etag in request.opt.etags else None


def block_response(
    request: Message, block: Block, data: bytes, total: int, etag: bytes, content_format: int
) -> Message:
    """2.05 with one block of a body of `total` bytes; `data` begins where the block does."""
    if block.offset and block.offset >= total:
        raise error.BadOption("block out of range")
    response = Message(code=codes.CONTENT, payload=data[: block.size], etag=etag, content_format=content_format)
    more = block.offset + block.size < total
    if more or request.opt.block2 is not None:
        response.opt.block2 = (block.number, more, block.exponent)
    if (more and block.number == 0) or request.opt.size2 is not None:
        response.opt.size2 = total
    return response


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A body as one client began to read it."""

    taken: float
    body: bytes
    etag: bytes


class Snapshots:
    """The latest snapshots, by who reads what."""

    def __init__(self) -> None:
        self._snapshots: OrderedDict[object, Snapshot] = OrderedDict()

    def get(self, key: object, block: Block, now: float, make: Callable[[], Snapshot]) -> Snapshot:
        """The one that was begun, for a later block; a new one for the first."""
        known = self._snapshots.get(key)
        if block.number and known is not None and now - known.taken < SNAPSHOT_SECONDS:
            return known
        snapshot = make()
        if block.size < len(snapshot.body) <= SNAPSHOT_BYTES_MAX:
            self._snapshots[key] = snapshot
            self._snapshots.move_to_end(key)
            if len(self._snapshots) > SNAPSHOTS_MAX:
                self._snapshots.popitem(last=False)
        return snapshot
