"""What plain CoAP clients are told: readings of the whole site, and the complete blobs of this node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from edgecache.adapters.coap.leafsource import LeafReading, LeafSource
from edgecache.core import vocabulary as v
from edgecache.daemon.engine import Engine, Lane
from edgecache.daemon.readings import BoardEntry, ReadingsBoard
from edgecache.model.errors import NotFound
from edgecache.model.ids import BlobId, NodeId
from edgecache.wire.reading import series_of


class SiteLeafSource(LeafSource):
    """The node, as the CoAP/UDP server sees it."""

    def __init__(self, engine: Engine, board: ReadingsBoard, facts: Mapping[str, object]) -> None:
        self._engine, self._board, self._facts = engine, board, facts

    def node(self) -> Mapping[str, object]:
        """Name, id, site, version: nothing that helps an attacker more than mDNS does."""
        return self._facts

    def readings(self) -> Iterable[LeafReading]:
        """Every series of every node, by node and series."""
        return [_shown(entry) for entry in self._board.entries()]

    def reading(self, node: NodeId, series: str) -> LeafReading | None:
        """One series."""
        entry = self._board.entry(node, series)
        return _shown(entry) if entry is not None else None

    def watch(self, listener: Callable[[NodeId, str], None]) -> Callable[[], None]:
        """Call `listener` when a series has a new observation or is gone."""

        def heard(report: v.Report) -> None:
            if isinstance(report, v.MapChanged):
                for series in filter(None, map(series_of, report.keys)):
                    listener(report.owner, series)

        return self._engine.listen(heard)

    def blobs(self) -> Iterable[tuple[BlobId, int]]:
        """Complete blobs and their sizes."""
        return [(stored.info.blob, stored.info.size) for stored in self._engine.store.blobs() if stored.complete]

    def blob_size(self, blob: BlobId) -> int | None:
        """Size of a complete blob; None when it is not here as a whole."""
        try:
            stored = self._engine.store.blob(blob)
        except NotFound:
            return None
        return stored.info.size if stored.complete else None

    async def read_blob(self, blob: BlobId, offset: int, size: int) -> bytes:
        """Verified bytes, fewer than `size` only at the end."""
        engine, parts = self._engine, []
        info = engine.store.blob(blob).info
        end = min(offset + size, info.size)
        if offset == 0:
            engine.post(v.BlobRead(blob))
        while offset < end:
            index, start = divmod(offset, info.chunk_size)
            part = min(info.chunk_size - start, end - offset)
            parts.append(await engine.in_store(engine.store.read, blob, index, start, part, lane=Lane.READ))
            offset += part
        return b"".join(parts)


def _shown(entry: BoardEntry) -> LeafReading:
    return LeafReading(entry.node, entry.observation, entry.age)
