"""What this node says of itself, and how it contradicts what others say of it."""

from __future__ import annotations

from dataclasses import replace

from edgecache.core.membership.members import INCARNATION_LEAP, INCARNATION_MAX, LEAP_SECONDS
from edgecache.core.vocabulary import Identity, MachineName, Outbox, TimerKey
from edgecache.model.instant import Instant
from edgecache.model.peer import Address, PeerInfo

REFUTE = TimerKey(MachineName.MEMBERSHIP, "refute")

_EPOCH_SHIFT = 16
"""An incarnation begins with the boot epoch, so that a restart alone refutes what was said of the boot before."""

_CLIMBS_MAX = 64
"""We go above what is said of us in steps that others believe, and ignore what is farther away than so many steps:
nobody shall drive us to the end of the range."""

_CLIMB_SECONDS = 1.1 * LEAP_SECONDS


class OwnFacts:
    """Our own row: only we raise its incarnation."""

    def __init__(self, me: Identity, delay: float) -> None:
        self._delay = delay
        self._heard: int | None = None
        """The highest incarnation said of us that is to be contradicted."""
        first = min(me.epoch << _EPOCH_SHIFT, INCARNATION_MAX - 1)
        self.info = PeerInfo(me.node, me.addresses, me.site, me.name, first)

    def moved(self, addresses: tuple[Address, ...]) -> None:
        """We have other addresses."""
        incarnation = min(self.info.incarnation + 1, INCARNATION_MAX)
        self.info = replace(self.info, addresses=addresses, incarnation=incarnation)

    def contradict(self, incarnation: int, now: Instant, out: Outbox) -> None:
        """Somebody spoke of us at this incarnation, which is at or above ours: answer soon, once for all of them."""
        if incarnation >= min(self.info.incarnation + _CLIMBS_MAX * INCARNATION_LEAP, INCARNATION_MAX):
            return
        if self._heard is None:
            out.timer(REFUTE, now + self._delay)
        self._heard = max(incarnation, self._heard or 0)

    def refute(self, now: Instant, out: Outbox) -> PeerInfo | None:
        """What to tell everybody now; None when nothing was said against us."""
        heard, own = self._heard, self.info.incarnation
        if heard is None:
            return None
        reached = min(max(heard, own) + 1, own + INCARNATION_LEAP, INCARNATION_MAX)
        self._heard = heard if reached <= heard and reached > own else None
        if self._heard is not None:
            out.timer(REFUTE, now + _CLIMB_SECONDS)
        self.info = replace(self.info, incarnation=reached)
        return self.info
