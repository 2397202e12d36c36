"""The member table: what is believed of each member, ordered by (incarnation, status) as in SWIM section 4.2."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant
from edgecache.model.peer import PeerInfo
from edgecache.wire.messages import MemberStatus, Rumour

GONE = (MemberStatus.DEAD, MemberStatus.LEFT)

INCARNATION_MAX = 1 << 62
"""What is said beyond it is not believed: a member must be able to go above whatever is said of it, within the wire."""

INCARNATION_LEAP = 1 << 24
"""Hearsay raises an incarnation by no more than this within LEAP_SECONDS, 256 boots, and an accusation by no more than
half of it, so that nobody is lifted to where it cannot refute any more. Whoever was away for longer is believed when it
is met."""

LEAP_SECONDS = 1.0

_ACCUSERS_MAX = 4


@dataclass(slots=True)
class Member:
    """One row: who and where, what is believed since when, and who accuses it."""

    info: PeerInfo
    status: MemberStatus
    since: Instant
    accusers: list[NodeId] = field(default_factory=list)
    met: bool = False
    """We had a link to it: it is not an invention."""
    base: int = 0
    """Its incarnation when we last looked how far hearsay may raise it, and when that was."""
    based: Instant = float("-inf")

    @property
    def rank(self) -> tuple[int, int]:
        """What a rumour has to exceed to change this row."""
        return (self.info.incarnation, int(self.status))

    @property
    def gone(self) -> bool:
        """Dead or departed, as far as we know."""
        return self.status in GONE

    def rumour(self, me: NodeId) -> Rumour:
        """This belief, for others."""
        accuser = self.accusers[0] if self.accusers else me
        return Rumour(self.info.node, self.status, self.info.incarnation, accuser)


class MemberTable:
    """Members by node id, bounded: when full the longest gone makes room; without one a newcomer is not admitted."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._rows: dict[NodeId, Member] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, node: NodeId) -> bool:
        return node in self._rows

    def get(self, node: NodeId) -> Member | None:
        """The row of a node, if any."""
        return self._rows.get(node)

    def rows(self) -> list[Member]:
        """All rows in order of arrival."""
        return list(self._rows.values())

    def alive(self, info: PeerInfo, now: Instant) -> bool:
        """Hear that a member is alive; True when this is news."""
        row = self._rows.get(info.node)
        if row is None:
            if info.incarnation > INCARNATION_MAX or not self._make_room():
                return False
            self._rows[info.node] = Member(info, MemberStatus.ALIVE, now)
            return True
        if not row.info.incarnation < info.incarnation <= self._believable(row, now, INCARNATION_LEAP):
            return False
        self._revive(row, info, now)
        return True

    def met(self, info: PeerInfo, now: Instant) -> bool:
        """A member spoke to us: it is alive, whatever was said; True when this is news."""
        row = self._rows.get(info.node)
        info = replace(info, incarnation=min(info.incarnation, INCARNATION_MAX))
        if row is None:
            if self._make_room():
                self._rows[info.node] = Member(info, MemberStatus.ALIVE, now, met=True)
            return info.node in self._rows
        row.met = True
        refuted = min(row.info.incarnation + (row.status is not MemberStatus.ALIVE), INCARNATION_MAX)
        info = replace(info, incarnation=max(info.incarnation, refuted))
        if row.status is MemberStatus.ALIVE and row.info == info:
            return False
        self._revive(row, info, now)
        return True

    def rumoured(self, rumour: Rumour, now: Instant) -> bool:
        """Apply a rumour about a known member; True when it changed the row or added an independent accuser."""
        row = self._rows.get(rumour.node)
        if row is None or rumour.incarnation > self._believable(row, now, INCARNATION_LEAP // 2):
            return False
        if (rumour.incarnation, int(rumour.status)) > row.rank:
            if rumour.status is not row.status:
                row.since = now
            row.info = replace(row.info, incarnation=rumour.incarnation)
            row.status = rumour.status
            row.accusers = [rumour.accuser] if rumour.status is MemberStatus.SUSPECT else []
            return True
        if (
            rumour.status is MemberStatus.SUSPECT is row.status
            and rumour.incarnation == row.info.incarnation
            and rumour.accuser not in row.accusers
            and len(row.accusers) < _ACCUSERS_MAX
        ):
            row.accusers.append(rumour.accuser)
            return True
        return False

    def forget(self, before: Instant) -> list[NodeId]:
        """Drop members gone since before `before`."""
        old = [node for node, row in self._rows.items() if row.gone and row.since < before]
        for node in old:
            del self._rows[node]
        return old

    def drop_hearsay(self) -> Member | None:
        """When the table is full of the living: forget somebody whom we never met, who may be an invention."""
        if len(self._rows) < self._limit or any(row.gone for row in self._rows.values()):
            return None
        found = next((row for row in self._rows.values() if not row.met), None)
        return self._rows.pop(found.info.node) if found is not None else None

    @staticmethod
    def _revive(row: Member, info: PeerInfo, now: Instant) -> None:
        if row.status is not MemberStatus.ALIVE:
            row.since = now
        row.info, row.status, row.accusers = info, MemberStatus.ALIVE, []

    @staticmethod
    def _believable(row: Member, now: Instant, leap: int) -> int:
        """The highest incarnation that hearsay may give a row at this moment."""
        if now - row.based >= LEAP_SECONDS:
            row.base, row.based = row.info.incarnation, now
        return min(row.base + leap, INCARNATION_MAX)

    def _make_room(self) -> bool:
        if len(self._rows) < self._limit:
            return True
        gone = [row for row in self._rows.values() if row.gone]
        if not gone:
            return False
        oldest = min(gone, key=lambda row: row.since)
        del self._rows[oldest.info.node]
        return True
