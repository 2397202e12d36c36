"""A peer that says exactly what a test wants it to say, however wrong."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl

from edgecache.adapters.coap import framing as f
from edgecache.adapters.coap.control import post_head
from edgecache.adapters.coap.framing import Code, Frame
from edgecache.wire import codec, paths
from edgecache.wire.messages import Hello, Message
from tests.integration.coap.mesh import Identity, Mesh, Node

CSM = f.head(Code.CSM, b"", f.encode_options([(2, f.uint(1 << 20)), (4, b"")]), 0)


class RawPeer:
    """One end of a TLS connection; what it reads is cut into frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self._buffer = bytearray()

    @classmethod
    async def connect(cls, node: Node, context: ssl.SSLContext | None, receive_buffer: int = 0) -> RawPeer:
        """Dial a node; without a context there is only TCP. With a small `receive_buffer` the kernel takes little."""
        sock = socket.socket()
        sock.setblocking(False)
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", node.port))
        name = None if context is None else ""
        return cls(*await asyncio.open_connection(sock=sock, ssl=context, server_hostname=name, limit=16 * 1024))

    @classmethod
    async def linked(cls, mesh: Mesh, node: Node, receive_buffer: int = 0) -> tuple[RawPeer, Identity]:
        """A member of the mesh that has said its hello and was answered."""
        identity = mesh.authority.issue("raw")
        peer = await cls.connect(node, mesh.authority.contexts(identity)[1], receive_buffer)
        peer.write(CSM + hello_request(Hello(identity.node, "testmesh", "default", "raw", 1, 0, ())))
        assert (await peer.frame()).code == Code.CSM
        assert (await peer.frame()).code == Code.CHANGED
        return peer, identity

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    async def frame(self, timeout: float = 5.0) -> Frame:
        """The next frame that the node sends; ConnectionError when it closes instead."""
        async with asyncio.timeout(timeout):
            while True:
                sizes = f.measure(memoryview(bytes(self._buffer)))
                if sizes is not None and len(self._buffer) >= sizes[0]:
                    raw = bytes(self._buffer[: sizes[0]])
                    del self._buffer[: sizes[0]]
                    return f.parse(memoryview(raw))
                data = await self.reader.read(65536)
                if not data:
                    raise ConnectionResetError("closed by the node")
                self._buffer += data

    async def ended(self, timeout: float = 5.0) -> list[Frame]:
        """What the node still says until it closes the connection."""
        frames: list[Frame] = []
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            async with asyncio.timeout(timeout):
                while True:
                    frames.append(await self.frame(timeout))
        return frames

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(2):
                await self.writer.wait_closed()
        # One that reads nothing never sees the end that the node gave the connection: asyncio would
        # wait 30 s for its close_notify.
        self.writer.transport.abort()


def hello_request(hello: Hello, payload: bytes | None = None) -> bytes:
    """A dialler's first request; `payload` instead of the encoded hello."""
    body = codec.encode(hello) if payload is None else payload
    return post_head(paths.NODE, b"h", len(body), one_way=False) + body


def post(message: Message, *, one_way: bool = True, token: bytes = b"") -> bytes:
    """A control message as it goes over the stream."""
    body = codec.encode(message)
    return post_head(paths.path_of(message), token, len(body), one_way=one_way) + body


def get(token: bytes, *path: str, query: tuple[str, ...] = (), more: tuple[tuple[int, bytes], ...] = ()) -> bytes:
    """A GET; `more` are further options."""
    options = [(int(f.Option.URI_PATH), part.encode()) for part in path]
    options += [(int(f.Option.URI_QUERY), part.encode()) for part in query]
    return f.head(Code.GET, token, f.encode_options(sorted([*options, *more], key=lambda pair: pair[0])), 0)
