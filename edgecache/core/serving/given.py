"""What was given to whom: chunks that somebody has by now, and chunks that are given in part.

Theory of operation. While leechers of one blob wait, a chunk that nobody has been given is worth more than one more
copy of another: whoever gets it can pass it on. So it goes first, whoever asks for it, but not more than
`passed_over_max` times in a row. And a chunk that is asked for in parts is of no use to anybody before its last part:
once begun it is finished, before others begin. Who gets more than his share by that owes it, up to a bound, and
goes out of turn no more while he owes as much; of three who ask for nothing but news, a fourth who asks for what was
given before still gets a twelfth instead of a fourth.
"""

from __future__ import annotations

from collections import OrderedDict

from edgecache.core.serving.config import ServingConfig
from edgecache.core.vocabulary import UnitAsked
from edgecache.model.ids import BlobId, NodeId

NEWS_BYTES = 16 * 1024
"""Smaller units, which nobody asks for but of the end of a blob, change nothing here: a byte of each chunk would make
all of them old."""


class Given:
    """A bounded memory of what was granted; what is forgotten counts as not given."""

    def __init__(self, config: ServingConfig) -> None:
        self._most = config.given_max
        self._chunks: OrderedDict[tuple[BlobId, int], None] = OrderedDict()
        self._begun: OrderedDict[tuple[NodeId, BlobId, int], int] = OrderedDict()
        """Bytes granted of chunks that may not be whole yet."""

    def has(self, unit: UnitAsked) -> bool:
        """Whether some of this chunk was given to anybody, or the unit is too small to be news."""
        return unit.size < NEWS_BYTES or (unit.blob, unit.index) in self._chunks

    def begun(self, unit: UnitAsked) -> bool:
        """Whether its asker got a part of this chunk, and not yet all of it."""
        return (unit.peer, unit.blob, unit.index) in self._begun

    def granted(self, unit: UnitAsked) -> None:
        """A unit is given."""
        if unit.size < NEWS_BYTES:
            return
        self._chunks[unit.blob, unit.index] = None
        self._chunks.move_to_end((unit.blob, unit.index))
        key = (unit.peer, unit.blob, unit.index)
        size = self._begun.pop(key, 0) + unit.size
        if size < unit.chunk:
            self._begun[key] = size
        if len(self._chunks) > self._most:
            self._chunks.popitem(last=False)
        if len(self._begun) > self._most:
            self._begun.popitem(last=False)
