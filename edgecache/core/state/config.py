"""Settings of the state machine; times in seconds."""

from __future__ import annotations

from dataclasses import dataclass


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
    """A pull that was not answered is repeated elsewhere after this."""
    tombstone_time: float = 300.0
    """A removed key is kept as a tombstone for so long; who was away longer gets the whole map."""
    silent_after: float = 600.0
    """A dead owner leaves the digests after this ..."""
    forget_after: float = 1200.0
    """... and memory after this (twice, so that it is not learnt again from a slower node)."""
    owners_max: int = 512
    """Maps kept: more than a site should have nodes. At 16 KiB each this bounds the memory at 8 MiB."""

    def __post_init__(self) -> None:
        assert self.silent_after < self.forget_after
