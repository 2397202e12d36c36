"""Fewer wake-ups while chunks trickle in: the event loop looks for more only when there may be something to do.

Theory of operation. A packet of a chunk on its way is nothing to act upon, and waking up for it costs more than
decrypting it. So when a turn of the loop brought a little of unfinished chunks, sockets are left alone for a moment,
and the kernel collects; network drivers coalesce interrupts in the same way. The more connections brought
something, the longer the rest, as each brings less in a given time; and the more came, the shorter. The kernel may hold
back its acknowledgements until the data is read, so a rest is short beside a round trip of a home network: a sender
that has only one or two connections would be slowed down. Timers are on time, and without chunks on their way nothing
rests.

Where the processor is short, the loop waits for it each time that it wakes up, and what it finds then takes less than
the waking. So rests are in proportion to that wait, and no longer short beside a round trip: nothing is done sooner
there by looking more often, and more is done by looking less.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable
from typing import Protocol

REST_SECONDS = 0.001
"""Rest for each connection that brought a piece. More: fewer wake-ups; less: acknowledgements and control messages are
not held up. Measured, two fetch from one at 50 Mbit/s: done after 6.7 s without, 6.6 to 6.9 s at 1 ms with half the
CPU, 7.2 s at 2.2 ms, with hardly less."""

REST_MAX_SECONDS = 0.005
"""... and at most. Measured, 8 agents at 20 Mbit/s: 20 % less CPU than without any rest."""

ENOUGH_BYTES = 64 * 1024
"""After a turn that brought so much there is no rest. Guess: a quarter of a chunk."""

ENOUGH_BYTES_MAX = 256 * 1024
"""... or, where rests are longer, after so much: that is all that is read of a connection at a time; more may wait."""

SLACK_WAITS = 10
"""A rest may be so many times the wait for the processor: of what passes between two looks a tenth is that wait. More:
later; less: more of the processor goes into waking up. Measured, 8 agents: they wait 0.4 ms on two cores, 3 on one, 5
on half of one."""

SLACK_SECONDS = 0.06
"""... and at most this. More: whatever comes over the network is later; measured, 0.1 s gained nothing."""

STRAINED_SECONDS = 0.02
"""With so much slack the processor is short enough to say less often what is new. Less: eight agents on two cores come
to 10 ms in a bad hour of the machine, and lose 4 % by it; more: they have 28 on one core, 52 on half of one."""

SAMPLE_SECONDS = 0.5
"""The wait is the mean over so long: some 50 turns on the processor where it is short. Less: nervous; more: late."""


class RunQueue(Protocol):
    """The kernel's queue of those who could run."""

    def wait(self) -> float:
        """Mean seconds that this thread waited in it each time, since the last call."""
        ...


class CoalescingSelector(selectors.EpollSelector):
    """epoll for one event loop; not thread-safe, as none is."""

    def __init__(
        self, queue: RunQueue, *, monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__()
        self._queue, self._monotonic, self._sleep = queue, monotonic, sleep
        self._slack = self._sample_at = 0.0
        self._pieces = self._bytes = 0
        self._resting_until = 0.0
        """0 when nothing rests."""

    def piece(self, size: int) -> None:
        """A read brought so many bytes and ended within a large message."""
        self._pieces += 1
        self._bytes += size

    def slack(self) -> float:
        """Seconds by which bulk may be late because the processor is short; 0 on one that is not."""
        return self._slack_at(self._monotonic())

    def strained(self) -> bool:
        """Whether there was much slack when it was last needed, a moment ago; asking takes no sample."""
        return self._slack >= STRAINED_SECONDS and self._monotonic() < self._sample_at + SAMPLE_SECONDS

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As the base class, but sockets that become ready while the loop rests are found at its end."""
        if not self._pieces and not self._resting_until:
            return super().select(timeout)
        now = self._monotonic()
        if self._pieces:
            self._resting_until = now + self._due(max(1.0, self._slack_at(now) / REST_MAX_SECONDS))
            self._pieces = self._bytes = 0
        rest = max(0.0, self._resting_until - now)
        if timeout is not None and timeout < rest:  # a timer is due, or a callback waits
            if timeout > 0:
                self._sleep(timeout)
            return []
        if rest > 0:  # sleeping for 0 seconds takes 80 us
            self._sleep(rest)
        self._resting_until = 0.0
        return super().select(None if timeout is None else timeout - rest)

    def _due(self, stretch: float) -> float:
        part = max(0.0, 1 - self._bytes / min(ENOUGH_BYTES * stretch, ENOUGH_BYTES_MAX))
        return stretch * min(REST_SECONDS * self._pieces, REST_MAX_SECONDS) * part

    def _slack_at(self, now: float) -> float:
        late = now - self._sample_at
        if late >= 0:
            slack = self._queue.wait() * SLACK_WAITS
            # After a silence the mean is of what was before, perhaps of our own start.
            self._slack = min(slack, SLACK_SECONDS) if slack > REST_MAX_SECONDS and late < SAMPLE_SECONDS else 0.0
            self._sample_at = now + SAMPLE_SECONDS
        return self._slack


def event_loop(selector: CoalescingSelector) -> asyncio.AbstractEventLoop:
    """The loop of asyncio over that selector. It looks at the clock 70 times for a chunk that comes through a swarm:
    here that is the system's function, without a method around it.
    """
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = time.monotonic  # type: ignore[method-assign]
    return loop
