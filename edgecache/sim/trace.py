"""What happened, as one digest (runs that differ anywhere have different ones), and the last lines, for people."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from edgecache.core.vocabulary import (
    BlobGone,
    ChunkFailed,
    ChunkStored,
    Effect,
    Event,
    FetchChunk,
    FetchManifest,
    LinkClosed,
    LinkOpened,
    MemberReported,
    MessageReceived,
    Send,
    SetTimer,
    TimerFired,
    UnitAsked,
    Warned,
)
from edgecache.model.instant import Instant

TAIL = 60
"""Lines kept for whoever has to find out why a run failed."""


def _transfer(item: ChunkStored | ChunkFailed | FetchChunk | UnitAsked) -> str:
    return f"{item.blob[:9]}/{item.index}"


_SHOWN: dict[type, Callable[[Any], str]] = {
    MessageReceived: lambda item: f"{type(item.message).__name__} {item.peer}",
    Send: lambda item: f"{type(item.message).__name__} {item.peer}",
    TimerFired: lambda item: f"{item.key.name} {item.key.subject}",
    SetTimer: lambda item: f"{item.key.name} {item.key.subject}",
    LinkOpened: lambda item: f"{item.link} {item.peer}",
    LinkClosed: lambda item: f"{item.link} {item.peer} {item.reason.value}",
    ChunkStored: _transfer,
    ChunkFailed: lambda item: f"{_transfer(item)} {item.reason.value}",
    FetchChunk: lambda item: f"{_transfer(item)} {item.peer}",
    UnitAsked: lambda item: f"{_transfer(item)} {item.peer}",
    FetchManifest: lambda item: f"{item.blob[:9]}/{item.page} {item.peer}",
    BlobGone: lambda item: str(item.blob[:9]),
    MemberReported: lambda item: f"{item.node} {item.status.name}",
    Warned: lambda item: str(item.text),
}
"""What tells items of one kind apart; of the others the kind is enough."""


def summary(item: Event | Effect) -> str:
    """One item in a few words, the same in every run."""
    kind = type(item)
    shown = _SHOWN.get(kind)
    return f"{kind.__name__} {shown(item)}" if shown else kind.__name__


class Trace:
    """Digest, length and tail of one run."""

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)
        self._tail: deque[tuple[Instant, int, Event, Sequence[Effect]]] = deque(maxlen=TAIL)
        self.events = 0

    def record(self, now: Instant, device: int, event: Event, effects: Sequence[Effect]) -> None:
        """One event and what followed from it: into the digest goes the number of effects, whose own events will show
        what they were."""
        self.events += 1
        self._tail.append((now, device, event, effects))
        self._digest.update(f"{now!r} {device} {summary(event)} {len(effects)};".encode())

    def note(self, text: str) -> None:
        """Something that happened outside the nodes: a fault, a wish."""
        self._digest.update(text.encode())

    @property
    def digest(self) -> str:
        """Of all so far."""
        return self._digest.hexdigest()

    def tail(self) -> list[str]:
        """The last events, one line each."""
        return [
            f"{now:10.4f} #{device:<4} {summary(event)} -> {', '.join(map(summary, effects)) or '-'}"
            for now, device, event, effects in self._tail
        ]
