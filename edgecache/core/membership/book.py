"""Addresses of peers for dialling: hints from everywhere, with a back-off per peer; no trust before a handshake.

What a peer is told to be reachable at is kept by the way we heard of it, so that hearsay replaces only hearsay: where a
handshake has succeeded, and what the peer says of itself, cannot be pushed out by what others say of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest

from edgecache.core.membership.config import MembershipConfig
from edgecache.core.membership.hints import usable
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant
from edgecache.model.peer import Address, PeerInfo, SeenVia
from edgecache.wire.limits import ADDRESSES_MAX

_DIRECTNESS = (SeenVia.MDNS, SeenVia.SEED, SeenVia.REMEMBERED, SeenVia.GOSSIP, SeenVia.INBOUND)
"""Of several ways to have heard of a peer the one that is shown: what we found ourselves before what we were told."""

_DIALLED = (SeenVia.INBOUND, SeenVia.MDNS, SeenVia.SEED, SeenVia.REMEMBERED, SeenVia.GOSSIP)
"""The order in which addresses are tried: what the peer itself said over a link, what we found, what others said."""

_REACHED_MAX = 2
_FAILURES_MAX = 16


@dataclass(slots=True)
class Contact:
    """Where a peer may be, the most direct way we heard of it, and when it may be dialled next."""

    site: str
    via: SeenVia
    told: dict[SeenVia, tuple[Address, ...]] = field(default_factory=dict)
    """Addresses by the way we heard of them."""
    reached: tuple[Address, ...] = ()
    """Where a handshake succeeded, the latest first."""
    failures: int = 0
    not_before: Instant = 0.0
    proven: bool = False
    """A handshake succeeded at one time; unproven hints are the first to be dropped."""
    short: int = 0
    """Links in a row that ended soon after they were opened."""
    rtt: float | None = None
    """Of the last link."""
    dormant_since: Instant | None = None
    """The member is forgotten: it is dialled rarely, and not remembered for the next start."""

    @property
    def addresses(self) -> tuple[Address, ...]:
        """What is dialled: where it was reached, then the first that each way names, then the second ..."""
        ranks = zip_longest(*(self.told.get(via, ()) for via in _DIALLED))
        told = (address for rank in ranks for address in rank if address is not None)
        return tuple(dict.fromkeys((*self.reached, *told)))[:ADDRESSES_MAX]

    @property
    def dialable(self) -> bool:
        """Whether any address is known."""
        return bool(self.reached or self.told)

    @property
    def awake(self) -> bool:
        """It may be there."""
        return self.dormant_since is None

    @property
    def hearsay(self) -> bool:
        """Only others speak of it: it may be an invention."""
        return not self.proven and self.via is SeenVia.GOSSIP


class AddressBook:
    """Contacts by node id, bounded; seeds, whose node id is unknown, by address."""

    def __init__(self, config: MembershipConfig, own: tuple[Address, ...]) -> None:
        self._config = config
        self.own = own
        """Where we are ourselves; never dialled."""
        self._contacts: dict[NodeId, Contact] = {}
        self._hearsay: dict[NodeId, None] = {}
        """Those of them that are no more than that."""
        self._seeds: dict[Address, Contact] = {}

    def __len__(self) -> int:
        return len(self._contacts)

    def hint(self, node: NodeId, addresses: tuple[Address, ...], via: SeenVia, site: str = "") -> None:
        """Learn where a peer is said to be. What we find ourselves ends the back-off; what others say does not."""
        told = usable(addresses, via, self.own)[:ADDRESSES_MAX]
        contact = self._contacts.get(node)
        if contact is None:
            if told and self._room_for(via):
                self._add(node, Contact(site, via, {via: told}))
            return
        fresh = any(address not in contact.addresses for address in told)
        contact.via = min(contact.via, via, key=_DIRECTNESS.index)
        if told:
            contact.told[via] = told
        contact.site = site or contact.site
        trying = contact.short < self._config.contest_links
        if (via is SeenVia.MDNS and trying) or (fresh and via in (SeenVia.SEED, SeenVia.REMEMBERED)):
            contact.failures, contact.not_before, contact.dormant_since = 0, 0.0, None
        if not contact.hearsay:
            self._hearsay.pop(node, None)

    def seed(self, address: Address) -> None:
        """A configured address; whoever answers there is welcome."""
        if address in self._seeds or not usable((address,), SeenVia.SEED, self.own):
            return
        if len(self._seeds) >= self._config.seeds_max:
            del self._seeds[max(self._seeds, key=lambda known: self._seeds[known].failures)]
        self._seeds[address] = Contact("", SeenVia.SEED)

    def seeds(self) -> Iterator[tuple[Address, Contact]]:
        """Seeds that are not ourselves."""
        return ((address, contact) for address, contact in self._seeds.items() if address not in self.own)

    def seed_at(self, address: Address | None) -> Contact | None:
        """The seed of that address."""
        return self._seeds.get(address) if address is not None else None

    def get(self, node: NodeId) -> Contact | None:
        """The contact of a node."""
        return self._contacts.get(node)

    def reached(self, node: NodeId, address: Address | None) -> Contact:
        """A handshake with the node succeeded, at `address` if we dialled it."""
        contact = self._contacts.get(node)
        if contact is None:
            if not self._room_for(SeenVia.INBOUND):
                self.forget(next(iter(self._contacts)))
            contact = Contact("", SeenVia.INBOUND)
            self._add(node, contact)
        if address is not None:
            contact.reached = tuple(dict.fromkeys((address, *contact.reached)))[:_REACHED_MAX]
            if address in self._seeds:
                contact.via = min(contact.via, SeenVia.SEED, key=_DIRECTNESS.index)
        contact.proven, contact.dormant_since = True, None
        self._hearsay.pop(node, None)
        return contact

    def failed(self, contact: Contact, now: Instant, jitter: float) -> None:
        """A dial came to nothing, or its link broke at once: wait, twice as long each time."""
        pause = min(self._config.redial_min * 2**contact.failures, self._config.redial_max)
        contact.failures = min(contact.failures + 1, _FAILURES_MAX)
        contact.not_before = now + pause * jitter

    def forget(self, node: NodeId) -> None:
        """Drop a contact."""
        self._contacts.pop(node, None)
        self._hearsay.pop(node, None)

    def rest(self, node: NodeId, now: Instant) -> None:
        """The member is forgotten: what we only heard of it goes, whom we met is kept for the rare dials."""
        contact = self._contacts.get(node)
        if contact is not None and not contact.proven:
            self.forget(node)
        elif contact is not None and contact.dormant_since is None:
            contact.dormant_since = now

    def dormant(self, now: Instant) -> list[NodeId]:
        """Those that rest; dropped after a day."""
        horizon = now - self._config.reconnect_for
        resting = [(node, c.dormant_since) for node, c in self._contacts.items() if c.dormant_since is not None]
        for node, since in resting:
            if since < horizon:
                self.forget(node)
        return [node for node, since in resting if since >= horizon]

    def candidates(self, now: Instant) -> list[NodeId]:
        """Peers that may be dialled now, in order of arrival."""
        return [node for node, c in self._contacts.items() if c.not_before <= now and c.dialable and c.awake]

    def infos(self) -> list[tuple[NodeId, Contact]]:
        """All contacts."""
        return list(self._contacts.items())

    def _add(self, node: NodeId, contact: Contact) -> None:
        self._contacts[node] = contact
        if contact.hearsay:
            self._hearsay[node] = None

    def _room_for(self, via: SeenVia) -> bool:
        """The oldest hearsay gives way to anything; other hints, those first that failed, to all but hearsay."""
        if len(self._contacts) < self._config.book_max:
            return True
        victim = next(iter(self._hearsay), None)
        if victim is None and via is not SeenVia.GOSSIP:
            unproven = [node for node, contact in self._contacts.items() if not contact.proven]
            failed = (node for node in unproven if self._contacts[node].failures)
            victim = next(failed, unproven[0] if unproven else None)
        if victim is not None:
            self.forget(victim)
        return victim is not None


def info_of(node: NodeId, contact: Contact) -> PeerInfo:
    """The form in which a contact is remembered."""
    return PeerInfo(node, contact.addresses, contact.site)
