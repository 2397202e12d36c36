"""The membership machine.

Theory of operation. Three tables: the address book (hints where peers may be), the link table (connections that exist)
and the member table (what is believed of everybody). Hints lead to dials, dials to links, links to first-hand
knowledge; gossip carries the member table to those who have no link. A link that ends without a goodbye raises a
suspicion, which is gossiped and becomes death unless the member refutes it with a higher incarnation, or somebody links
to it again. First-hand knowledge wins over rumours: while we have a link to a member we do not believe that it is dead,
and tell it what is said, so that it can refute.

    hint -> book -> Dial -> LinkOpened -> ALIVE -> (LinkClosed, not planned) -> SUSPECT -> DEAD
                                            ^---- higher incarnation -----------'          |
                                            '---- LinkOpened ------------------------------'
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgecache.core.membership.config import MembershipConfig
from edgecache.core.membership.dialler import DIAL, Dialler
from edgecache.core.membership.links import Link, LinkTable, loser
from edgecache.core.membership.members import GONE, MemberTable
from edgecache.core.membership.news import News, messages_about
from edgecache.core.membership.overlay import choose_shed
from edgecache.core.membership.penalties import Penalties
from edgecache.core.membership.suspicion import suspicion_timeout
from edgecache.core.vocabulary import (
    CloseLink,
    DialFailed,
    Event,
    Identity,
    LinkBusy,
    LinkClosed,
    LinkDown,
    LinkOpened,
    LinkProbed,
    LinkUp,
    LinkWanted,
    MachineName,
    MapChanged,
    MemberChanged,
    MemberReported,
    MessageReceived,
    Misbehaved,
    Notice,
    Outbox,
    OwnAddressesChanged,
    PeerSighted,
    Probe,
    ProbeFailed,
    RememberPeers,
    RttMeasured,
    ShutdownWanted,
    Started,
    TimerFired,
    TimerKey,
    Warned,
)
from edgecache.model.ids import NodeId
from edgecache.model.peer import Address, CloseReason, PeerInfo, SeenVia
from edgecache.wire.messages import Goodbye, Gossip, Hello, MemberStatus, Rumour

if TYPE_CHECKING:
    from random import Random

    from edgecache.model.instant import Instant

_ME = MachineName.MEMBERSHIP
_NEWS = TimerKey(_ME, "news")
_TICK = TimerKey(_ME, "tick")
_REMEMBER = TimerKey(_ME, "remember")
_INTRODUCE_MAX = 256
"""Members told to a new link at once; the rest comes with later gossip."""


@dataclass(frozen=True, slots=True)
class PeerView:
    """One line of `peers`."""

    node: NodeId
    name: str
    site: str
    status: MemberStatus
    linked: bool
    overlay: bool
    via: SeenVia
    rtt: float | None
    addresses: tuple[Address, ...]
    since: Instant


class Membership:
    """Members, links and the address book of one node."""

    name = _ME
    hears = (
        Started, PeerSighted, LinkOpened, LinkClosed, DialFailed, LinkProbed, ProbeFailed, ShutdownWanted,
        OwnAddressesChanged, LinkWanted, LinkBusy, Misbehaved,
    )
    hears_messages = (Gossip, Goodbye)

    def __init__(self, me: Identity, config: MembershipConfig, rng: Random) -> None:
        self._me, self._config, self._rng = me, config, rng
        self._info = PeerInfo(me.node, me.addresses, me.site, me.name, incarnation=me.epoch << 16)
        self.members = MemberTable(config.members_max)
        self.links = LinkTable()
        self._penalties = Penalties(config)
        self._dialler = Dialler(me.node, config, rng, links=self.links, penalties=self._penalties)
        self._news = News()
        self._leaving = False
        self._handlers = {
            Started: self._started, PeerSighted: self._dialler.sighted,
            LinkOpened: self._opened, LinkClosed: self._closed, DialFailed: self._dialler.failed,
            LinkProbed: self._probed, ProbeFailed: self._probe_failed,
            ShutdownWanted: self._shutdown, OwnAddressesChanged: self._moved, LinkWanted: self._link_wanted,
            LinkBusy: self._busy, Misbehaved: self._misbehaved, TimerFired: self._timer, MessageReceived: self._message,
        }

    # ---- what others may look at

    def hello(self) -> Hello:
        """What we say first on each link."""
        me, info = self._me, self._info
        return Hello(me.node, me.mesh, me.site, me.name, me.epoch, info.incarnation, info.addresses, me.host)

    def may_link(self, peer: NodeId, now: Instant) -> bool:
        """False for a banned peer."""
        return not self._penalties.banned(peer, now) and not self._leaving

    def peers(self) -> list[PeerView]:
        """Everybody we know of but ourselves, linked ones first."""
        views = []
        for row in self.members.rows():
            link, contact = self.links.to(row.info.node), self._dialler.book.get(row.info.node)
            views.append(
                PeerView(
                    row.info.node, row.info.name, row.info.site, row.status, link is not None,
                    link is not None and link.overlay, contact.via if contact else SeenVia.GOSSIP,
                    link.rtt if link else None, contact.addresses if contact else row.info.addresses, row.since,
                )
            )
        return sorted(views, key=lambda view: (not view.linked, view.status, view.name, view.node))

    # ---- routing

    def handle(self, event: Event | Notice | MapChanged, now: Instant, out: Outbox) -> None:
        """Take one event or notice."""
        self._handlers[type(event)](event, now, out)  # type: ignore[operator]

    def _timer(self, event: TimerFired, now: Instant, out: Outbox) -> None:
        key = event.key
        if key == DIAL:
            self._dialler.dial_more(now, out)
        elif key == _NEWS:
            for peer, message in self._news.flush(self._me.node, self.members, self._linked()):
                out.send(peer, message)
        elif key == _TICK:
            self._tick(now, out)
        elif key == _REMEMBER:
            self._remember(now, out)
        elif key.name == "probe" and (link := self._link_of(key.subject)) is not None:
            out.effect(Probe(link.link, self._config.probe_idle * 0.9, self._config.probe_timeout))
        elif key.name == "suspicion":
            self._confirm(NodeId(str(key.subject)), now, out)

    def _message(self, event: MessageReceived, now: Instant, out: Outbox) -> None:
        message = event.message
        if isinstance(message, Goodbye):
            if message.reason is CloseReason.GOODBYE:
                rumour = Rumour(event.peer, MemberStatus.LEFT, message.incarnation, event.peer)
                self._hear_rumour(rumour, event.peer, now, out, first_hand=True)
            return
        assert isinstance(message, Gossip)
        for info in message.peers:
            self._hear_peer(info, event.peer, now, out)
        for rumour in message.rumours:
            self._hear_rumour(rumour, event.peer, now, out, first_hand=False)

    # ---- start, stop, own facts

    def _started(self, event: Started, now: Instant, out: Outbox) -> None:
        self._dialler.started(event, now, out)
        out.timer(_TICK, now + self._config.gossip_interval * (0.5 + self._rng.random()))
        out.timer(_REMEMBER, now + self._config.remember_interval)

    def _shutdown(self, event: ShutdownWanted, now: Instant, out: Outbox) -> None:
        self._leaving = self._dialler.stopped = True
        self._remember(now, out)
        for link in self.links.all():
            self._close(link, CloseReason.GOODBYE, out)

    def _moved(self, event: OwnAddressesChanged, now: Instant, out: Outbox) -> None:
        self._info = replace(self._info, addresses=event.addresses, incarnation=self._info.incarnation + 1)
        for peer in self._linked():
            out.send(peer, Gossip(peers=(self._info,)))

    def _refute(self, incarnation: int, out: Outbox) -> None:
        self._info = replace(self._info, incarnation=max(incarnation, self._info.incarnation) + 1)
        for peer in self._linked():
            out.send(peer, Gossip(peers=(self._info,)))

    # ---- gossip

    def _hear_peer(self, info: PeerInfo, source: NodeId, now: Instant, out: Outbox) -> None:
        if info.node == self._me.node:
            if info.incarnation > self._info.incarnation:
                self._refute(info.incarnation, out)
            return
        if self.members.alive(info, now):
            self._changed(info.node, source, out, now)
        self._dialler.told(info, now, out)

    def _hear_rumour(self, rumour: Rumour, source: NodeId, now: Instant, out: Outbox, *, first_hand: bool) -> None:
        if rumour.node == self._me.node:
            if rumour.incarnation >= self._info.incarnation and not self._leaving:
                self._refute(rumour.incarnation, out)
            return
        if not first_hand and (link := self.links.to(rumour.node)) is not None:
            row = self.members.get(rumour.node)
            if row is not None and rumour.incarnation >= row.info.incarnation and link.peer != source:
                out.send(rumour.node, Gossip(rumours=(rumour,)))
            return
        if self.members.rumoured(rumour, now):
            self._changed(rumour.node, source, out, now)

    def _changed(self, node: NodeId, source: NodeId | None, out: Outbox, now: Instant) -> None:
        """A row changed: pass it on, tell the other machines, arm or disarm the suspicion."""
        row = self.members.get(node)
        assert row is not None
        if not self._news:
            out.timer(_NEWS, now + self._config.gossip_delay)
        self._news.add(node, source)
        key = TimerKey(_ME, "suspicion", node)
        if row.status is MemberStatus.SUSPECT:
            out.timer(key, row.since + suspicion_timeout(self._config, max(1, len(row.accusers))))
        else:
            out.clear(key)
        out.tell(MemberChanged(row.info, row.status))
        out.effect(MemberReported(node, row.status))

    def _confirm(self, node: NodeId, now: Instant, out: Outbox) -> None:
        row = self.members.get(node)
        if row is None or row.status is not MemberStatus.SUSPECT:
            return
        self.members.rumoured(Rumour(node, MemberStatus.DEAD, row.info.incarnation, self._me.node), now)
        self._changed(node, None, out, now)

    def _tick(self, now: Instant, out: Outbox) -> None:
        """Rare upkeep: tell a random neighbour of a few random members, close idle links, forget the long gone."""
        interval = self._config.gossip_interval
        out.timer(_TICK, now + interval * (0.75 + self._rng.random() / 2))
        linked, rows = self._linked(), self.members.rows()
        if linked and rows:
            sample = self._rng.sample(rows, min(8, len(rows)))
            peer = self._rng.choice(linked)
            for message in messages_about(self._me.node, [row for row in sample if row.info.node != peer]):
                out.send(peer, message)
        for node in self.members.forget(now - self._config.forget_after):
            self._dialler.book.forget(node)
        for link in self.links.working():
            if not link.busy and now - link.used > self._config.idle_close:
                self._close(link, CloseReason.IDLE, out)

    # ---- links

    def _opened(self, event: LinkOpened, now: Instant, out: Outbox) -> None:
        peer, hello = event.peer, event.hello
        _, wanted = self._dialler.opened(event)
        older = self.links.to(peer)
        room = len(self.links.overlay()) < self._config.overlay_max
        link = Link(
            event.link, peer, hello, event.dialled, event.address, now, now,
            overlay=older.overlay if older else room or not wanted,
        )
        self.links.add(link)
        if not self.may_link(peer, now):
            self._close(link, CloseReason.BANNED, out)
            return
        if older is not None:
            self._close(loser(self._me.node, older, link), CloseReason.DUPLICATE, out)
        self._met(link, now, out)
        if older is None:
            self._tell_up(link, out)
            self._introduce(link, out)
            out.effect(Probe(link.link, 0.0, self._config.probe_timeout))
        out.timer(TimerKey(_ME, "probe", event.link), now + self._pause())
        if link.overlay and not link.closing and len(self.links.overlay()) > self._config.overlay_max:
            self._demote(choose_shed(self.links.overlay(), link, self._rng), now, out)
        self._bound_working(out)

    def _met(self, link: Link, now: Instant, out: Outbox) -> None:
        """First-hand knowledge: the member is alive, whatever was said."""
        hello = link.hello
        row = self.members.get(link.peer)
        incarnation = hello.incarnation
        if row is not None and row.rank >= (incarnation, int(MemberStatus.SUSPECT)):
            out.send(link.peer, Gossip(rumours=(row.rumour(self._me.node),)))
            incarnation = row.info.incarnation + (row.status is not MemberStatus.ALIVE)
        if self.members.alive(PeerInfo(link.peer, hello.addresses, hello.site, hello.name, incarnation), now):
            self._changed(link.peer, None, out, now)

    def _introduce(self, link: Link, out: Outbox) -> None:
        rows = [row for row in self.members.rows() if row.info.node != link.peer][:_INTRODUCE_MAX]
        for message in messages_about(self._me.node, rows):
            out.send(link.peer, message)

    def _closed(self, event: LinkClosed, now: Instant, out: Outbox) -> None:
        link = self.links.pop(event.link)
        if link is None:
            return
        out.clear(TimerKey(_ME, "probe", event.link))
        if self.links.to(link.peer) is not None:
            return
        planned = event.reason.planned
        out.tell(LinkDown(link.peer, planned))
        row = self.members.get(link.peer)
        if not planned and not self._leaving and row is not None and row.status is MemberStatus.ALIVE:
            accusation = Rumour(link.peer, MemberStatus.SUSPECT, row.info.incarnation, self._me.node)
            if self.members.rumoured(accusation, now):
                self._changed(link.peer, None, out, now)
        if planned:
            self._dialler.parted(link.peer, now, out)
        else:
            self._dialler.lost(link.peer, now, out)

    def _link_wanted(self, event: LinkWanted, now: Instant, out: Outbox) -> None:
        if (link := self.links.to(event.peer)) is not None:
            link.used = now
            self._tell_up(link, out)
        elif event.peer != self._me.node:
            self._dialler.wanted(event, now, out)

    def _probed(self, event: LinkProbed, now: Instant, out: Outbox) -> None:
        if (link := self.links.get(event.link)) is None:
            return
        if event.rtt is not None:
            out.tell(RttMeasured(link.peer, link.measured(event.rtt)))
        out.timer(TimerKey(_ME, "probe", event.link), now + max(0.25, self._pause() - event.idle))

    def _probe_failed(self, event: ProbeFailed, now: Instant, out: Outbox) -> None:
        if (link := self.links.get(event.link)) is not None:
            self._close(link, CloseReason.SILENT, out)

    def _busy(self, event: LinkBusy, now: Instant, out: Outbox) -> None:
        if (link := self.links.to(event.peer)) is not None:
            link.busy = max(0, link.busy + (1 if event.busy else -1))
            link.used = now

    def _misbehaved(self, event: Misbehaved, now: Instant, out: Outbox) -> None:
        out.effect(Warned(f"misbehaved:{event.peer}", f"{event.peer}: {event.why}"))
        if self._penalties.add(event.peer, event.weight, now):
            out.effect(Warned(f"banned:{event.peer}", f"{event.peer} is banned for {self._config.ban_time:.0f} s"))
            for link in self.links.all():
                if link.peer == event.peer:
                    self._close(link, CloseReason.BANNED, out)

    def _demote(self, link: Link, now: Instant, out: Outbox) -> None:
        """Leave the overlay; closed when it has carried nothing for a while."""
        link.overlay = False
        link.used = now

    def _bound_working(self, out: Outbox) -> None:
        working = self.links.working()
        idle = sorted((link for link in working if not link.busy), key=lambda link: (link.used, link.link))
        for link in idle[: max(0, len(working) - self._config.working_max)]:
            self._close(link, CloseReason.SHED, out)

    def _close(self, link: Link, reason: CloseReason, out: Outbox) -> None:
        if not link.closing:
            link.closing = True
            out.effect(CloseLink(link.link, reason))

    def _tell_up(self, link: Link, out: Outbox) -> None:
        hello = link.hello
        same_device = bool(hello.host) and hello.host == self._me.host
        tier = 2 if hello.site != self._me.site else 0 if same_device else 1
        out.tell(LinkUp(link.peer, hello, tier, link.rtt if link.rtt is not None else 0.0))

    def _pause(self) -> float:
        return self._config.probe_idle * (0.85 + 0.15 * self._rng.random())

    def _linked(self) -> list[NodeId]:
        return list(dict.fromkeys(link.peer for link in self.links.all() if not link.closing))

    def _link_of(self, subject: str | int) -> Link | None:
        return next((link for link in self.links.all() if link.link == subject and not link.closing), None)

    def _remember(self, now: Instant, out: Outbox) -> None:
        out.timer(_REMEMBER, now + self._config.remember_interval)
        gone = [row.info.node for row in self.members.rows() if row.status in GONE]
        if kept := tuple(info for info in self._dialler.worth_remembering() if info.node not in gone):
            out.effect(RememberPeers(kept))
