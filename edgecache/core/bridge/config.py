"""Settings of the bridge machine; times in seconds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """Each default with its cost both ways and where it comes from.

    A bridge whose cable is cut is suspected within 7.5 s; with `suspect_grace`, `claim_jitter` and the way to the
    broker another has taken over before the 15 s that are promised.
    """

    suspect_grace: float = 2.0
    """A suspected bridge counts as gone after this. Less: a hiccup moves the bridge; more: a later hand-over."""
    settle: float = 3.0
    """A node that has just reached the broker for the first time does not claim before this: it has to hear who
    bridges. More: a later first message after the whole site starts. Guess: links stand within 3 s."""
    claim_jitter: float = 0.5
    """The first in rank claims within this. Guess."""
    claim_step: float = 1.5
    """Each next in rank waits so much longer: long enough to hear of the claim of the one before (state is everywhere
    within 1 s)."""
    broker_grace: float = 6.0
    """A bridge that lost the broker steps back after this if somebody else reaches it. Less: a restarted broker, which
    everybody loses for a while, moves the bridge; more: silence for longer when only the bridge lost it. Guess."""
    fence_backoff: float = 3.0
    """After the broker preferred another session, no claim for so long, doubled each time ..."""
    fence_backoff_max: float = 60.0
    """... up to this: two halves of a split site that both reach the broker take turns no faster."""
    stable_after: float = 60.0
    """A term that lasted so long ends the doubling."""
    owners_max: int = 1024
    """Nodes whose facts are kept: more than a site should have."""

    def __post_init__(self) -> None:
        assert self.claim_jitter < self.claim_step
        assert 7.5 + self.suspect_grace + self.claim_jitter < 12.0, "the rest of 15 s is for the way to the broker"
        assert 0 < self.fence_backoff <= self.fence_backoff_max
