"""Settings of the yielding machine; times in seconds, rates in bytes per second."""

from __future__ import annotations

from dataclasses import dataclass

from edgecache.model.content import CHUNK_BYTES


@dataclass(frozen=True, slots=True)
class YieldingConfig:
    """Each default with its cost both ways and where it comes from."""

    target: float = 0.025
    """Queueing delay that we are ready to cause. More: queues shorter than this are filled without our noticing; less:
    the jitter of a radio looks like somebody else. RFC 6817 allows up to 0.1, LEDBAT++ has 0.06; cheap routers queue
    50 ms, of which a cubic flow leaves two thirds standing."""
    interval: float = 0.1
    """How often links are measured; steps below are for so long. Above most round trips of a site."""
    filter: int = 3
    """Samples of which the least counts as the delay now (RFC 6817 section 3.4.2): noise only ever adds."""
    base_minutes: int = 10
    """Minutes for which the least delay is remembered (RFC 6817). More: a change of route is noticed late; less: a
    queue that stands for so long counts as the way."""
    start: float = 250e3
    """Rate of a link that was not measured yet. Guess: 2 Mbit/s."""
    least: float = 32e3
    """Never less, so that a transfer goes on, and a ping behind 64 KiB is answered in time. 1 % of 25 Mbit/s."""
    most: float = 1e10
    """Rates beyond say nothing."""
    ramp: float = 0.2
    """Growth in an interval without queue, while the rate is below what the link last carried: doubled in 0.4 s."""
    probe: float = 0.03
    """... and above that. More: faster, but the queue overshoots by what is sent until its delay is seen."""
    cut: float = 0.3
    """Decrease in an interval for each `target` that the delay is beyond it ..."""
    cut_most: float = 0.5
    """... up to this: from 50 Mbit/s to the least in 1 s."""
    draining: float = 0.002
    """A delay that falls by more than this in an interval is a queue that drains. Less: noise stops decreases; more:
    our own overshoot is punished until its last byte has left."""
    memory: float = 0.9
    """Part of what the link carried that is still believed after each time that it was full. More: a link that became
    slow overshoots for longer; less: others who come and go leave us slow."""
    headroom: float = 2.5
    """The rate is at most so many times what was carried lately: unused rate says nothing (RFC 6817 section 2.4.2)."""
    lately: float = 1.0
    """Seconds over which that is counted: at the least rate, units are half a second apart."""
    idle_share: float = 0.02
    """A link that carried less than this part of its rate lately is not in use."""
    step: float = 0.04
    """A change of the rate by less than this is not told. Less: more effects."""
    unit_time: float = 0.03
    """A unit takes at most this at the rate: larger ones are felt as jitter by others. More messages if less."""
    unit_min: int = 16 * 1024
    """Smallest unit."""
    links_max: int = 512
    """Links that are remembered; membership keeps far fewer."""

    def __post_init__(self) -> None:
        assert 0 < self.least <= self.start <= self.most
        assert 0 < self.cut_most < 1
        assert self.filter >= 1
        assert self.unit_min <= CHUNK_BYTES
