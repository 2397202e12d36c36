"""Settings of the state machine; times in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from edgecache.wire.limits import HEADS_MAX


@dataclass(frozen=True, slots=True)
class StateConfig:
    """Each default with its cost both ways and where it comes from."""

    flush_delay: float = 0.2
    """Own changes are collected for so long and signed once. More: fewer signatures and messages, later readings; a
    reading has to be everywhere within 1 s (design section 9)."""
    lazy_delay: float = 0.3
    """Announcements to lazy neighbours are collected for so long. Plumtree section 3.4; guess for a LAN."""
    graft_delay: float = 0.5
    """How long announced news may stay away before it is pulled and the announcer becomes an eager neighbour."""
    summary_interval: float = 12.0
    """A hash over all heads goes to a random neighbour this often: 60 bytes. Anti-entropy, Scuttlebutt section 3."""
    pull_retry: float = 2.0
    """A pull that was not answered is repeated with the next announcer after this."""
    answer_rate: int = 64 * 1024
    """Bytes a second of pushes and digests that one neighbour's questions are worth: twenty bytes can ask for all that
    a site knows. More: a newcomer of a large site is sooner complete; less: a hostile one costs less."""
    answer_burst: int = 512 * 1024
    """The same, at once: all maps of a site of 50 nodes with 10 KiB each. Well below what the transport queues for a
    peer before it gives up on it."""
    owner_rate: int = 64 * 1024
    """Bytes a second of one owner's pushes that are taken and passed on; what is beyond is pulled later. More than
    256 series that change four times a second. Guess."""
    owner_burst: int = 256 * 1024
    """The same, at once."""
    tombstone_time: float = 300.0
    """A removed key is kept as a tombstone for so long; who was away longer gets the whole map."""
    silent_after: float = 600.0
    """A dead owner leaves the digests after this ..."""
    forget_after: float = 1200.0
    """... and memory after this (twice, so that it is not learnt again from a slower node)."""
    owners_max: int = HEADS_MAX - 1
    """Maps of others kept: with our own, what one digest can list, and more than a site should have. At 16 KiB each
    this bounds the memory at 8 MiB."""

    def __post_init__(self) -> None:
        assert self.silent_after < self.forget_after
        assert self.owners_max < HEADS_MAX, "a digest that leaves somebody out would never be in sync"
