"""Whom to dial and when: seeds and known peers while the overlay has room, wanted peers at once, lost ones again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecache.core.membership.book import AddressBook, Contact, info_of
from edgecache.core.membership.config import MembershipConfig
from edgecache.core.membership.links import LinkTable
from edgecache.core.membership.overlay import choose_dials
from edgecache.core.membership.penalties import Penalties
from edgecache.core.vocabulary import (
    Dial,
    DialFailed,
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
        self, me: NodeId, config: MembershipConfig, rng: Random, *, links: LinkTable, penalties: Penalties
    ) -> None:
        self._me, self._config, self._rng = me, config, rng
        self._links, self._penalties = links, penalties
        self.book = AddressBook(config)
        self.stopped = False
        self._dialling: dict[NodeId, Instant] = {}
        self._dialling_seeds: dict[Address, Instant] = {}
        self._wanted: dict[NodeId, Instant] = {}

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
        self.reconsider(now, out)

    def told(self, info: PeerInfo, now: Instant, out: Outbox) -> None:
        """Gossip told of somebody."""
        if info.addresses:
            self.book.hint(info.node, info.addresses, SeenVia.GOSSIP, info.site)
        self.reconsider(now, out)

    def reconsider(self, now: Instant, out: Outbox) -> None:
        """Dial soon if the overlay has room."""
        if self._need() > 0:
            out.timer(DIAL, now)

    # ---- dialling

    def _need(self) -> int:
        return self._config.overlay_min - len(self._links.overlay())

    def dial_more(self, now: Instant, out: Outbox) -> None:
        """Dial while the overlay has room, seeds first; come back when somebody may be dialled again."""
        need = self._need()
        if self.stopped or need <= 0:
            return
        room = self._config.dials_max - len(self._dialling) - len(self._dialling_seeds)
        for address, contact in self.book.seeds.items():
            due = contact.not_before <= now and address not in self._dialling_seeds
            if room > 0 and due and not self._linked_at(address):
                self._dialling_seeds[address] = now
                room -= 1
                out.effect(Dial(None, (address,)))
        near = {link.peer: link.rtt for link in self._links.all() if link.rtt is not None}
        candidates = [node for node in self.book.candidates(now) if self._dialable(node, now)]
        for node in choose_dials(candidates, near, min(need, room), self._rng):
            self._dial(node, now, out)
        if (later := self._next_due()) is not None:
            out.timer(DIAL, max(later, now + self._config.dial_tick))

    def _next_due(self) -> Instant | None:
        times = [c.not_before for node, c in self.book.infos() if c.addresses and self._links.to(node) is None]
        times += [c.not_before for address, c in self.book.seeds.items() if not self._linked_at(address)]
        return min(times, default=None)

    def lost(self, node: NodeId, now: Instant, out: Outbox) -> None:
        """A link broke: try at once whether the peer is still there."""
        contact = self.book.get(node)
        if contact is not None and contact.addresses and self._dialable(node, now):
            self._dial(node, now, out)
        out.timer(DIAL, now + self._config.dial_tick)

    def parted(self, node: NodeId, now: Instant, out: Outbox) -> None:
        """A link ended by agreement: do not come back at once."""
        if (contact := self.book.get(node)) is not None:
            self.book.failed(contact, now, 1.0)
        out.timer(DIAL, now + self._config.dial_tick)

    def wanted(self, event: LinkWanted, now: Instant, out: Outbox) -> None:
        """A machine needs a link to somebody who is not linked."""
        peer, hint = event.peer, event.hint
        if hint is not None and hint.node == peer and hint.addresses:
            self.book.hint(peer, hint.addresses, SeenVia.GOSSIP, hint.site)
        contact = self.book.get(peer)
        if contact is None or not contact.addresses or self._penalties.banned(peer, now) or self.stopped:
            out.tell(LinkUnavailable(peer))
            return
        self._wanted[peer] = now
        if peer not in self._dialling:
            self._dial(peer, now, out)

    def opened(self, event: LinkOpened) -> tuple[Contact, bool]:
        """A link opened; returns the contact, and whether a machine wanted just this link."""
        self._dialling.pop(event.peer, None)
        if event.address is not None:
            self._dialling_seeds.pop(event.address, None)
        contact = self.book.reached(event.peer, event.address, SeenVia.INBOUND)
        if event.hello.addresses:
            self.book.hint(event.peer, event.hello.addresses, SeenVia.INBOUND, event.hello.site)
        return contact, self._wanted.pop(event.peer, None) is not None and event.dialled

    def failed(self, event: DialFailed, now: Instant, out: Outbox) -> None:
        """A dial came to nothing."""
        jitter = 0.75 + self._rng.random() / 2
        if event.node is None:
            for address in event.addresses:
                self._dialling_seeds.pop(address, None)
                if (seed := self.book.seeds.get(address)) is not None:
                    self.book.failed(seed, now, jitter)
        else:
            self._dialling.pop(event.node, None)
            if (contact := self.book.get(event.node)) is not None:
                self.book.failed(contact, now, jitter)
                if contact.failures > self._config.hint_failures and not contact.proven:
                    self.book.forget(event.node)
            if self._wanted.pop(event.node, None) is not None and self._links.to(event.node) is None:
                out.tell(LinkUnavailable(event.node))
        out.timer(DIAL, now + self._config.dial_tick)

    def _dialable(self, node: NodeId, now: Instant) -> bool:
        free = node not in self._dialling and self._links.to(node) is None
        return free and not self._penalties.banned(node, now) and not self.stopped

    def _dial(self, node: NodeId, now: Instant, out: Outbox) -> None:
        contact = self.book.get(node)
        assert contact is not None, "only known peers are dialled"
        self._dialling[node] = now
        out.effect(Dial(node, contact.addresses))

    def _linked_at(self, address: Address) -> bool:
        return any(link.address == address or address in link.hello.addresses for link in self._links.all())

    # ---- for the next start

    def worth_remembering(self) -> tuple[PeerInfo, ...]:
        """Peers that were reached and can be dialled, the latest first met last."""
        proven = [info_of(node, c) for node, c in self.book.infos() if c.proven and c.addresses]
        return tuple(proven[-self._config.remember_max :])
