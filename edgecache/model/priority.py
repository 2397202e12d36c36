"""How urgent a transfer is."""

from __future__ import annotations

from enum import IntEnum


class Priority(IntEnum):
    """Classes of transfers, most urgent first. A claim of whoever asks: servers keep a share for the classes below."""

    OTA = 0
    """Updates of software: exempt from quiet hours."""
    NORMAL = 1
    """What somebody asked for and waits for."""
    PREFETCH = 2
    """What may be wanted later."""

    @property
    def word(self) -> str:
        """As it is written by people and on the wire."""
        return self.name.lower()


_NAMED = {one.word: one for one in Priority}

PRIORITY_WORDS = tuple(_NAMED)


def priority_named(word: str) -> Priority | None:
    """The class of that name; None when there is none."""
    return _NAMED.get(word)
