"""What goes into our DNS-SD records and what is believed of others': pure, bounded, no network."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable, Mapping

from edgecache.core.vocabulary import PeerSighted
from edgecache.model.errors import UsageError
from edgecache.model.ids import NodeId, parse_node_id
from edgecache.model.peer import Address, SeenVia
from edgecache.wire.limits import ADDRESSES_MAX, NAME_BYTES_MAX, WIRE_VERSION

SERVICE_TYPE = "_edgecache._tcp.local."

TXT_VERSION = "1"
"""RFC 6763 section 6.7: the first key says how to read the others."""

TXT_BYTES_MAX = 200
"""RFC 6763 section 6.2: small enough for every answer to fit one packet."""

LABEL_BYTES_MAX = 63
"""One DNS label (RFC 1035 section 2.3.4)."""

_ID_CHARS = 8
"""40 bits of the node id tell the nodes of a link apart in the label; the whole id is in the TXT record."""


def instance_label(name: str, node: NodeId) -> str:
    """A label for people, unique by the id at its end: at most 63 bytes of UTF-8, no control characters."""
    suffix = f"-{node[1 : 1 + _ID_CHARS]}"
    shown = "".join(c for c in name if c.isprintable()).strip() or "edgecache"
    cut = shown.encode()[: LABEL_BYTES_MAX - len(suffix)].decode(errors="ignore").rstrip()
    return cut + suffix


def server_name(node: NodeId) -> str:
    """The host name that our address records are under: one per agent, as several may share a device."""
    return f"{node}.local."


def txt_properties(node: NodeId, mesh: str, site: str) -> dict[str, str]:
    """The TXT record, `txtvers` first; raises UsageError when it would exceed 200 bytes."""
    properties = {"txtvers": TXT_VERSION, "id": node, "mesh": mesh, "site": site, "v": str(WIRE_VERSION)}
    size = sum(1 + len(f"{key}={value}".encode()) for key, value in properties.items())
    if size > TXT_BYTES_MAX:
        raise UsageError(f"the mDNS record would have {size} bytes", hint="give the site a shorter name")
    return properties


def parse_sighting(
    properties: Mapping[bytes, bytes | None],
    hosts: Iterable[str],
    port: int | None,
    *,
    mesh: str,
    own: NodeId,
    loopback: bool,
) -> PeerSighted | str:
    """What a resolved instance claims, or in a few words why it is not passed on; trusts nothing.

    `hosts` are IP literals, link-local ones with a zone. `loopback`: this device has nothing but loopback, so such
    addresses lead to somebody.
    """
    if _text(properties, b"mesh") != mesh:
        return "another mesh"
    if _text(properties, b"txtvers") != TXT_VERSION:
        return "unknown txtvers"
    try:
        node = parse_node_id(_text(properties, b"id"))
    except UsageError:
        return "no valid node id"
    if node == own:
        return "ourselves"
    site = _text(properties, b"site")
    if port is None or not 0 < port < 65536:
        return "no valid port"
    if len(site.encode()) > NAME_BYTES_MAX or not site.isprintable():
        return "no valid site"
    addresses = tuple(Address(host, port) for host in _usable(hosts, loopback))
    if not addresses:
        return "no usable address"
    return PeerSighted(node, addresses[:ADDRESSES_MAX], SeenVia.MDNS, site)


def _text(properties: Mapping[bytes, bytes | None], key: bytes) -> str:
    """A TXT value; empty when absent, too long or not UTF-8."""
    value = properties.get(key)
    if value is None or len(value) > 255:
        return ""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return ""


def _usable(hosts: Iterable[str], loopback: bool) -> list[str]:
    """Unicast literals in canonical form, zones by interface name; IPv4 first, link-local last."""
    found: dict[str, int] = {}
    for text in hosts:
        try:
            ip: ipaddress.IPv4Address | ipaddress.IPv6Address = ipaddress.ip_address(text)
        except ValueError:
            continue
        if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        if ip.is_multicast or ip.is_unspecified or (ip.is_loopback and not loopback):
            continue
        if isinstance(ip, ipaddress.IPv4Address):
            found[str(ip)] = 2 if ip.is_link_local else 0
        elif not ip.is_link_local:
            found[str(ipaddress.IPv6Address(int(ip)))] = 1
        elif ip.scope_id is not None and (zone := _zone_name(ip.scope_id)):
            found[f"{ipaddress.IPv6Address(int(ip))}%{zone}"] = 3
    return sorted(found, key=lambda host: found[host])


def _zone_name(scope: str) -> str:
    """The interface name of a zone given by number or name; empty when there is no such interface."""
    try:
        return socket.if_indextoname(int(scope)) if scope.isdecimal() else scope
    except (OSError, OverflowError):
        return ""
