"""An agent without a network: a real driver, core, store and control socket; its peers are what a test says."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from edgecache.adapters.control.client import ControlClient
from edgecache.adapters.control.server import ControlServer
from edgecache.adapters.system.clock import SystemClock
from edgecache.core import vocabulary as v
from edgecache.core.node import Node, NodeConfig
from edgecache.daemon.driver import Driver
from edgecache.daemon.engine import held
from edgecache.daemon.operations import Operations
from edgecache.daemon.readings import ReadingsBoard
from edgecache.model.errors import NotFound, Unreachable
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId, Digest, NodeId, node_id_from_bytes
from edgecache.model.peer import Address, CloseReason, PeerInfo
from edgecache.model.priority import Priority
from edgecache.ports import LinkGauge, Links, LinkStats
from edgecache.store.disk import DiskStore
from edgecache.wire.messages import Have, Hello, Message, StatePush

T = TypeVar("T")

MIB = 1024 * 1024
CAP = 48 * MIB


def node(number: int) -> NodeId:
    return node_id_from_bytes(number.to_bytes(16, "big"))


ME, PEER = node(100), node(1)


class OnePeer(Links):
    """Links to one peer, which has what is in its store, and gives it as fast as it is let."""

    def __init__(self, source: DiskStore | None) -> None:
        self.source = source
        self.driver: Driver | None = None
        self.gate = asyncio.Event()
        """Chunks come while it is set."""
        self.gate.set()
        self.old = False
        """It knows nothing of small blobs."""
        self.sent: list[Message] = []
        self.stopping: asyncio.Event | None = None
        """`stop` waits for it, if there is one."""
        self.priorities: list[Priority] = []
        """Of the units that were asked for."""
        self.paces: dict[NodeId, float] = {}

    async def dial(self, node: NodeId | None, addresses: Iterable[Address]) -> None:
        raise Unreachable("nobody is there")

    def close(self, link: v.LinkId, reason: CloseReason) -> None:
        return

    def send(self, peer: NodeId, message: Message) -> bool:
        self.sent.append(message)
        if isinstance(message, Have) and message.wanting and message.full and self.source is not None:
            assert self.driver is not None
            try:
                have = self.source.blob(message.blob).have
            except NotFound:
                have = HaveSet()
            self.driver.received(peer, Have(message.blob, have, full=True, wanting=False))
        return True

    async def ping(self, link: v.LinkId, idle: float, timeout: float) -> tuple[float, float | None]:
        return 0.0, 0.001

    async def fetch_manifest(self, peer: NodeId, blob: BlobId, page: int | None, timeout: float) -> bytes:
        assert self.source is not None
        return self.source.root(blob) if page is None else self.source.page(blob, page)

    async def fetch_small(
        self, peer: NodeId, blob: BlobId, most: int, timeout: float, priority: Priority
    ) -> tuple[bytes, bool]:
        assert self.source is not None
        info = self.source.blob(blob).info
        if self.old or info.chunks != 1 or info.size > most:
            return self.source.root(blob), False
        await self.gate.wait()
        return self.source.read(blob, 0), True

    async def fetch_unit(
        self, peer: NodeId, blob: BlobId, index: int, digest: Digest, offset: int, size: int, timeout: float,
        priority: Priority = Priority.NORMAL,
    ) -> bytes:
        self.priorities.append(priority)
        assert self.source is not None
        if index % 4 == 3:
            await self.gate.wait()
        return self.source.read(blob, index, offset, size)

    def stats(self) -> list[LinkStats]:
        return []

    def measure(self) -> list[LinkGauge]:
        return []

    def pace(self, peer: NodeId, rate: float) -> None:
        self.paces[peer] = rate

    async def stop(self) -> None:
        if self.stopping is not None:
            await self.stopping.wait()


class Notary:
    """ports.Signer that believes everybody."""

    node, certificate = ME, b"certificate"

    def sign_head(self, epoch: int, version: int, map_hash: Digest) -> bytes:
        return b"s" * 64

    def knows(self, owner: NodeId) -> bool:
        return True

    def verify_push(self, push: StatePush) -> bool:
        return True

    def outdated(self, push: StatePush) -> bool:
        return False


class Lines:
    """What would be in the log."""

    def __init__(self) -> None:
        self.causes: list[str] = []

    def log(self, level: int, cause: str, text: str) -> None:
        self.causes.append(cause)

    def warning(self, cause: str, text: str) -> None:
        self.causes.append(cause)


class InProcess:
    """The agent and how a test reaches it."""

    def __init__(self, directory: Path, links: OnePeer, cap: int) -> None:
        self.store = DiskStore(directory / "store", cap=cap, reserve=0)
        self.lines, self.links = Lines(), links
        self.remembered: list[tuple[PeerInfo, ...]] = []
        core = Node(v.Identity(ME, "mesh", "home", "me", 1, ()), NodeConfig(cap=cap), Random(1))
        self.driver = Driver(
            core, store=self.store, signer=Notary(), clock=SystemClock(), limiter=self.lines,
            remember=self.remembered.append,
        )  # fmt: skip
        self.driver.links, links.driver = links, self.driver
        self.board = ReadingsBoard(core, self.driver.clock)
        self.driver.listen(self.board.heard)
        self.socket = directory / "control.sock"
        self.operations = Operations(self.driver, self.board, {"node": ME, "name": "me"})
        self.control = ControlServer(self.socket, self.operations.table())

    def begin(self, priority_of: Callable[[BlobId], Priority] = lambda blob: Priority.NORMAL) -> None:
        """Tell the core what is here."""
        self.driver.post(v.StoreSpace(self.store.usage().free_over_reserve))
        for stored in self.store.blobs():
            self.driver.post(held(stored, priority_of(stored.info.blob)))
        self.driver.post(v.Started())

    def meet(self) -> None:
        """The peer links."""
        hello = Hello(PEER, "mesh", "home", "attic", 1, 1 << 16, ())
        self.driver.link_opened(v.LinkId(1), hello, dialled=False, address=None)

    async def do(self, work: Callable[[Path], T]) -> T:
        """Something blocking, as a command in another process would do it."""
        return await asyncio.wait_for(asyncio.to_thread(work, self.socket), 30.0)

    async def call(self, op: str, **arguments: object) -> dict[str, Any]:
        """One request without content."""

        def work(path: Path) -> dict[str, Any]:
            with ControlClient(path) as client:
                return client.call(op, **arguments)

        return await self.do(work)

    async def put(self, data: bytes, **arguments: object) -> dict[str, Any]:
        """One put."""

        def work(path: Path) -> dict[str, Any]:
            with ControlClient(path) as client:
                client.request("put", **arguments)
                client.send_content(data[at : at + MIB] for at in range(0, len(data), MIB))
                *_, reply = client.replies()
                return reply

        return await self.do(work)

    async def content(self, blob: str) -> bytes:
        """All of a blob."""

        def work(path: Path) -> bytes:
            with ControlClient(path) as client:
                client.request("get", blob=blob, content=True)
                return b"".join(
                    part for reply in client.replies() if reply.get("event") == "content" for part in client.content()
                )

        return await self.do(work)

    async def until(self, what: Callable[[], object]) -> None:
        """Wait until it is so."""
        async with asyncio.timeout(15.0):
            while not what():
                await asyncio.sleep(0.01)


@asynccontextmanager
async def agent(
    directory: Path, links: OnePeer | None = None, *, cap: int = CAP,
    priority_of: Callable[[BlobId], Priority] = lambda blob: Priority.NORMAL,
) -> AsyncIterator[InProcess]:
    """One that runs."""
    one = InProcess(directory, links or OnePeer(None), cap)
    one.begin(priority_of)
    await one.control.start()
    try:
        yield one
    finally:
        await one.control.stop()
        await one.driver.stop()


def run(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """To the end, but not for ever."""
    asyncio.run(asyncio.wait_for(work(), 60.0))


def sample(seed: int, size: int) -> bytes:
    """Content of which no two chunks are alike."""
    return Random(seed).randbytes(size)


def sha256(data: bytes) -> str:
    """As the agent reports it."""
    return hashlib.sha256(data).hexdigest()


def source_of(directory: Path, data: bytes) -> tuple[DiskStore, BlobId]:
    """A peer's store with this blob."""
    store = DiskStore(directory, cap=CAP, reserve=0)
    draft = store.draft()
    draft.write(data)
    return store, draft.commit(name="", pin=True).info.blob


@asynccontextmanager
async def beside_a_source(
    directory: Path, data: bytes, *, held_up: bool = True
) -> AsyncIterator[tuple[InProcess, BlobId]]:
    """An agent linked with a peer that has this blob; `held_up`: some chunks come only when the gate is set."""
    source, blob = source_of(directory / "peer", data)
    try:
        async with agent(directory, OnePeer(source)) as one:
            one.meet()
            if held_up:
                one.links.gate.clear()
            yield one, blob
    finally:
        source.close()
