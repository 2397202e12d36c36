"""A CoAP/UDP server over invented readings and blobs, and real clients of it."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
from collections.abc import Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from typing import Any

from edgecache.adapters.coap.framing import encode_options
from edgecache.adapters.coap.leafsource import LeafReading, LeafSource
from edgecache.adapters.coap.leaves import Leaves
from edgecache.model.errors import NotFound
from edgecache.model.ids import BlobId, NodeId, blob_id_from_root, node_id_from_bytes
from edgecache.model.reading import Failure, Reading
from tests.integration.coap.mesh import Log

CLIENT = "coap-client-notls"
NODE = node_id_from_bytes(b"n" * 16)
BLOB = blob_id_from_root(b"a leaf's blob")
EMPTY = blob_id_from_root(b"nothing")
BODY = bytes(i * 7 % 251 for i in range(1_000_000))


class Source(LeafSource):
    """Two series, one of which fails, and two blobs."""

    def __init__(self) -> None:
        self.values: dict[str, Reading | Failure] = {
            "room/temperature": Reading("room/temperature", 21.5, "Cel", 0.0),
            "door": Failure("door", "no such file", 0.0),
        }
        self.data = {BLOB: BODY, EMPTY: b""}
        self.listeners: list[Callable[[NodeId, str], None]] = []
        self.reads = 0

    def set(self, series: str, value: float) -> None:
        self.values[series] = Reading(series, value, "Cel", 0.0)
        for listener in self.listeners:
            listener(NODE, series)

    def node(self) -> Mapping[str, object]:
        return {"node": NODE, "name": "pi"}

    def readings(self) -> Iterable[LeafReading]:
        return [LeafReading(NODE, value, 2.0) for _, value in sorted(self.values.items())]

    def reading(self, node: NodeId, series: str) -> LeafReading | None:
        value = self.values.get(series) if node == NODE else None
        return None if value is None else LeafReading(NODE, value, 2.0)

    def watch(self, listener: Callable[[NodeId, str], None]) -> Callable[[], None]:
        self.listeners.append(listener)
        return lambda: self.listeners.remove(listener)

    def blobs(self) -> Iterable[tuple[BlobId, int]]:
        return [(blob, len(data)) for blob, data in self.data.items()]

    def blob_size(self, blob: BlobId) -> int | None:
        return len(self.data[blob]) if blob in self.data else None

    async def read_blob(self, blob: BlobId, offset: int, size: int) -> bytes:
        self.reads += 1
        await asyncio.sleep(0)
        if blob not in self.data:
            raise NotFound("gone")
        return self.data[blob][offset : offset + size]


class World:
    """A running server."""

    def __init__(self, leaves: Leaves, source: Source, log: Log, directory: Path) -> None:
        self.leaves, self.source, self.log, self.directory = leaves, source, log, directory

    def uri(self, path: str, host: str = "127.0.0.1") -> str:
        return f"coap://{host}:{self.leaves.port}{path}"

    async def client(self, *arguments: str, path: str, host: str = "127.0.0.1") -> tuple[bytes, str]:
        """libcoap's client: the body it wrote, and its log (its exit code is 0 even on errors)."""
        out = self.directory / "out"
        out.unlink(missing_ok=True)
        process = await asyncio.create_subprocess_exec(
            CLIENT, "-m", "get", "-v", "6", "-o", str(out), *arguments, self.uri(path, host),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )
        text, _ = await process.communicate()
        return (out.read_bytes() if out.exists() else b""), text.decode(errors="replace")

    async def exchange(self, *datagrams: bytes, answers: int, timeout: float = 3.0) -> list[bytes]:
        """Send raw datagrams, and wait for so many back."""
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect(("127.0.0.1", self.leaves.port))
            for datagram in datagrams:
                await loop.sock_sendall(sock, datagram)
            async with asyncio.timeout(timeout):
                return [await loop.sock_recv(sock, 4096) for _ in range(answers)]


def request(
    number: int, *path: bytes, more: tuple[tuple[int, bytes], ...] = (), code: int = 1, kind: int = 0, tail: bytes = b""
) -> bytes:
    """A CoAP/UDP request; `more` are further options, `tail` is put behind them as it is."""
    options = sorted([*((11, part) for part in path), *more], key=lambda option: option[0])
    header = bytes([0x41 | kind << 4, code]) + number.to_bytes(2, "big") + bytes([number & 0xFF])
    return header + encode_options(options) + tail


def value_of(body: bytes) -> float:
    """The value of a SenML JSON pack of one record."""
    record, = json.loads(body)
    return float(record["v"])


def with_leaves(test: Callable[[World], Coroutine[Any, Any, None]]) -> Callable[[Path], None]:
    """A test that is given a server; an error that only the event loop hears fails it."""

    def run(tmp_path: Path) -> None:
        unheard: list[dict[str, Any]] = []

        async def body() -> None:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: unheard.append(context))
            source, log = Source(), Log()
            leaves = await Leaves.start(source, host=None, port=0, journal=log)
            try:
                async with asyncio.timeout(40):
                    await test(World(leaves, source, log, tmp_path))
            finally:
                await leaves.stop()

        asyncio.run(body())
        gc.collect()
        assert not unheard

    run.__name__, run.__doc__, run.__module__ = test.__name__, test.__doc__, test.__module__
    return run
