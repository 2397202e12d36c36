"""Whom to dial and when: seeds and known peers while the overlay has room, wanted peers at once, lost ones again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecache.core.membership.book import AddressBook, Contact, info_of
from edgecache.core.membership.config import MembershipConfig
from edgecache.core.membership.links import Link, LinkTable
from edgecache.core.membership.overlay import choose_dials
from edgecache.core.membership.penalties import Penalties
from edgecache.core.vocabulary import (
    Dial,
    DialFailed,
    Identity,
    LinkOpened,
    LinkUnavailable,
    LinkWanted,
    MachineName,
    Outbox,
    PeerSighted,
    Started,
    TimerKey,
)
from edgecache.model.ids import NodeId
from edgecache.model.peer import Address, PeerInfo, SeenVia

if TYPE_CHECKING:
    from random import Random

    from edgecache.model.instant import Instant

DIAL = TimerKey(MachineName.MEMBERSHIP, "dial")


class Dialler:
    """Dials under way, and the address book they come from."""

    def __init__(
        self, me: Identity, config: MembershipConfig, rng: Random, *, links: LinkTable, penalties: Penalties
    ) -> None:
        self._me, self._config, self._rng = me.node, config, rng
        self._links, self._penalties = links, penalties
        self.book = AddressBook(config, me.addresses)
        self.stopped = False
        self._dialling: dict[NodeId, None] = {}
        self._dialling_seeds: dict[Address, None] = {}
        self._wanted: dict[NodeId, None] = {}
        """Those of the dials that another machine waits for."""
        self._verifying: dict[NodeId, None] = {}
        """Those that show whether a member lives."""
        self._next_round: Instant = 0.0

    # ---- hints

    def started(self, event: Started, now: Instant, out: Outbox) -> None:
        """Seeds and remembered peers."""
        for address in event.seeds:
            self.book.seed(address)
        for info in event.remembered:
            if info.node != self._me:
                self.book.hint(info.node, info.addresses, SeenVia.REMEMBERED, info.site)
        out.timer(DIAL, now)

    def sighted(self, event: PeerSighted, now: Instant, out: Outbox) -> None:
        """Discovery heard of somebody."""
        if event.node is None:
            for address in event.addresses:
                self.book.seed(address)
        elif event.node != self._me:
            self.book.hint(event.node, event.addresses, event.via, event.site)
        self._reconsider(now, out)

    def told(self, infos: tuple[PeerInfo, ...], source: NodeId, now: Instant, out: Outbox) -> None:
        """Gossip told of somebody; of itself a peer speaks as in its hello."""
        for info in infos:
            if info.node != self._me:
                via = SeenVia.INBOUND if info.node == source else SeenVia.GOSSIP
                self.book.hint(info.node, info.addresses, via, info.site)
        if infos:
            self._reconsider(now, out)

    def _reconsider(self, now: Instant, out: Outbox) -> None:
        """Dial soon if the overlay has room."""
        if self._need() > 0:
            out.timer(DIAL, max(now, self._next_round))

    # ---- dialling

    def _need(self) -> int:
        return self._config.overlay_min - len(self._links.overlay())

    def dial_more(self, now: Instant, out: Outbox) -> None:
        """Dial while the overlay has room, seeds first; come back when somebody may be dialled again."""
        self._next_round = now + self._config.dial_tick
        need = self._need()
        if self.stopped or need <= 0:
            return
        room = self._config.dials_max - len(self._dialling) - len(self._dialling_seeds)
        for address, contact in self.book.seeds():
            if room <= 0 or len(self._dialling_seeds) >= self._config.dials_max - 1:
                break
            due = contact.not_before <= now and address not in self._dialling_seeds
            if due and not self._linked_at(address):
                self._dialling_seeds[address] = None
                room -= 1
                out.effect(Dial(None, (address,)))
        for node in self._choose(min(need, room), now):
            self._dial(node, now, out)
        if (later := self._next_due()) is not None:
            out.timer(DIAL, max(later, self._next_round))

    def _choose(self, room: int, now: Instant) -> list[NodeId]:
        """Peers that we met or found ourselves come first; few of those that only others speak of, and last."""
        known: list[NodeId] = []
        hearsay: list[NodeId] = []
        near: dict[NodeId, float] = {}
        for node in self.book.candidates(now):
            contact = self.book.get(node)
            if contact is None or not self._dialable(node, now):
                continue
            (hearsay if contact.hearsay else known).append(node)
            if contact.rtt is not None:
                near[node] = contact.rtt
        chosen = choose_dials(known, near, room, self._rng)
        busy = sum(1 for node in self._dialling if (c := self.book.get(node)) is not None and c.hearsay)
        few = min(room - len(chosen), self._config.hearsay_dials - busy)
        return chosen + choose_dials(hearsay, {}, few, self._rng)

    def _next_due(self) -> Instant | None:
        others = [c for node, c in self.book.infos() if c.dialable and c.awake and self._links.to(node) is None]
        times = [c.not_before for c in others]
        times += [c.not_before for address, c in self.book.seeds() if not self._linked_at(address)]
        return min(times, default=None)

    def ended(self, link: Link, now: Instant, out: Outbox, *, planned: bool) -> None:
        """The last link to a peer is gone. One that broke is tried again at once, one that ended by agreement after a
        moment; one that did not even last a while counts as a failure."""
        contact, seed = self.book.get(link.peer), self.book.seed_at(link.address)
        if contact is not None:
            contact.rtt = link.rtt if link.rtt is not None else contact.rtt
        for one, pause in ((contact, self._config.redial_min if planned else 0.0), (seed, self._config.redial_min)):
            if one is not None and now - link.opened < self._config.stable_after:
                one.short += 1
                self.book.failed(one, now, self._jitter())
            elif one is not None:
                one.failures, one.short, one.not_before = 0, 0, now + pause
        if contact is not None and contact.dialable and contact.not_before <= now and self._dialable(link.peer, now):
            self._dial(link.peer, now, out)
        out.timer(DIAL, now + self._config.dial_tick)

    def redundant(self, link: Link, now: Instant) -> None:
        """A link ended, and there is another to the same peer: its seed leads to nobody new."""
        seed = self.book.seed_at(link.address)
        if seed is not None:
            self.book.failed(seed, now, self._jitter())

    def wanted(self, event: LinkWanted, now: Instant, out: Outbox) -> None:
        """A machine needs a link to somebody who is not linked."""
        peer, hint = event.peer, event.hint
        if hint is not None and hint.node == peer:
            self.book.hint(peer, hint.addresses, SeenVia.GOSSIP, hint.site)
        room = len(self._wanted) < self._config.wanted_dials_max
        if peer in self._dialling or (room and self._try(peer, now, out)):
            self._wanted[peer] = None
        else:
            out.tell(LinkUnavailable(peer))

    def reconnect(self, dead: list[NodeId], living: int, now: Instant, out: Outbox) -> None:
        """Dial one of the dead; all nodes together so often that each of them is tried about once a time."""
        lost = [node for node in (*dead, *self.book.dormant(now)) if self._links.to(node) is None]
        if lost and self._rng.random() * max(1, living) < len(lost):
            self._try(self._rng.choice(lost), now, out)

    def verify(self, node: NodeId, now: Instant, out: Outbox) -> bool:
        """See whether a member answers, `failed` will tell; False when that cannot be tried."""
        if node in self._dialling or self._try(node, now, out):
            self._verifying[node] = None
            return True
        return False

    def _try(self, node: NodeId, now: Instant, out: Outbox) -> bool:
        """Dial, unless nothing is known of the peer or it has just failed."""
        contact = self.book.get(node)
        if contact is None or not contact.dialable or not self._dialable(node, now):
            return False
        if contact.failures and contact.not_before > now:
            return False
        self._dial(node, now, out)
        return True

    def opened(self, event: LinkOpened) -> tuple[Contact, bool]:
        """A link opened; returns the contact, and whether a machine wanted just this link."""
        peer = event.peer
        self._dialling.pop(peer, None)
        if event.address is not None:
            self._dialling_seeds.pop(event.address, None)
        contact = self.book.reached(peer, event.address)
        self.book.hint(peer, event.hello.addresses, SeenVia.INBOUND, event.hello.site)
        asked = peer in self._wanted or peer in self._verifying
        self._wanted.pop(peer, None)
        self._verifying.pop(peer, None)
        return contact, asked and event.dialled

    def failed(self, event: DialFailed, now: Instant, out: Outbox) -> bool:
        """A dial came to nothing; True when it was to show whether the member lives."""
        out.timer(DIAL, now + self._config.dial_tick)
        if event.node is None:
            for address in event.addresses:
                self._dialling_seeds.pop(address, None)
                if (seed := self.book.seed_at(address)) is not None:
                    self.book.failed(seed, now, self._jitter())
            return False
        node = event.node
        wanted, verifying = node in self._wanted, node in self._verifying
        for table in (self._dialling, self._wanted, self._verifying):
            table.pop(node, None)
        if self._links.to(node) is not None:
            return False
        if (contact := self.book.get(node)) is not None:
            self.book.failed(contact, now, self._jitter())
            if contact.failures > self._config.hint_failures and not contact.proven:
                self.book.forget(node)
        if wanted:
            out.tell(LinkUnavailable(node))
        return verifying

    def _jitter(self) -> float:
        return 0.75 + self._rng.random() / 2

    def _dialable(self, node: NodeId, now: Instant) -> bool:
        free = node not in self._dialling and self._links.to(node) is None
        return free and not self._penalties.banned(node, now) and not self.stopped

    def _dial(self, node: NodeId, now: Instant, out: Outbox) -> None:
        contact = self.book.get(node)
        assert contact is not None, "only known peers are dialled"
        self._dialling[node] = None
        out.effect(Dial(node, contact.addresses))

    def _linked_at(self, address: Address) -> bool:
        return any(link.address == address or address in link.hello.addresses for link in self._links.all())

    # ---- for the next start

    def worth_remembering(self) -> tuple[PeerInfo, ...]:
        """Peers that were reached and can be dialled, the latest first met last."""
        proven = [info_of(node, c) for node, c in self.book.infos() if c.proven and c.dialable and c.awake]
        return tuple(proven[-self._config.remember_max :])
