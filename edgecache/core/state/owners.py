"""Whose maps are kept: owners that live, those that died not long ago, and nobody for a second time."""

from __future__ import annotations

from edgecache.core.state.config import StateConfig
from edgecache.core.state.replica import Replica
from edgecache.core.vocabulary import Identity, MemberChanged
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant
from edgecache.wire.messages import Head, MemberStatus


class Owners:
    """The replicas of others' maps, and when each of them goes.

    An owner that is not known to live counts as gone from when its map came, so that the maps of the dead do not wander
    from those who still have them to those who have forgotten them, and back.
    """

    def __init__(self, me: Identity, config: StateConfig) -> None:
        self._me, self._config = me, config
        self.replicas: dict[NodeId, Replica] = {}
        self._living: dict[NodeId, None] = {}
        self._forgotten: dict[NodeId, Head] = {}
        """Where the maps stood that were dropped with their owners; only later news of them is learnt."""

    @property
    def full(self) -> bool:
        """No other owner's map can be kept."""
        return len(self.replicas) >= self._config.owners_max

    def standing(self, owner: NodeId) -> Head:
        """Where an owner's map stands here."""
        replica = self.replicas.get(owner)
        return replica.head if replica is not None else self._forgotten.get(owner) or Head(owner, 0, 0)

    def is_news(self, head: Head) -> bool:
        """Whether this is above what we have, and we could keep it."""
        return head.position > self.standing(head.owner).position and (head.owner in self.replicas or not self.full)

    def keep(self, replica: Replica, now: Instant) -> None:
        """A map has come for the first time."""
        self._forgotten.pop(replica.owner, None)
        replica.gone_since = None if replica.owner in self._living else now
        self.replicas[replica.owner] = replica

    def member(self, event: MemberChanged, now: Instant) -> None:
        """What is believed of an owner has changed."""
        node, replica = event.info.node, self.replicas.get(event.info.node)
        alive = event.status in (MemberStatus.ALIVE, MemberStatus.SUSPECT) and event.info.site == self._me.site
        self._living.pop(node, None)
        if alive:
            self._forgotten.pop(node, None)
            self._living[node] = None
            if len(self._living) > self._config.owners_max:
                del self._living[next(iter(self._living))]
        if replica is not None and alive:
            replica.gone_since = None
        elif replica is not None and replica.gone_since is None:
            replica.gone_since = now

    def current(self, now: Instant) -> list[Replica]:
        """The maps that take part in digests: all but those of owners that have been gone for long."""
        horizon = now - self._config.silent_after
        return [r for r in self.replicas.values() if r.gone_since is None or r.gone_since > horizon]

    def forget(self, now: Instant) -> list[Replica]:
        """Drop the maps of those that have been gone for very long."""
        horizon = now - self._config.forget_after
        old = [r for r in self.replicas.values() if r.gone_since is not None and r.gone_since < horizon]
        for replica in old:
            del self.replicas[replica.owner]
            self._forgotten[replica.owner] = replica.head
            if len(self._forgotten) > self._config.owners_max:
                del self._forgotten[next(iter(self._forgotten))]
        return old
