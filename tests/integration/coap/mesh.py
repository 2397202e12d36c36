"""A mesh on loopback: certificates, a handler that records what it hears, nodes with real links."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgecache.adapters.coap.bounds import LinkBounds
from edgecache.adapters.coap.links import CoapLinks
from edgecache.adapters.coap.pacing import NoRests, Rests
from edgecache.core.vocabulary import LinkId
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import Denied, NotFound
from edgecache.model.ids import BlobId, Digest, NodeId, blob_id_from_root, node_id_from_spki, sha256
from edgecache.model.peer import Address, CloseReason
from edgecache.model.priority import Priority
from edgecache.ports import LinkHandler, Part, Refusal, Whole
from edgecache.wire.messages import Hello, Message

IGNORE_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME: a device whose clock says 1970 must be able to join."""

MESH = "testmesh"
BLOB = blob_id_from_root(b"the root")
CHUNK = bytes(range(256)) * (CHUNK_BYTES // 256)


@dataclass(frozen=True)
class Identity:
    """A key and certificate, as a PEM file for ssl."""

    node: NodeId
    pem: Path


class Authority:
    """A mesh CA."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory, self._key = directory, Ed25519PrivateKey.generate()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._certificate(self._name, self._key, ca=True, days=(-1, 30))
        self.path = directory / f"{name}.ca.pem"
        self.path.write_bytes(self.certificate.public_bytes(Encoding.PEM))

    def issue(self, name: str, *, days: tuple[int, int] = (-1, 30)) -> Identity:
        """A node certificate, valid from and to so many days from now."""
        key = Ed25519PrivateKey.generate()
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._certificate(subject, key, ca=False, days=days)
        path = self._directory / f"{name}.pem"
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(private + certificate.public_bytes(Encoding.PEM))
        spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return Identity(node_id_from_spki(spki), path)

    def _certificate(
        self, subject: x509.Name, key: Ed25519PrivateKey, *, ca: bool, days: tuple[int, int]
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + datetime.timedelta(days=days[0]))
            .not_valid_after(now + datetime.timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=0 if ca else None), critical=True)
        )
        if not ca:
            both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
        return builder.sign(self._key, None)

    def contexts(self, identity: Identity | None) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        """(server, client) contexts that trust this CA and show `identity`."""
        server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client.check_hostname = False
        server.verify_mode = ssl.CERT_REQUIRED
        for context in (server, client):
            context.minimum_version = ssl.TLSVersion.TLSv1_3
            context.verify_flags |= ssl.VerifyFlags(IGNORE_TIME)
            context.load_verify_locations(self.path)
            if identity is not None:
                context.load_cert_chain(identity.pem)
        return server, client


@cache
def _node_of(der: bytes) -> NodeId:
    public = x509.load_der_x509_certificate(der).public_key()
    return node_id_from_spki(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))


class Recorder(LinkHandler):
    """A handler that writes everything down, and serves one blob."""

    def __init__(self, node: NodeId) -> None:
        self.greeting = Hello(node, MESH, "default", "test", 1, 0, ())
        self.banned: set[NodeId] = set()
        self.open: dict[LinkId, Hello] = {}
        self.opened: list[tuple[LinkId, NodeId, bool, Address | None]] = []
        self.closed: list[tuple[LinkId, NodeId, CloseReason, str]] = []
        self.messages: list[tuple[NodeId, Message]] = []
        self.units_sent: list[tuple[int, int]] = []
        self.small: bytes | None = None
        """What a small blob is answered with; None is an older node's answer, the root."""
        self.smalls: list[tuple[int, Priority]] = []
        self.units_asked = 0
        self.priorities: list[Priority] = []
        self.units_cancelled = 0
        self.chunk = CHUNK
        self.digest = sha256(CHUNK)
        self.refusal: Refusal | None = None
        self.turn: asyncio.Event | None = None
        """When set: units wait for it."""
        self.changed = asyncio.Event()

    def _note(self) -> None:
        self.changed.set()

    async def until(self, condition: Callable[[], object], timeout: float = 10.0) -> None:
        """Wait until a condition on what was recorded holds."""
        async with asyncio.timeout(timeout):
            while not condition():
                self.changed.clear()
                await self.changed.wait()

    def hello(self) -> Hello:
        return self.greeting

    def may_link(self, peer: NodeId) -> bool:
        return peer not in self.banned

    def link_opened(self, link: LinkId, hello: Hello, *, dialled: bool, address: Address | None) -> None:
        self.open[link] = hello
        self.opened.append((link, hello.node, dialled, address))
        self._note()

    def link_closed(self, link: LinkId, peer: NodeId, reason: CloseReason, detail: str) -> None:
        del self.open[link]
        self.closed.append((link, peer, reason, detail))
        self._note()

    def received(self, peer: NodeId, message: Message) -> None:
        self.messages.append((peer, message))
        self._note()

    async def serve_unit(
        self, peer: NodeId, blob: BlobId, index: int, digest: Digest, offset: int, size: int,
        priority: Priority = Priority.NORMAL,
    ) -> Part | Refusal:
        self.units_asked += 1
        self.priorities.append(priority)
        self._note()
        try:
            if self.turn is not None:
                await self.turn.wait()
        except asyncio.CancelledError:
            self.units_cancelled += 1
            self._note()
            raise
        if self.refusal is not None:
            return self.refusal
        if blob != BLOB or digest != self.digest:
            return Refusal()
        return Part(self.chunk[offset : offset + size], offset + size < len(self.chunk))

    def unit_sent(self, peer: NodeId, blob: BlobId, index: int, offset: int) -> None:
        self.units_sent.append((index, offset))
        self._note()

    async def serve_manifest(
        self, peer: NodeId, blob: BlobId, page: int | None, most: int = 0, priority: Priority = Priority.NORMAL
    ) -> bytes | Whole:
        if blob != BLOB or page not in (None, 0):
            raise NotFound("not here")
        if most:
            self.smalls.append((most, priority))
            if self.small is not None:
                return Whole(self.small)
        return b"the root" if page is None else b"page 0"


@dataclass
class Log:
    """A journal that keeps its lines."""

    lines: list[tuple[str, str]] = field(default_factory=list)

    def warning(self, cause: str, text: str) -> None:
        self.lines.append((cause, text))

    def causes(self) -> set[str]:
        return {cause for cause, _ in self.lines}


@dataclass
class Node:
    """One end."""

    identity: Identity
    handler: Recorder
    links: CoapLinks
    port: int
    log: Log

    @property
    def id(self) -> NodeId:
        return self.identity.node

    @property
    def address(self) -> Address:
        return Address("127.0.0.1", self.port)


class Mesh:
    """Makes nodes of one CA and stops them."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = Authority(directory, "mesh")
        self._stack = contextlib.AsyncExitStack()
        self._count = 0

    async def __aenter__(self) -> Mesh:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def node(
        self, *, authority: Authority | None = None, identity: Identity | None = None,
        bounds: LinkBounds = LinkBounds(),  # noqa: B008
        refuse: NodeId | None = None, listen: bool = True, rests: Rests = NoRests(),  # noqa: B008
    ) -> Node:
        """A started node; `refuse` is a node whose certificate it does not take for one of the mesh."""
        self._count += 1
        authority = authority or self.authority
        identity = identity or authority.issue(f"node{self._count}")
        server, client = authority.contexts(identity)
        handler, log = Recorder(identity.node), Log()

        def check(der: bytes) -> NodeId:
            node = _node_of(der)
            if node == refuse:
                raise Denied("not a member")
            return node

        links = await CoapLinks.create(
            handler, server_tls=server, client_tls=client, check_peer=check, journal=log, bounds=bounds, rests=rests
        )
        self._stack.push_async_callback(links.stop)
        port = await links.listen("127.0.0.1", 0) if listen else 0
        return Node(identity, handler, links, port, log)

    async def pair(self, bounds: LinkBounds = LinkBounds()) -> tuple[Node, Node]:  # noqa: B008
        """Two linked nodes; the first has dialled."""
        one, two = await self.node(bounds=bounds), await self.node(bounds=bounds)
        await one.links.dial(two.id, [two.address])
        await two.handler.until(lambda: two.handler.open)
        return one, two


def with_hello(node: Node, /, **changes: object) -> None:
    """Let a node say another hello."""
    node.handler.greeting = replace(node.handler.greeting, **changes)  # type: ignore[arg-type]


def in_mesh(test: Callable[[Mesh], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    """A test that is given a mesh, with nodes stopped at its end; an error that only the event loop hears fails it."""

    def run(tmp_path: Path) -> None:
        unheard: list[dict[str, Any]] = []

        async def body() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
            async with Mesh(tmp_path) as mesh, asyncio.timeout(30):
                await test(mesh)

        asyncio.run(body())
        gc.collect()
        assert not unheard

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return run
