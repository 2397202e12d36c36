"""What happened, as one digest (runs that differ anywhere have different ones), and the last lines, for people."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Sequence

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
)
from edgecache.model.instant import Instant

TAIL = 60
"""Lines kept for whoever has to find out why a run failed."""


def summary(item: Event | Effect) -> str:
    """One item in a few words, the same in every run."""
    match item:
        case MessageReceived(peer=peer, message=message):
            return f"{type(message).__name__} from {peer}"
        case Send(peer=peer, message=message):
            return f"Send {type(message).__name__} to {peer}"
        case TimerFired(key=key) | SetTimer(key=key):
            return f"{type(item).__name__} {key.machine.value}/{key.name}/{key.subject}"
        case LinkOpened(link=link, peer=peer) | LinkClosed(link=link, peer=peer):
            return f"{type(item).__name__} {link} {peer}"
        case ChunkStored(blob=blob, index=index) | ChunkFailed(blob=blob, index=index):
            return f"{type(item).__name__} {blob[:9]}/{index}"
        case FetchChunk(peer=peer, blob=blob, index=index) | UnitAsked(peer=peer, blob=blob, index=index):
            return f"{type(item).__name__} {blob[:9]}/{index} {peer}"
        case FetchManifest(peer=peer, blob=blob, page=page):
            return f"FetchManifest {blob[:9]}/{page} {peer}"
        case BlobGone(blob=blob):
            return f"BlobGone {blob[:9]}"
        case MemberReported(node=node, status=status):
            return f"MemberReported {node} {status.name}"
    return type(item).__name__


class Trace:
    """Digest, counts and tail of one run."""

    def __init__(self) -> None:
        self._digest = hashlib.blake2b(digest_size=16)
        self._tail: deque[tuple[Instant, int, Event, Sequence[Effect]]] = deque(maxlen=TAIL)
        self.events: Counter[str] = Counter()

    def record(self, now: Instant, device: int, event: Event, effects: Sequence[Effect]) -> None:
        """One event and what followed from it."""
        self.events[type(event).__name__] += 1
        self._tail.append((now, device, event, effects))
        parts = [f"{now:.9f} {device} {summary(event)}"]
        parts += [summary(effect) for effect in effects]
        self._digest.update("\n".join(parts).encode())

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
