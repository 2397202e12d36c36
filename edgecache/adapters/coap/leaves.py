"""Plain CoAP over UDP, read-only, for leaves and any other CoAP client: readings, whole blobs, what there is.

    /.well-known/core            what there is (RFC 6690)
    /node                        about this node, JSON
    /reading                     latest readings of all series, SenML; observable
    /reading/{node}/{series}     one of them; observable
    /blob/{id}                   the bytes of a complete blob, block-wise

Nobody is authenticated here. Nothing a client sends is kept but a bounded number of observations, and of snapshots of
what it is reading block by block.
"""

from __future__ import annotations

import asyncio

from aiocoap import Context

from edgecache.adapters.coap.datagrams import open_leaf_socket
from edgecache.adapters.coap.journal import Journal
from edgecache.adapters.coap.leafsite import LeafSite
from edgecache.adapters.coap.leafsource import LeafSource

LIBRARY_LOGGER = "coap-server"


class Leaves:
    """A running CoAP/UDP server."""

    def __init__(self, context: Context, site: LeafSite, port: int) -> None:
        self._context, self._site, self.port = context, site, port

    @classmethod
    async def start(cls, source: LeafSource, *, host: str | None, port: int, journal: Journal) -> Leaves:
        """Serve on `host` (None: everywhere, IPv4 and IPv6); `.port` is the port, any free one for 0.

        Raises StoreBusy when the port is taken, ConfigError when the host is not ours.
        """
        site = LeafSite(source, journal, asyncio.get_running_loop())
        context = Context(serversite=site, loggername=LIBRARY_LOGGER)
        actual = await open_leaf_socket(context, journal, host, port)
        site.start()
        return cls(context, site, actual)

    async def stop(self) -> None:
        """Close the socket, forget the observers."""
        self._site.stop()
        await self._context.shutdown()
