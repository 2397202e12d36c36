"""What the CoAP/UDP server needs of the node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from edgecache.model.ids import BlobId, NodeId
from edgecache.model.reading import Observation


@dataclass(frozen=True, slots=True)
class LeafReading:
    """The latest observation of one series of one node."""

    node: NodeId
    observation: Observation
    age: float
    """Seconds since the measurement."""


class LeafSource(Protocol):
    """What is served; called on the event loop."""

    def node(self) -> Mapping[str, object]:
        """What may be told about this node, as JSON."""
        ...

    def readings(self) -> Iterable[LeafReading]:
        """Every series, in a stable order."""
        ...

    def reading(self, node: NodeId, series: str) -> LeafReading | None:
        """One series."""
        ...

    def watch(self, listener: Callable[[NodeId, str], None]) -> Callable[[], None]:
        """Call `listener` when a series has a new observation or is gone; returns how to stop that."""
        ...

    def blobs(self) -> Iterable[tuple[BlobId, int]]:
        """Complete blobs and their sizes."""
        ...

    def blob_size(self, blob: BlobId) -> int | None:
        """Size of a complete blob; None when it is not here as a whole."""
        ...

    async def read_blob(self, blob: BlobId, offset: int, size: int) -> bytes:
        """Verified bytes, fewer than `size` only at the end; NotFound when the blob has gone."""
        ...
