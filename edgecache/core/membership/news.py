"""News to be gossiped: collected for a moment, then passed to every linked peer but the one that told us."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from edgecache.core.membership.members import Member, MemberTable
from edgecache.model.ids import NodeId
from edgecache.model.peer import PeerInfo
from edgecache.wire.limits import PEERS_MAX, RUMOURS_MAX
from edgecache.wire.messages import Gossip, MemberStatus, Rumour


class News:
    """Members whose row changed since they were told, with who told us (None: we found out ourselves)."""

    def __init__(self, per_source: int) -> None:
        self._per_source = per_source
        self._changed: dict[NodeId, NodeId | None] = {}

    def __bool__(self) -> bool:
        return bool(self._changed)

    def add(self, node: NodeId, source: NodeId | None) -> None:
        """A row changed."""
        known = self._changed.get(node, source)
        self._changed[node] = source if known == source else None

    def flush(self, me: NodeId, table: MemberTable, links: Sequence[NodeId]) -> list[tuple[NodeId, Gossip]]:
        """What to send to whom: all that we found out ourselves, and so much of each source; the rest stays."""
        taken: dict[NodeId, NodeId | None] = {}
        counts: dict[NodeId, int] = {}
        for node, source in self._changed.items():
            if source is not None:
                counts[source] = counts.get(source, 0) + 1
            if source is None or counts[source] <= self._per_source:
                taken[node] = source
        for node in taken:
            del self._changed[node]
        out: list[tuple[NodeId, Gossip]] = []
        for peer in links:
            nodes = [node for node, source in taken.items() if peer not in (source, node)]
            rows = [row for node in nodes if (row := table.get(node)) is not None]
            out += [(peer, message) for message in messages_about(me, rows)]
        return out


def messages_about(me: NodeId, rows: Iterable[Member]) -> Iterator[Gossip]:
    """The rows as gossip: living ones as peers, others as rumours, split to the limits of the wire."""
    peers: list[PeerInfo] = []
    rumours: list[Rumour] = []
    for row in rows:
        if row.status is MemberStatus.ALIVE:
            peers.append(row.info)
        else:
            rumours.append(row.rumour(me))
        if len(peers) == PEERS_MAX or len(rumours) == RUMOURS_MAX:
            yield Gossip(tuple(peers), tuple(rumours))
            peers, rumours = [], []
    if peers or rumours:
        yield Gossip(tuple(peers), tuple(rumours))
