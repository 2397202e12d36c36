"""What should be retained at the broker, and how far it is: an outbox in which the newest message of a topic wins.

    dirty --take--> in flight --acknowledged--> settled;   lost connection: in flight -> dirty

Memory is bounded by the number of topics, whatever the length of an outage. Pure: no broker here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

TOPICS_MAX = 16_384
"""64 nodes with all 256 series that one can have; some 20 MB with their discovery messages."""

WINDOW = 16
"""Messages that wait for the broker's acknowledgement; mosquitto takes 20 by default."""


class Rank(IntEnum):
    """What goes out first: who bridges, what there is, who is there, what it says."""

    BRIDGE = 0
    CONFIG = 1
    AVAILABILITY = 2
    STATE = 3


@dataclass(slots=True)
class _Slot:
    payload: bytes
    rank: Rank


class Mirror:
    """The retained messages that we are responsible for. An empty payload removes a topic from the broker."""

    def __init__(self, topics_max: int = TOPICS_MAX, window: int = WINDOW) -> None:
        self._topics_max = topics_max
        self._window = window
        self._slots: dict[str, _Slot] = {}
        self._dirty: dict[Rank, dict[str, None]] = {rank: {} for rank in Rank}
        self._flying: dict[int, tuple[str, bytes]] = {}

    def set(self, topic: str, payload: str | bytes, rank: Rank) -> bool:
        """Have `payload` retained under `topic`, also if it is already; False when there are too many topics."""
        data = payload.encode() if isinstance(payload, str) else payload
        slot = self._slots.get(topic)
        if slot is None and len(self._slots) >= self._topics_max:
            return False
        if slot is not None and slot.rank is not rank:
            self._dirty[slot.rank].pop(topic, None)
        self._slots[topic] = _Slot(data, rank)
        self._dirty[rank][topic] = None
        return True

    def clear(self, topic: str, rank: Rank) -> bool:
        """Have nothing retained under `topic`; False when there are too many topics."""
        return self.set(topic, b"", rank)

    def get(self, topic: str) -> bytes | None:
        """What should be retained under `topic`; None when we say nothing of it."""
        slot = self._slots.get(topic)
        return slot.payload if slot and slot.payload else None

    def mark_all(self) -> None:
        """The broker may have forgotten: everything goes out again."""
        self._flying.clear()
        for topic, slot in self._slots.items():
            self._dirty[slot.rank][topic] = None

    def take(self) -> tuple[str, bytes] | None:
        """The next message to publish; None when there is none, or too many are unacknowledged."""
        if len(self._flying) >= self._window:
            return None
        for waiting in self._dirty.values():
            if waiting:
                topic = next(iter(waiting))
                del waiting[topic]
                return topic, self._slots[topic].payload
        return None

    def sent(self, mid: int, topic: str, payload: bytes) -> None:
        """What `take` gave is on its way, under this message id."""
        self._flying[mid] = (topic, payload)

    def acknowledged(self, mid: int) -> str | None:
        """The broker has it; the topic if by that it is gone from the broker."""
        topic, payload = self._flying.pop(mid, ("", b""))
        slot = self._slots.get(topic)
        if slot is None or payload or slot.payload or topic in self._dirty[slot.rank]:
            return None
        del self._slots[topic]
        return topic

    @property
    def settled(self) -> bool:
        """Everything is acknowledged."""
        return not self._flying and not any(self._dirty.values())

    @property
    def waiting(self) -> int:
        """Messages that the broker does not have yet."""
        return len(self._flying) + sum(map(len, self._dirty.values()))

    def __len__(self) -> int:
        return len(self._slots)
