"""What is believed of the members, from our own links and from what others tell, and how it is passed on.

What we see ourselves comes first: while a link to a member is up, only the member speaks for itself, and what others
say of it is passed to it, so that it can refute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecache.core.membership.config import MembershipConfig
from edgecache.core.membership.links import Link, LinkTable
from edgecache.core.membership.members import Member, MemberTable
from edgecache.core.membership.news import News, messages_about
from edgecache.core.membership.own import OwnFacts
from edgecache.core.membership.suspicion import suspicion_timeout
from edgecache.core.vocabulary import Identity, MachineName, MemberChanged, MemberReported, Outbox, TimerKey
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant
from edgecache.model.peer import PeerInfo
from edgecache.wire.messages import Gossip, MemberStatus, Rumour

if TYPE_CHECKING:
    from random import Random

NEWS = TimerKey(MachineName.MEMBERSHIP, "news")
SUSPICION = "suspicion"
_INTRODUCE_MAX = 256
"""Members told to a new link at once; the rest comes from other links and with later gossip."""
_SAMPLE = 8


class Beliefs:
    """The member table, our own facts in it, and the news about it."""

    def __init__(self, me: Identity, config: MembershipConfig, rng: Random, links: LinkTable) -> None:
        self._me, self._config, self._rng, self._links = me.node, config, rng, links
        self.own = OwnFacts(me, config.gossip_delay)
        self.members = MemberTable(config.members_max)
        self._news = News(config.news_per_source)

    # ---- first-hand

    def met(self, link: Link, now: Instant, out: Outbox) -> None:
        """A link opened: the member is alive, whatever was said; it hears of that, so that it can refute."""
        hello, row = link.hello, self.members.get(link.peer)
        if row is not None and row.rank >= (hello.incarnation, int(MemberStatus.SUSPECT)):
            out.send(link.peer, Gossip(rumours=(row.rumour(self._me),)))
        if row is None and (victim := self.members.drop_hearsay()) is not None:
            self._tell(victim.info, MemberStatus.DEAD, out)
        info = PeerInfo(link.peer, hello.addresses, hello.site, hello.name, hello.incarnation)
        if self.members.met(info, now):
            self._changed(link.peer, None, now, out)

    def departed(self, node: NodeId, now: Instant, out: Outbox) -> None:
        """A member said that it leaves."""
        row = self.members.get(node)
        if row is not None:
            self._believe(Rumour(node, MemberStatus.LEFT, row.info.incarnation, node), None, now, out)

    def suspect(self, node: NodeId, now: Instant, out: Outbox) -> None:
        """A link broke, or a dial failed: unless the member refutes, it is gone."""
        row = self.members.get(node)
        if row is not None and row.status is MemberStatus.ALIVE:
            self._believe(Rumour(node, MemberStatus.SUSPECT, row.info.incarnation, self._me), None, now, out)

    def confirm(self, node: NodeId, now: Instant, out: Outbox) -> None:
        """A suspicion was not refuted in time."""
        row = self.members.get(node)
        if row is not None and row.status is MemberStatus.SUSPECT:
            self._believe(Rumour(node, MemberStatus.DEAD, row.info.incarnation, self._me), None, now, out)

    # ---- hearsay

    def heard(self, gossip: Gossip, source: NodeId, now: Instant, out: Outbox) -> None:
        """What a peer tells of itself and of others."""
        asides: dict[NodeId, tuple[list[PeerInfo], list[Rumour]]] = {}
        for info in gossip.peers:
            if info.node == source:
                if info.incarnation >= self._incarnation(source) and self.members.met(info, now):
                    self._changed(source, source, now, out)
            elif self._links.to(info.node) is not None:
                if info.incarnation > self._incarnation(info.node):
                    asides.setdefault(info.node, ([], []))[0].append(info)
            elif info.node == self._me:
                if info.incarnation > self.own.info.incarnation:
                    self.own.contradict(info.incarnation, now, out)
            elif self.members.alive(info, now):
                self._changed(info.node, source, now, out)
        for rumour in gossip.rumours:
            if rumour.node == self._me:
                if rumour.incarnation >= self.own.info.incarnation:
                    self.own.contradict(rumour.incarnation, now, out)
            elif self._links.to(rumour.node) is None:
                self._believe(rumour, source, now, out)
            elif rumour.node != source and rumour.incarnation >= self._incarnation(rumour.node):
                asides.setdefault(rumour.node, ([], []))[1].append(rumour)
        for peer, (infos, rumours) in asides.items():
            out.send(peer, Gossip(tuple(infos), tuple(rumours)))

    def _incarnation(self, node: NodeId) -> int:
        row = self.members.get(node)
        return row.info.incarnation if row is not None else 0

    def _believe(self, rumour: Rumour, source: NodeId | None, now: Instant, out: Outbox) -> None:
        if self.members.rumoured(rumour, now):
            self._changed(rumour.node, source, now, out)

    def _changed(self, node: NodeId, source: NodeId | None, now: Instant, out: Outbox) -> None:
        """A row changed: pass it on, tell the other machines, arm or disarm the suspicion."""
        row = self.members.get(node)
        assert row is not None
        if not self._news:
            out.timer(NEWS, now + self._config.gossip_delay)
        self._news.add(node, source)
        key = TimerKey(MachineName.MEMBERSHIP, SUSPICION, node)
        if row.status is MemberStatus.SUSPECT:
            out.timer(key, row.since + suspicion_timeout(self._config, max(1, len(row.accusers))))
        else:
            out.clear(key)
        self._tell(row.info, row.status, out)

    def _tell(self, info: PeerInfo, status: MemberStatus, out: Outbox) -> None:
        out.tell(MemberChanged(info, status))
        out.effect(MemberReported(info.node, status))

    # ---- telling others

    def flush(self, linked: list[NodeId], now: Instant, out: Outbox) -> None:
        """Pass news on."""
        for peer, message in self._news.flush(self._me, self.members, linked):
            out.send(peer, message)
        if self._news:
            out.timer(NEWS, now + self._config.gossip_delay)

    def refute(self, linked: list[NodeId], now: Instant, out: Outbox) -> None:
        """Contradict what was said of us."""
        if (info := self.own.refute(now, out)) is not None:
            for peer in linked:
                out.send(peer, Gossip(peers=(info,)))

    def introduce(self, peer: NodeId, now: Instant, out: Outbox) -> None:
        """Tell a new link whom we know."""
        self._tell_of(self._current(peer, now), _INTRODUCE_MAX, peer, out)

    def remind(self, linked: list[NodeId], now: Instant, out: Outbox) -> None:
        """Tell a random neighbour of a few random members, against lost news."""
        if linked:
            peer = self._rng.choice(linked)
            self._tell_of(self._current(peer, now), _SAMPLE, peer, out)

    def _current(self, peer: NodeId, now: Instant) -> list[Member]:
        """Whom others should know of: not those who are long gone."""
        horizon = now - self._config.forget_after
        return [row for row in self.members.rows() if row.info.node != peer and not (row.gone and row.since < horizon)]

    def _tell_of(self, rows: list[Member], most: int, peer: NodeId, out: Outbox) -> None:
        chosen = rows if len(rows) <= most else self._rng.sample(rows, most)
        for message in messages_about(self._me, chosen):
            out.send(peer, message)

    # ---- upkeep

    def forget(self, now: Instant) -> list[NodeId]:
        """Drop the long gone: after so much time we no longer tell of them, after twice that we would believe anew that
        they live. Returns those that need not be dialled any more."""
        self.members.forget(now - 2 * self._config.forget_after)
        horizon = now - self._config.forget_after
        return [row.info.node for row in self.members.rows() if row.gone and row.since < horizon]

    def dead(self) -> list[NodeId]:
        """Members that vanished without a goodbye, and are not forgotten."""
        return [row.info.node for row in self.members.rows() if row.status is MemberStatus.DEAD]

    def living(self) -> int:
        """How many members are believed alive."""
        return sum(row.status is MemberStatus.ALIVE for row in self.members.rows())

    def unwatched(self) -> NodeId | None:
        """Somebody who is believed alive and to whom we have no link, if it is time to see for ourselves."""
        if self._rng.random() * self._config.verify_every > self._config.gossip_interval:
            return None
        rows = [row for row in self.members.rows() if row.status is MemberStatus.ALIVE]
        others = [row.info.node for row in rows if self._links.to(row.info.node) is None]
        return self._rng.choice(others) if others else None
