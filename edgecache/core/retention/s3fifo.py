"""S3-FIFO by bytes (Yang et al., SOSP'23): three FIFO queues, in which a use only counts and moves nothing.

    new ----------> probation --used twice--> main --used--> main again, at the back
     |                  |                      |
     | known to ghost   '-> gone, name to      '-> gone
     '----> main            ghost

Probation has a tenth of the cap: most blobs are never used again and leave by that short way. The ghost keeps names
only; a blob that comes back while its name is there has proved itself. A blob too large for probation goes straight to
main: it would sweep everything else out of probation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from edgecache.core.retention.config import RetentionConfig
from edgecache.model.ids import BlobId


@dataclass(frozen=True, slots=True)
class Entry:
    """A blob in a queue: its bytes, and how often it was used since it came into that queue."""

    size: int
    hits: int = 0


class S3Fifo:
    """The queues, oldest first. Blobs that may not go stay where they are and are passed over."""

    def __init__(self, cap: int, config: RetentionConfig) -> None:
        self._cap, self._config = cap, config
        self.probation_bytes = int(cap * config.probation_share)
        """Bytes from which on probation gives victims before main does."""
        self._probation: dict[BlobId, Entry] = {}
        self._main: dict[BlobId, Entry] = {}
        self._ghost: dict[BlobId, int] = {}
        self._in_probation = 0
        self._in_ghost = 0

    def copy(self) -> S3Fifo:
        """The same queues, to try something on."""
        twin = S3Fifo(self._cap, self._config)
        twin._probation, twin._main = self._probation.copy(), self._main.copy()
        twin._ghost, twin._in_ghost = self._ghost.copy(), self._in_ghost
        twin._in_probation = self._in_probation
        return twin

    def __contains__(self, blob: BlobId) -> bool:
        return blob in self._probation or blob in self._main

    def __len__(self) -> int:
        return len(self._probation) + len(self._main)

    def blobs(self) -> list[BlobId]:
        """All, probation first, each queue from its oldest."""
        return [*self._probation, *self._main]

    def size(self, blob: BlobId) -> int:
        """Bytes of a blob in the queues."""
        return (self._probation.get(blob) or self._main[blob]).size

    def in_main(self, blob: BlobId) -> bool:
        """Whether it has left probation behind."""
        return blob in self._main

    @property
    def ghosts(self) -> tuple[BlobId, ...]:
        """Names remembered, oldest first."""
        return tuple(self._ghost)

    def admit(self, blob: BlobId, size: int) -> None:
        """A blob that was not here comes in."""
        known = self._ghost.pop(blob, None)
        if known is not None:
            self._in_ghost -= known
        if known is not None or size > self.probation_bytes:
            self._main[blob] = Entry(size)
        else:
            self._probation[blob] = Entry(size)
            self._in_probation += size

    def use(self, blob: BlobId) -> None:
        """Somebody used it."""
        for queue in (self._probation, self._main):
            if (entry := queue.get(blob)) is not None:
                queue[blob] = replace(entry, hits=min(entry.hits + 1, self._config.hits_max))

    def resize(self, blob: BlobId, size: int) -> None:
        """It takes more or fewer bytes than before."""
        if (entry := self._main.get(blob)) is not None:
            self._main[blob] = replace(entry, size=size)
        else:
            entry = self._probation[blob]
            self._in_probation += size - entry.size
            self._probation[blob] = replace(entry, size=size)
            if size > self.probation_bytes:
                self.promote(blob)

    def promote(self, blob: BlobId) -> None:
        """To the back of main, if it is on probation."""
        if (entry := self._probation.pop(blob, None)) is not None:
            self._in_probation -= entry.size
            self._main[blob] = Entry(entry.size)

    def remove(self, blob: BlobId) -> None:
        """It is gone for another reason than eviction; harmless when it is not here."""
        if (entry := self._probation.pop(blob, None)) is not None:
            self._in_probation -= entry.size
        self._main.pop(blob, None)

    def evict(self, may_go: Callable[[BlobId], bool]) -> BlobId | None:
        """Take out the next victim; None when nothing that is here may go."""
        while True:
            probation_first = self._in_probation >= self.probation_bytes
            queues = (self._probation, self._main) if probation_first else (self._main, self._probation)
            blob = next((one for queue in queues for one in queue if may_go(one)), None)
            if blob is None:
                return None
            if blob in self._probation:
                if self._probation[blob].hits >= self._config.promote_hits:
                    self.promote(blob)
                    continue
                self._remember(blob, self._probation[blob].size)
                self.remove(blob)
                return blob
            entry = self._main.pop(blob)
            if not entry.hits:
                return blob
            self._main[blob] = replace(entry, hits=entry.hits - 1)

    def _remember(self, blob: BlobId, size: int) -> None:
        self._ghost[blob] = size
        self._in_ghost += size
        while self._in_ghost > self._cap - self.probation_bytes or len(self._ghost) > self._config.ghosts_max:
            oldest = next(iter(self._ghost))
            self._in_ghost -= self._ghost.pop(oldest)
