"""The member table: what is believed of each member, ordered by (incarnation, status) as in SWIM section 4.2."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant
from edgecache.model.peer import PeerInfo
from edgecache.wire.messages import MemberStatus, Rumour

GONE = (MemberStatus.DEAD, MemberStatus.LEFT)


@dataclass(slots=True)
class Member:
    """One row: who and where, what is believed since when, and who accuses it."""

    info: PeerInfo
    status: MemberStatus
    since: Instant
    accusers: list[NodeId] = field(default_factory=list)

    @property
    def rank(self) -> tuple[int, int]:
        """What a rumour has to exceed to change this row."""
        return (self.info.incarnation, int(self.status))

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
        """Learn that a member is alive; True when this is news (a new row, a higher incarnation, or new facts)."""
        row = self._rows.get(info.node)
        if row is None:
            if not self._make_room():
                return False
            self._rows[info.node] = Member(info, MemberStatus.ALIVE, now)
            return True
        if info.incarnation > row.info.incarnation:
            if row.status is not MemberStatus.ALIVE:
                row.since = now
            row.info, row.status, row.accusers = info, MemberStatus.ALIVE, []
            return True
        if info.incarnation == row.info.incarnation and info.addresses and not row.info.addresses:
            row.info = info
            return True
        return False

    def rumoured(self, rumour: Rumour, now: Instant) -> bool:
        """Apply a rumour about a known member; True when it changed the row or added an independent accuser."""
        row = self._rows.get(rumour.node)
        if row is None:
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
            and len(row.accusers) < 4
        ):
            row.accusers.append(rumour.accuser)
            return True
        return False

    def forget(self, before: Instant) -> list[NodeId]:
        """Drop members gone since before `before`."""
        old = [node for node, row in self._rows.items() if row.status in GONE and row.since < before]
        for node in old:
            del self._rows[node]
        return old

    def _make_room(self) -> bool:
        if len(self._rows) < self._limit:
            return True
        gone = [row for row in self._rows.values() if row.status in GONE]
        if not gone:
            return False
        oldest = min(gone, key=lambda row: row.since)
        del self._rows[oldest.info.node]
        return True
