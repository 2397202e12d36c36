"""An engine whose store and links do what a test says, and which remembers what the core would have heard."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar, cast

from edgecache.core import vocabulary as v
from edgecache.core.node import Node, NodeConfig
from edgecache.daemon.engine import Engine, Lane, Listener
from edgecache.model.content import BlobInfo
from edgecache.model.errors import NotFound
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId, Digest, NodeId, blob_id_from_root, node_id_from_bytes, sha256
from edgecache.model.instant import Instant, WallTime
from edgecache.model.priority import Priority
from edgecache.ports import ChunkStore, Links, StoredBlob

T = TypeVar("T")
E = TypeVar("E")

CHUNK = b"the only chunk"
BLOB = blob_id_from_root(b"a root")
INFO = BlobInfo(BLOB, len(CHUNK), sha256(CHUNK))
DIGEST = sha256(CHUNK)


def node(number: int) -> NodeId:
    return node_id_from_bytes(number.to_bytes(16, "big"))


class StubClock:
    """ports.Clock that stands still until told."""

    def __init__(self) -> None:
        self.at = 100.0
        self.trusted = False

    def now(self) -> Instant:
        return self.at

    def wall(self) -> WallTime:
        return WallTime(1.7e9 + self.at)

    def wall_trusted(self) -> bool:
        return self.trusted


class StubStore:
    """One blob of one chunk; `fails` names the calls that raise, and what."""

    def __init__(self) -> None:
        self.held: StoredBlob | None = StoredBlob(INFO, HaveSet.full(1), HaveSet.full(1), False, True, False)
        self.fails: dict[str, Exception] = {}
        self.calls: list[str] = []

    def _call(self, name: str) -> StoredBlob:
        self.calls.append(name)
        if (error := self.fails.get(name)) is not None:
            raise error
        if self.held is None:
            raise NotFound("it is not here")
        return self.held

    def blob(self, blob: BlobId) -> StoredBlob:
        return self._call("blob")

    def begin(self, blob: BlobId, root: bytes, *, pin: bool) -> StoredBlob:
        self.held = StoredBlob(INFO, HaveSet(), HaveSet(), pin, False, False)
        return self._call("begin")

    def chunk_digest(self, blob: BlobId, index: int) -> Digest:
        self._call("chunk_digest")
        return DIGEST

    def read(self, blob: BlobId, index: int, offset: int = 0, size: int | None = None) -> bytes:
        self._call("read")
        return CHUNK

    def read_now(
        self, blob: BlobId, index: int, digest: Digest | None, offset: int = 0, size: int | None = None
    ) -> bytes | None:
        return None

    def put_chunk(self, blob: BlobId, index: int, data: bytes) -> None:
        self._call("put_chunk")

    def complete(self, blob: BlobId) -> None:
        self._call("complete")

    def set_wanted(self, blob: BlobId, wanted: bool) -> None:
        self._call(f"set_wanted {wanted}")

    def remove(self, blob: BlobId) -> int:
        self._call("remove")
        return INFO.size


class StubLinks:
    """Answers when the test does."""

    def __init__(self) -> None:
        self.asked: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def fetch_manifest(self, peer: NodeId, blob: BlobId, page: int | None, timeout: float) -> bytes:
        return await self.asked

    async def fetch_unit(
        self, peer: NodeId, blob: BlobId, index: int, digest: Digest, offset: int, size: int, timeout: float,
        priority: Priority = Priority.NORMAL,
    ) -> bytes:
        return await self.asked


class StubEngine(Engine):
    """Remembers events instead of handling them; calls of the store wait while `hold` is set."""

    def __init__(self) -> None:
        me = v.Identity(node(100), "mesh", "home", "me", 1, ())
        self.node = Node(me, NodeConfig(), Random(1))
        self.clock = StubClock()
        self.stub, self.stub_links = StubStore(), StubLinks()
        self.store = cast(ChunkStore, self.stub)
        self.keeping = asyncio.Lock()
        self.events: list[v.Event] = []
        self.warned: list[str] = []
        self.listeners: list[Listener] = []
        self.tasks: list[asyncio.Task[None]] = []
        self.hold: asyncio.Event | None = None
        self.answer: Callable[[v.Event], v.Report | None] = lambda event: None
        """What the core would report at once."""
        self._numbers = 0

    @property
    def links(self) -> Links:
        return cast(Links, self.stub_links)

    def post(self, event: v.Event) -> None:
        self.events.append(event)
        if (report := self.answer(event)) is not None:
            self.report(report)

    def report(self, report: v.Report) -> None:
        for listener in list(self.listeners):
            listener(report)

    def listen(self, listener: Listener) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self.tasks.append(task)
        return task

    async def in_store(self, work: Callable[..., T], *arguments: Any, lane: Lane = Lane.CHANGE) -> T:
        if self.hold is not None:
            await self.hold.wait()
        return work(*arguments)

    def next_request(self) -> v.RequestId:
        self._numbers += 1
        return v.RequestId(self._numbers)

    def warn(self, cause: str, text: str) -> None:
        self.warned.append(cause)

    # ---- for tests

    async def settle(self) -> None:
        """Let everything that can go on do so."""
        for _ in range(20):
            await asyncio.sleep(0)

    def heard(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]
