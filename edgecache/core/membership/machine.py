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

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecache.core.membership.beliefs import NEWS, SUSPICION, Beliefs
from edgecache.core.membership.config import MembershipConfig
from edgecache.core.membership.contests import Contests
from edgecache.core.membership.dialler import DIAL, Dialler
from edgecache.core.membership.links import Link, LinkTable, loser
from edgecache.core.membership.overlay import choose_shed
from edgecache.core.membership.own import REFUTE
from edgecache.core.membership.penalties import Penalties
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
from edgecache.core.vocabulary.names import ONE_KEY_TWICE
from edgecache.model.ids import NodeId
from edgecache.model.peer import Address, CloseReason, SeenVia
from edgecache.wire.messages import BATCHES, LARGE_CHUNKS, Goodbye, Gossip, Hello, MemberStatus

if TYPE_CHECKING:
    from random import Random

    from edgecache.model.instant import Instant

_ME = MachineName.MEMBERSHIP
_TICK = TimerKey(_ME, "tick")
_REMEMBER = TimerKey(_ME, "remember")


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
        self.links = LinkTable()
        self._beliefs = Beliefs(me, config, rng, self.links)
        self.members = self._beliefs.members
        self._penalties = Penalties(config)
        self._contests = Contests(config)
        self._dialler = Dialler(me, config, rng, links=self.links, penalties=self._penalties)
        self._leaving = False
        self._handlers = {
            Started: self._started, PeerSighted: self._dialler.sighted,
            LinkOpened: self._opened, LinkClosed: self._closed, DialFailed: self._dial_failed,
            LinkProbed: self._probed, ProbeFailed: self._probe_failed,
            ShutdownWanted: self._shutdown, OwnAddressesChanged: self._moved, LinkWanted: self._link_wanted,
            LinkBusy: self._busy, Misbehaved: self._misbehaved, TimerFired: self._timer, MessageReceived: self._message,
        }

    # ---- what others may look at

    def hello(self) -> Hello:
        """What we say first on each link."""
        me, info = self._me, self._beliefs.own.info
        return Hello(
            me.node, me.mesh, me.site, me.name, me.epoch, info.incarnation, info.addresses, me.host,
            features=me.features | {BATCHES, LARGE_CHUNKS},
        )

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

    def name_of(self, node: NodeId) -> str:
        """What a node calls itself; empty when it is not known."""
        row = self.members.get(node)
        return self._me.name if node == self._me.node else row.info.name if row is not None else ""

    # ---- routing

    def handle(self, event: Event | Notice | MapChanged, now: Instant, out: Outbox) -> None:
        """Take one event or notice."""
        self._handlers[type(event)](event, now, out)  # type: ignore[operator]

    def _timer(self, event: TimerFired, now: Instant, out: Outbox) -> None:
        key = event.key
        if key == DIAL:
            self._dialler.dial_more(now, out)
        elif key == NEWS:
            self._beliefs.flush(self._linked(), now, out)
        elif key == REFUTE and not self._leaving:
            self._beliefs.refute(self._linked(), now, out)
        elif key == _TICK:
            self._tick(now, out)
        elif key == _REMEMBER:
            self._remember(now, out)
        elif key.name == "probe" and (link := self._link_of(key.subject)) is not None:
            out.effect(Probe(link.link, self._config.probe_idle * 0.9, self._config.probe_timeout))
        elif key.name == SUSPICION:
            self._beliefs.confirm(NodeId(str(key.subject)), now, out)

    def _message(self, event: MessageReceived, now: Instant, out: Outbox) -> None:
        message = event.message
        if isinstance(message, Gossip):
            self._beliefs.heard(message, event.peer, now, out)
            self._dialler.told(message.peers, event.peer, now, out)
        elif isinstance(message, Goodbye) and message.reason is CloseReason.GOODBYE:
            self._beliefs.departed(event.peer, now, out)

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
        self._dialler.book.own = event.addresses
        self._beliefs.own.moved(event.addresses)
        for peer in self._linked():
            out.send(peer, Gossip(peers=(self._beliefs.own.info,)))

    def _tick(self, now: Instant, out: Outbox) -> None:
        """Rare upkeep: tell a neighbour of some members, look after one, close idle links, forget the long gone."""
        interval = self._config.gossip_interval
        out.timer(_TICK, now + interval * (0.75 + self._rng.random() / 2))
        self._beliefs.remind(self._linked(), now, out)
        node = self._beliefs.unwatched()
        if node is not None and not self._leaving and not self._dialler.verify(node, now, out):
            self._beliefs.suspect(node, now, out)
        for node in self._beliefs.forget(now):
            self._dialler.book.rest(node, now)
        self._dialler.reconnect(self._beliefs.dead(), self._beliefs.living(), now, out)
        for link in self.links.working():
            if not link.busy and now - link.used > self._config.idle_close:
                self._close(link, CloseReason.IDLE, out)

    def _dial_failed(self, event: DialFailed, now: Instant, out: Outbox) -> None:
        if self._dialler.failed(event, now, out) and event.node is not None:
            self._beliefs.suspect(event.node, now, out)

    # ---- links

    def _opened(self, event: LinkOpened, now: Instant, out: Outbox) -> None:
        peer, hello = event.peer, event.hello
        _, wanted = self._dialler.opened(event)
        older = self.links.to(peer)
        room = len(self.links.overlay()) < self._config.overlay_max
        link = Link(
            event.link, peer, hello, event.dialled, event.address, now, now,
            overlay=older.overlay if older else room or not wanted, busy=older.busy if older else 0,
        )
        self.links.add(link)
        if not self.may_link(peer, now):
            self._close(link, CloseReason.BANNED, out)
            return
        if older is not None:
            self._close(self._loser(older, link, now, out), CloseReason.DUPLICATE, out)
        self._beliefs.met(link, now, out)
        if older is None:
            self._tell_up(link, out)
            self._beliefs.introduce(link.peer, now, out)
            out.effect(Probe(link.link, 0.0, self._config.probe_timeout))
        out.timer(TimerKey(_ME, "probe", event.link), now + self._pause())
        if link.overlay and not link.closing and len(self.links.overlay()) > self._config.overlay_max:
            self._demote(choose_shed(self.links.overlay(), link, self._rng), now, out)
        self._bound_working(out)

    def _loser(self, older: Link, newer: Link, now: Instant, out: Outbox) -> Link:
        """Which of two links to one peer goes: the newer one when they replace each other all the time."""
        if not self._contests.replaced(older, newer, now):
            return loser(self._me.node, older, newer)
        text = f"{newer.peer} runs on two devices (a copied card?): {ONE_KEY_TWICE}"
        out.effect(Warned(f"cloned:{newer.peer}", text))
        return newer

    def _closed(self, event: LinkClosed, now: Instant, out: Outbox) -> None:
        link = self.links.pop(event.link)
        if link is None:
            return
        out.clear(TimerKey(_ME, "probe", event.link))
        if self.links.to(link.peer) is not None:
            self._dialler.redundant(link, now)
            return
        planned = event.reason.planned
        out.tell(LinkDown(link.peer, planned))
        if not planned and not self._leaving:
            self._beliefs.suspect(link.peer, now, out)
        self._dialler.ended(link, now, out, planned=planned)

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
        gone = [row.info.node for row in self.members.rows() if row.gone]
        if kept := tuple(info for info in self._dialler.worth_remembering() if info.node not in gone):
            out.effect(RememberPeers(kept))
