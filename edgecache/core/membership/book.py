"""Addresses of peers for dialling: hints from everywhere, with a back-off per peer; no trust before a handshake."""

from __future__ import annotations

from dataclasses import dataclass

from edgecache.core.membership.config import MembershipConfig
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant
from edgecache.model.peer import Address, PeerInfo, SeenVia
from edgecache.wire.limits import ADDRESSES_MAX

_DIRECTNESS = (SeenVia.MDNS, SeenVia.SEED, SeenVia.REMEMBERED, SeenVia.GOSSIP, SeenVia.INBOUND)
"""Of several ways to have heard of a peer the one that is shown: what we found ourselves before what we were told."""


@dataclass(slots=True)
class Contact:
    """Where a peer may be, the most direct way we heard of it, and when it may be dialled next."""

    addresses: tuple[Address, ...]
    site: str
    via: SeenVia
    failures: int = 0
    not_before: Instant = 0.0
    proven: bool = False
    """A handshake succeeded at one time; unproven hints are the first to be dropped."""


class AddressBook:
    """Contacts by node id, bounded; seeds, whose node id is unknown, by address."""

    def __init__(self, config: MembershipConfig) -> None:
        self._config = config
        self._contacts: dict[NodeId, Contact] = {}
        self.seeds: dict[Address, Contact] = {}

    def __len__(self) -> int:
        return len(self._contacts)

    def hint(self, node: NodeId, addresses: tuple[Address, ...], via: SeenVia, site: str = "") -> bool:
        """Learn addresses of a peer; True when they are new. A fresh sighting ends the back-off."""
        contact = self._contacts.get(node)
        if contact is None:
            if len(self._contacts) >= self._config.book_max and not self._drop_one():
                return False
            self._contacts[node] = Contact(addresses[:ADDRESSES_MAX], site, via)
            return True
        contact.via = min(contact.via, via, key=_DIRECTNESS.index)
        merged = tuple(dict.fromkeys(addresses + contact.addresses))[:ADDRESSES_MAX]
        fresh = merged != contact.addresses
        contact.addresses = merged
        contact.site = site or contact.site
        if fresh or via is SeenVia.MDNS:
            contact.failures, contact.not_before = 0, 0.0
        return fresh

    def seed(self, address: Address) -> None:
        """A configured address; whoever answers there is welcome."""
        self.seeds.setdefault(address, Contact((address,), "", SeenVia.SEED))

    def get(self, node: NodeId) -> Contact | None:
        """The contact of a node."""
        return self._contacts.get(node)

    def reached(self, node: NodeId, address: Address | None, via: SeenVia) -> Contact:
        """A handshake with the node succeeded, at `address` if we dialled it."""
        contact = self._contacts.get(node)
        if contact is None:
            if len(self._contacts) >= self._config.book_max:
                self._drop_one()
            contact = self._contacts[node] = Contact((), "", via)
        if address is not None:
            contact.addresses = tuple(dict.fromkeys((address, *contact.addresses)))[:ADDRESSES_MAX]
            if (seed := self.seeds.get(address)) is not None:
                seed.failures, seed.not_before = 0, 0.0
                contact.via = min(contact.via, SeenVia.SEED, key=_DIRECTNESS.index)
        contact.failures, contact.not_before, contact.proven = 0, 0.0, True
        return contact

    def failed(self, contact: Contact, now: Instant, jitter: float) -> None:
        """A dial came to nothing: wait, twice as long each time; an unproven hint that fails often is useless."""
        pause = min(self._config.redial_min * 2**contact.failures, self._config.redial_max)
        contact.failures = min(contact.failures + 1, 16)
        contact.not_before = now + pause * jitter

    def forget(self, node: NodeId) -> None:
        """Drop a contact."""
        self._contacts.pop(node, None)

    def candidates(self, now: Instant) -> list[NodeId]:
        """Peers that may be dialled now, in order of arrival."""
        return [n for n, c in self._contacts.items() if c.addresses and c.not_before <= now]

    def infos(self) -> list[tuple[NodeId, Contact]]:
        """All contacts."""
        return list(self._contacts.items())

    def _drop_one(self) -> bool:
        for node, contact in self._contacts.items():
            if not contact.proven and contact.failures:
                del self._contacts[node]
                return True
        for node, contact in self._contacts.items():
            if not contact.proven:
                del self._contacts[node]
                return True
        return False


def info_of(node: NodeId, contact: Contact) -> PeerInfo:
    """The form in which a contact is remembered."""
    return PeerInfo(node, contact.addresses, contact.site)
