"""Classes of fetches that go on after a restart."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress

from edgecache.model.errors import UsageError
from edgecache.model.ids import BlobId, parse_blob_id
from edgecache.model.priority import Priority, priority_named

KEPT_MAX = 256
"""Fetches whose class is remembered: more than are under way at once; the one first asked for goes."""


class Priorities:
    """What is not of the normal class, as it is kept on disk."""

    def __init__(self, kept: bytes | None = None, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` has `data` kept. What cannot be read of `kept` is left out: those fetches are normal ones."""
        self._changed = changed
        self._known: dict[BlobId, Priority] = {}
        with suppress(ValueError, RecursionError, AttributeError):
            for blob, word in list(json.loads(kept or b"{}").items())[:KEPT_MAX]:
                with suppress(UsageError):
                    found = priority_named(str(word))
                    if found is not None:
                        self._known[parse_blob_id(blob)] = found

    def of(self, blob: BlobId) -> Priority:
        """The class of a fetch."""
        return self._known.get(blob, Priority.NORMAL)

    def set(self, blob: BlobId, priority: Priority) -> None:
        """A blob is fetched in this class, or in a more urgent one that it has already."""
        known = self._known.get(blob)
        if known is None and priority is Priority.NORMAL:
            return
        if known is None and len(self._known) >= KEPT_MAX:
            del self._known[next(iter(self._known))]
        self._known[blob] = priority if known is None else min(known, priority)
        self._changed()

    def forget(self, blob: BlobId) -> None:
        """It is not fetched any more."""
        if self._known.pop(blob, None) is not None:
            self._changed()

    def data(self) -> bytes:
        """As it is kept."""
        return json.dumps({blob: priority.word for blob, priority in self._known.items()}).encode()


def priority_of(word: object) -> Priority:
    """What a user asks for; raises UsageError."""
    found = priority_named(str(word))
    if found is None:
        raise UsageError(f"{word!r} is no class of transfers", hint="one of: " + ", ".join(p.word for p in Priority))
    return found
