"""The UDP socket that strangers reach: what is let through to aiocoap, and how much of it."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import socket
from typing import Any

from aiocoap import Context, Message, error
from aiocoap.message import Direction
from aiocoap.messagemanager import MessageManager
from aiocoap.numbers.constants import TransportTuning
from aiocoap.transports.udp6 import MessageInterfaceUDP6, UDP6EndpointAddress

from edgecache.adapters.coap.buckets import Buckets, TokenBucket
from edgecache.adapters.coap.framing import TOKEN_BYTES_MAX
from edgecache.adapters.coap.journal import Journal
from edgecache.adapters.coap.listening import bind
from edgecache.model.errors import ConfigError

RATE, BURST = 1500.0, 5000.0
"""Requests a second from everybody; aiocoap answers about as many on a PC (measured). It remembers each with its answer
for DEDUPLICATE_SECONDS, 2.5 kB (measured): 16 MB in the worst moment, 4 MB sustained."""

SOURCE_RATE, SOURCE_BURST = 500.0, 4000.0
"""The same from one address: 4 MB of a blob at once, then 500 kB/s; also what somebody whose address is forged gets."""

SOURCES_MAX = 4096
"""Addresses whose rate is remembered."""

IPV6_SOURCE_PREFIX = 64
"""Whoever has one IPv6 address has all of its /64."""

DEDUPLICATE_SECONDS = 1.0
"""Every request we serve is idempotent, so repeats need not be recognised (RFC 7252 section 4.5)."""

DATAGRAM_BYTES_MAX = 1280
"""A request has no payload that we read."""


_REQUEST_TYPES = (0, 1)
"""CON and NON."""


class _LeafTuning(TransportTuning):
    EXCHANGE_LIFETIME = DEDUPLICATE_SECONDS


class Gate:
    """Which datagrams are worth parsing."""

    def __init__(self, journal: Journal, now: float) -> None:
        self._journal = journal
        self._all = TokenBucket(RATE, BURST, now)
        self._sources: Buckets[str] = Buckets(SOURCE_RATE, SOURCE_BURST, SOURCES_MAX)

    def admits(self, source: str, data: bytes, now: float) -> bool:
        """Requests, acknowledgements and pings in well-formed frames, at a bearable rate."""
        if not well_formed(data):
            self.garbage(source)
            return False
        if self._sources.take(source_key(source), now) and self._all.take(now):
            return True
        self._journal.warning("leaf-rate", f"more CoAP/UDP requests than are served, some from {plain(source)}")
        return False

    def garbage(self, source: str) -> None:
        """It could not be understood."""
        self._journal.warning("leaf-garbage", f"no CoAP requests but datagrams on that port, from {plain(source)}")


def well_formed(data: bytes) -> bool:
    """The fixed header of a CoAP message that a server may be sent (RFC 7252 section 3)."""
    if not 4 <= len(data) <= DATAGRAM_BYTES_MAX:
        return False
    version, kind, token, code = data[0] >> 6, data[0] >> 4 & 3, data[0] & 0x0F, data[1]
    if version != 1 or token > TOKEN_BYTES_MAX:
        return False
    return kind in _REQUEST_TYPES and code >> 5 == 0 if code else len(data) == 4


def plain(source: str) -> str:
    """An address as people know it."""
    return source.removeprefix("::ffff:")


def source_key(source: str) -> str:
    """What shares one rate: an IPv4 address, an IPv6 network."""
    try:
        address = ipaddress.IPv6Address(source.partition("%")[0])
    except ValueError:
        return source
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, IPV6_SOURCE_PREFIX), strict=False))


class LeafSocket(MessageInterfaceUDP6):
    """aiocoap's UDP transport on a socket of ours, behind a gate; garbage never gets as far as a traceback."""

    gate: Gate | None = None

    def datagram_msg_received(
        self, data: bytes, ancdata: list[tuple[int, int, bytes]], flags: int, address: tuple[str, int, int, int]
    ) -> None:
        """One datagram."""
        gate = self.gate
        if gate is None or not gate.admits(address[0], data, self.loop.time()):
            return
        pktinfo = next(
            (value for level, kind, value in ancdata if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO)),
            None,
        )
        try:
            message = Message.decode(data, UDP6EndpointAddress(address, self, pktinfo=pktinfo))
        except (error.UnparsableMessage, UnicodeDecodeError, ValueError, IndexError):
            gate.garbage(address[0])
            return
        message.direction = Direction.INCOMING
        message.transport_tuning = _LeafTuning()
        try:
            self._ctx.dispatch_message(message)
        except Exception as problem:
            logging.getLogger(__name__).debug("a datagram was not processed", exc_info=problem)
            gate.garbage(address[0])


async def open_leaf_socket(context: Context, journal: Journal, host: str | None, port: int) -> int:
    """Hang a UDP endpoint into `context`; the port, any free one for 0. Raises StoreBusy or ConfigError."""
    sock = await _bound(host, port)
    actual = int(sock.getsockname()[1])
    loop = asyncio.get_running_loop()

    async def make(message_manager: MessageManager) -> Any:
        try:
            endpoint = await LeafSocket._create_transport_endpoint(sock, message_manager, context.log, loop)
        except BaseException:
            sock.close()
            raise
        endpoint.gate = Gate(journal, loop.time())
        return endpoint

    await context._append_tokenmanaged_messagemanaged_transport(make)
    return actual


async def _bound(host: str | None, port: int) -> socket.socket:
    """An IPv6 socket for both families; bound to the IPv4 side only where IPv6 is switched off."""
    if host is None:
        try:
            return bind("udp", socket.AF_INET6, ("::", port, 0, 0))
        except ConfigError:
            return bind("udp", socket.AF_INET6, ("::ffff:0.0.0.0", port, 0, 0))
    try:
        found = await asyncio.get_running_loop().getaddrinfo(
            host, port, family=socket.AF_INET6, type=socket.SOCK_DGRAM, flags=socket.AI_V4MAPPED
        )
    except OSError as problem:
        raise ConfigError(f"cannot listen on {host!r}: {problem}", hint="give an address of this device") from problem
    return bind("udp", socket.AF_INET6, found[0][4])
