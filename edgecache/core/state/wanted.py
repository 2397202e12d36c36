"""Announced news that have not come yet: who announced them, to be asked one after the other."""

from __future__ import annotations

from edgecache.core.state.config import StateConfig
from edgecache.model.ids import NodeId
from edgecache.wire.messages import Head

_ANNOUNCERS_MAX = 3
_SHARE = 4
"""One peer may fill a quarter of the table, so that announcements without end do not crowd out the others'."""


class Wanted:
    """Heads by owner and announcer, the first announcer first."""

    def __init__(self, config: StateConfig) -> None:
        self._limit = config.owners_max
        self._heads: dict[NodeId, dict[NodeId, Head]] = {}
        self._first: dict[NodeId, int] = {}
        """How many owners each peer was the first to announce."""

    def announced(self, head: Head, peer: NodeId) -> bool:
        """A peer says that it has this; True when nobody did before."""
        known = self._heads.get(head.owner)
        if known is not None:
            if peer in known or len(known) < _ANNOUNCERS_MAX:
                known[peer] = head
            return False
        count = self._first.get(peer, 0)
        if len(self._heads) >= self._limit or count >= max(1, self._limit // _SHARE):
            return False
        self._heads[head.owner] = {peer: head}
        self._first[peer] = count + 1
        return True

    def next(self, owner: NodeId, position: tuple[int, int]) -> NodeId | None:
        """Whom to ask for something of this owner that is above `position`; each is named once."""
        while known := self._heads.get(owner):
            peer = next(iter(known))
            head = known[peer]
            self._drop(owner, peer)
            if head.position > position:
                return peer
        return None

    def __contains__(self, owner: NodeId) -> bool:
        return owner in self._heads

    def came(self, head: Head) -> None:
        """The map of an owner has reached this head."""
        for peer, announced in list(self._heads.get(head.owner, {}).items()):
            if announced.position <= head.position:
                self._drop(head.owner, peer)

    def lost(self, peer: NodeId) -> None:
        """Nothing can be asked of this peer any more."""
        for owner in [owner for owner, known in self._heads.items() if peer in known]:
            self._drop(owner, peer)

    def _drop(self, owner: NodeId, peer: NodeId) -> None:
        known = self._heads[owner]
        if next(iter(known)) == peer:
            self._count(peer, -1)
            if following := list(known)[1:2]:
                self._count(following[0], 1)
        del known[peer]
        if not known:
            del self._heads[owner]

    def _count(self, peer: NodeId, change: int) -> None:
        count = self._first.pop(peer, 0) + change
        if count > 0:
            self._first[peer] = count
