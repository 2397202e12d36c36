"""The links of a node: `ports.Links` over CoAP, TLS 1.3 and TCP."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable

from aiocoap import Context

from edgecache.adapters.coap.asking import Asker
from edgecache.adapters.coap.bounds import LinkBounds
from edgecache.adapters.coap.connection import Connection
from edgecache.adapters.coap.dialling import Dialler
from edgecache.adapters.coap.exchange import Exchange
from edgecache.adapters.coap.journal import Journal
from edgecache.adapters.coap.listening import bind_tcp
from edgecache.adapters.coap.pacing import NoRests, Rests
from edgecache.adapters.coap.site import MeshSite
from edgecache.adapters.coap.switchboard import Switchboard
from edgecache.adapters.coap.units import UnitServer
from edgecache.core.vocabulary import LinkId
from edgecache.model.errors import TimedOut, Unreachable
from edgecache.model.ids import BlobId, Digest, NodeId
from edgecache.model.peer import Address, CloseReason
from edgecache.model.priority import Priority
from edgecache.ports import LinkGauge, LinkHandler, Links, LinkStats
from edgecache.wire.messages import Message

LIBRARY_LOGGER = "coap"


class CoapLinks(Links):
    """Made by `create`; listens after `listen`, dials without it."""

    def __init__(
        self, context: Context, switchboard: Switchboard, dialler: Dialler, asker: Asker, server_tls: ssl.SSLContext
    ) -> None:
        self._context, self._switchboard, self._dialler, self._asker = context, switchboard, dialler, asker
        self._server_tls = server_tls
        self._servers: list[asyncio.Server] = []
        self._loop = asyncio.get_running_loop()

    @classmethod
    async def create(
        cls, handler: LinkHandler, *, server_tls: ssl.SSLContext, client_tls: ssl.SSLContext,
        check_peer: Callable[[bytes], NodeId], journal: Journal, bounds: LinkBounds = LinkBounds(),  # noqa: B008
        rests: Rests = NoRests(),  # noqa: B008
    ) -> CoapLinks:
        """Links for `handler`. Both TLS contexts must demand the peer's certificate; `check_peer` is given its DER
        and names the node, or raises Denied. `rests` hears what comes, and says how late bulk may be."""
        for context in (server_tls, client_tls):
            if context.verify_mode is not ssl.CERT_REQUIRED:
                raise ValueError("a TLS context that does not demand a certificate")
        context = Context(serversite=MeshSite(handler, journal.warning), loggername=LIBRARY_LOGGER)
        exchange = await Exchange.attach(context, UnitServer(handler, journal.warning))
        switchboard = Switchboard(handler, exchange, check_peer, journal, bounds, rests)
        dialler = Dialler(switchboard, client_tls, bounds)
        return cls(context, switchboard, dialler, Asker(context, exchange, switchboard), server_tls)

    async def listen(self, host: str | None, port: int) -> int:
        """Accept links on `host` (None: everywhere, IPv4 and IPv6) and return the port, any free one for 0.

        Raises StoreBusy when the port is taken, ConfigError when the host is not ours.
        """
        sockets = await bind_tcp(host, port)
        for sock in sockets:
            self._servers.append(await self._loop.create_server(self._accept, sock=sock))
        return int(sockets[0].getsockname()[1])

    def _accept(self) -> asyncio.BufferedProtocol:
        return Connection(self._switchboard, self._server_tls, None).stream

    async def dial(self, node: NodeId | None, addresses: Iterable[Address]) -> None:
        """Race the addresses; link_opened has been called when this returns; raises TransportError or Denied."""
        await self._dialler.dial(node, addresses)

    def close(self, link: LinkId, reason: CloseReason) -> None:
        """Close a link, with a goodbye when the reason is planned; harmless when it is closed already."""
        connection = self._switchboard.link(link)
        if connection is not None:
            connection.close(reason)

    def send(self, peer: NodeId, message: Message) -> bool:
        """Queue a control message on the newest link; False when there is none."""
        return self._switchboard.post(peer, message)

    async def ping(self, link: LinkId, idle: float, timeout: float) -> tuple[float, float | None]:
        """(seconds silent, round trip or None when something was received meanwhile or within `idle`).

        Raises TimedOut when nothing came, Unreachable when the link is closed.
        """
        connection = self._switchboard.link(link)
        if connection is None:
            raise Unreachable("the link is closed")
        silent = self._loop.time() - connection.stream.last_received
        if silent <= idle:
            return silent, None
        began = self._loop.time()
        try:
            rtt = await connection.ping(timeout)
        except TimedOut:
            if connection.stream.last_received <= began:
                raise
            return self._loop.time() - connection.stream.last_received, None
        return silent, rtt

    async def fetch_manifest(self, peer: NodeId, blob: BlobId, page: int | None, timeout: float) -> bytes:
        """Root or page as the peer has it, not checked. NotFound, Refused, Denied, TimedOut, Unreachable."""
        return await self._asker.manifest(peer, blob, page, timeout)

    async def fetch_small(
        self, peer: NodeId, blob: BlobId, most: int, timeout: float, priority: Priority
    ) -> tuple[bytes, bool]:
        """A root and False, or all of a small blob and True. As `fetch_manifest`."""
        return await self._asker.small(peer, blob, most, timeout, priority)

    async def fetch_unit(
        self, peer: NodeId, blob: BlobId, index: int, digest: Digest, offset: int, size: int, timeout: float,
        priority: Priority = Priority.NORMAL,
    ) -> bytes | memoryview:
        """Exactly these bytes of a chunk, not checked. As `fetch_manifest`; MalformedMessage for another number."""
        return await self._asker.unit(peer, blob, index, digest, offset, size, timeout, priority)

    def measure(self) -> list[LinkGauge]:
        """What TCP knows of the newest link to each peer."""
        gauges = []
        for connection in self._switchboard.links():
            state = connection.stream.socket_state()
            if state is not None and connection.link is not None and connection.peer is not None:
                gauges.append(LinkGauge(
                    connection.link, connection.peer, state.rtt, state.min_rtt, state.acked, connection.stream.received
                ))  # fmt: skip
        return gauges

    def pace(self, peer: NodeId, rate: float) -> None:
        """Send at most so many bytes a second on the links to a peer; 0 is unlimited."""
        for connection in self._switchboard.links():
            if connection.peer == peer:
                connection.stream.pace(rate)

    def stats(self) -> list[LinkStats]:
        """What each open link has carried; bytes as on the network, TLS included."""
        return [self._stats(connection) for connection in self._switchboard.links()]

    def _stats(self, connection: Connection) -> LinkStats:
        assert connection.peer is not None
        stream = connection.stream
        state = stream.socket_state()
        return LinkStats(
            peer=connection.peer,
            address=str(connection.address or Address(connection.source, connection.port)),
            dialled=connection.dialled,
            age=self._loop.time() - connection.born,
            rtt=connection.rtt if connection.rtt is not None else (state.rtt or None if state else None),
            sent=stream.sent,
            received=stream.received,
            queued=stream.unacknowledged,
        )

    async def stop(self) -> None:
        """Say goodbye and close everything, within a second."""
        for server in self._servers:
            server.close()
        await self._dialler.stop()
        await self._switchboard.stop()
        await self._context.shutdown()
