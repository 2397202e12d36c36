"""What a node remembers between starts besides blobs."""

from __future__ import annotations

from edgecache.store.index import Index


class Remembered:
    """Implements `ports.NodeMemory` on the index."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def meta_get(self, key: str) -> bytes | None:
        """The value of a key, None when it was never set."""
        return self._index.get(f"meta/{key}")

    def meta_set(self, key: str, value: bytes, *, durable: bool = True) -> None:
        """Set a key; without `durable` it survives a kill at once, a power cut only after the next durable change."""
        self._index.put(f"meta/{key}", value, durable=durable)

    def next_epoch(self) -> int:
        """The boot epoch of this start: 1 at the first, then always above all earlier ones; durable."""
        return self._index.next_epoch()
