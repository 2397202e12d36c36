"""How much the store may still take: a cap on its own bytes, and a reserve of the disk that stays free."""

from __future__ import annotations

import threading

from edgecache.model.errors import StoreFull
from edgecache.store.files import Files


class Room:
    """Counts what blobs take. Both limits are in bytes; room for a blob is set aside when it begins. Thread-safe."""

    def __init__(self, files: Files, *, cap: int, reserve: int) -> None:
        self.cap = cap
        self._reserve = reserve
        self._files = files
        self._lock = threading.Lock()
        self._used = 0
        self._promised = 0

    @property
    def used(self) -> int:
        """Bytes of all blobs at their full sizes, and of drafts as far as they are written."""
        return self._used

    def free(self) -> int:
        """Bytes that may still be asked for: what the disk has above the reserve and what is set aside."""
        return max(0, self._files.free() - self._reserve - self._promised)

    def take(self, size: int, *, written: int = 0) -> None:
        """Count a blob that is here already, of which `written` bytes are on the disk."""
        with self._lock:
            self._used += size
            self._promised += size - written

    def ask(self, size: int) -> None:
        """Set room aside; StoreFull when there is none."""
        with self._lock:
            if self._used + size > self.cap:
                raise StoreFull(
                    f"{size} bytes do not fit: {self._used} of {self.cap} are used",
                    hint="remove or unpin blobs, or raise the cap of the store",
                )
            self._check_disk(size, self._promised)
            self._used += size
            self._promised += size

    def check(self, size: int) -> None:
        """StoreFull when writing `size` bytes that were asked for would touch the reserve all the same."""
        self._check_disk(size, 0)

    def wrote(self, size: int) -> None:
        """Bytes that were asked for are on the disk now; negative when they have to be written again."""
        with self._lock:
            self._promised -= size

    def give_back(self, size: int, *, written: int) -> None:
        """A blob of that size is gone, of which `written` bytes were on the disk."""
        with self._lock:
            self._used -= size
            self._promised -= size - written

    def _check_disk(self, size: int, promised: int) -> None:
        free = self._files.free() - self._reserve - promised
        if size > free:
            raise StoreFull(
                f"{size} bytes do not fit: the disk has {max(0, free)} above the reserve of {self._reserve}",
                hint="free some space on that disk, or lower the reserve",
            )
