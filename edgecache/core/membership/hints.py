"""Which of the addresses that we are told may be dialled: a hint must not send us to ourselves or to nowhere."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from edgecache.model.peer import Address, SeenVia

_HEARSAY = (SeenVia.GOSSIP, SeenVia.INBOUND)
"""Ways over which link-local addresses mean nothing: their zone is that of another device."""


@lru_cache(4096)
def _leads(host: str) -> tuple[bool, bool]:
    """Whether this address leads to a device at all, and whether only to this one."""
    try:
        found = ip_address(host)
    except ValueError:
        return False, False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return not (found.is_multicast or found.is_unspecified), found.is_loopback


def usable(addresses: tuple[Address, ...], via: SeenVia, own: tuple[Address, ...]) -> tuple[Address, ...]:
    """Those of the addresses that may lead to a peer, when we are at `own`.

    Loopback leads to another agent only where agents say so of themselves, as this one does, or the user named it.
    """
    loopback_too = via is SeenVia.SEED or any(_leads(address.host)[1] for address in own)

    def may_be_dialled(address: Address) -> bool:
        somewhere, loopback = _leads(address.host)
        foreign_zone = via in _HEARSAY and "%" in address.host
        return 0 < address.port < 1 << 16 and somewhere and not foreign_zone and (loopback_too or not loopback)

    return tuple(address for address in dict.fromkeys(addresses) if address not in own and may_be_dialled(address))
