"""A member of the mesh that only asks: a link to one agent without an agent of its own behind it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from edgecache.adapters.coap.links import CoapLinks
from edgecache.adapters.pki.authority import Authority
from edgecache.adapters.pki.credentials import Credentials, install, read_bundle, tls_contexts
from edgecache.adapters.pki.files import IdentityFiles
from edgecache.adapters.pki.keys import create_key
from edgecache.adapters.pki.profile import check_peer
from edgecache.adapters.system.journal import RateLimited
from edgecache.core.vocabulary import LinkId
from edgecache.fleet.agents import Agent
from edgecache.model.errors import NotFound
from edgecache.model.ids import BlobId, Digest, NodeId
from edgecache.model.peer import Address, CloseReason
from edgecache.model.priority import Priority
from edgecache.ports import LinkHandler, Refusal
from edgecache.wire.messages import Hello, Message

MEET_TIMEOUT = 10.0


class Guest(LinkHandler):
    """What the transport calls: it is greeted, and has nothing to give."""

    def __init__(self, credentials: Credentials, site: str) -> None:
        self._hello = Hello(credentials.node, credentials.mesh, site, "guest", 1, 0, ())
        self.met = asyncio.Event()

    def hello(self) -> Hello:
        """Not to be dialled: it listens nowhere."""
        return self._hello

    def may_link(self, peer: NodeId) -> bool:
        """Everybody of the mesh."""
        return True

    def link_opened(self, link: LinkId, hello: Hello, *, dialled: bool, address: Address | None) -> None:
        """Questions can be asked."""
        self.met.set()

    def link_closed(self, link: LinkId, peer: NodeId, reason: CloseReason, detail: str) -> None:
        """Questions fail from now on."""

    def received(self, peer: NodeId, message: Message) -> None:
        """Gossip is not answered."""

    async def serve_unit(
        self, peer: NodeId, blob: BlobId, index: int, digest: Digest, offset: int, size: int,
        priority: Priority = Priority.NORMAL,
    ) -> Refusal:  # fmt: skip
        """Nothing is here."""
        return Refusal()

    def unit_sent(self, peer: NodeId, blob: BlobId, index: int, offset: int) -> None:
        """Never."""

    async def serve_manifest(
        self, peer: NodeId, blob: BlobId, page: int | None, most: int = 0, priority: Priority = Priority.NORMAL
    ) -> bytes:
        """Nothing is here."""
        raise NotFound("a guest has no blobs")


@asynccontextmanager
async def linked(host: Agent, address: Address, directory: Path) -> AsyncIterator[CoapLinks]:
    """A link to an agent, as a new member of its mesh; `host` must be the one that has the CA."""
    files = IdentityFiles(directory)
    authority, key = Authority.load(IdentityFiles(host.directory / "data").ca_key), create_key(files.node_key)
    credentials = read_bundle(key, authority.bundle(authority.issue(key.public_key())))
    install(files, credentials)
    server_tls, client_tls = tls_contexts(files)
    guest = Guest(credentials, host.ask("status")["site"])
    links = await CoapLinks.create(
        guest, server_tls=server_tls, client_tls=client_tls, journal=RateLimited(logging.getLogger("edgecache")),
        check_peer=lambda der: check_peer(der, mesh=credentials.mesh, wall_time=None).node,
    )  # fmt: skip
    try:
        await links.dial(NodeId(host.node), [address])
        async with asyncio.timeout(MEET_TIMEOUT):
            await guest.met.wait()
        yield links
    finally:
        await links.stop()
