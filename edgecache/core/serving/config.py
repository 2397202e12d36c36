"""Settings of the serving machine; times in seconds, sizes in bytes, rates in bytes per second."""

from __future__ import annotations

from dataclasses import dataclass

from edgecache.model.content import CHUNK_BYTES


@dataclass(frozen=True, slots=True)
class ServingConfig:
    """Each default with its cost both ways and where it comes from."""

    upload_rate: int = 0
    """Bytes a second sent to all peers together; 0 is unlimited."""
    upload_burst: float = 0.25
    """Seconds of that rate saved up while nobody asks. Guess."""
    window: int = 16
    """Units of one peer that wait: what our hello advertises; more are refused. Those in progress are not counted, as
    an asker may have a unit before our send queue says that it has left."""
    refused_pause: float = 1.0
    """Max-Age of such a refusal: the smallest that CoAP can say."""
    quantum: int = CHUNK_BYTES
    """Bytes that one round of the deficit round-robin adds to each asker (Shreedhar and Varghese 1995). At least the
    largest unit, so that each round serves everybody; larger would be coarser."""
    bytes_max: int = 12 * 1024**2
    """Bytes in progress, being read or in a send queue: bounds the memory of all links. More than one chunk for each
    link that membership keeps, so that readers that have stalled leave room for everybody else."""
    asker_bytes: int = 2 * CHUNK_BYTES
    """Of these for one asker while less than half is taken, one chunk when more is: one chunk is read while the other
    is sent; a slow reader holds no more than this."""
    asker_units: int = 32
    """Units in progress for one asker: the smallest sensible ones (16 KiB) just fill `asker_bytes`."""
    slots: int = 1280
    """Units in progress for all: that many for each link that membership keeps. Bounds the table."""
    idle_after: float = 5.0
    """An asker that has asked for nothing for so long no longer keeps its link busy."""
    peers_max: int = 256
    """Peers whose served bytes are counted, for people; the one first seen goes."""

    def __post_init__(self) -> None:
        assert self.quantum >= CHUNK_BYTES, "a unit larger than the quantum would wait more than one round"
        assert CHUNK_BYTES <= self.asker_bytes <= self.bytes_max
        assert self.window >= 1
        assert 1 <= self.asker_units <= self.slots
