"""A hostile host: `python attacker.py TARGET IDENTITY SOURCE...` does its worst to an agent until it is killed.

Hundreds of connections that never say a word or trickle a TLS handshake, each opened again when the target closes it;
at a steady rate random bytes on TCP, TLS with the certificate of another mesh in the directory IDENTITY, and random
datagrams. It prints a line once it is at full strength.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

TCP_PORT, UDP_PORT = 5684, 5683
SILENT, SLOW = 150, 150
GARBAGE_PER_SECOND = 40
STRANGERS_PER_SECOND = 10
DATAGRAMS_PER_SECOND = 200
REOPEN_SECONDS = 1.0
TRICKLE_SECONDS = 0.2


class Attacker:
    """Everything at once, from all source addresses in turn."""

    def __init__(self, target: str, identity: Path, sources: list[str]) -> None:
        self._target, self._sources = target, itertools.cycle(sources)
        self._opened = 0
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
        self._tls.load_cert_chain(identity / "node.crt", identity / "node.key")
        self._strong = asyncio.Event()

    async def run(self) -> None:
        """For ever."""
        keepers = [self._keep(self._silent) for _ in range(SILENT)] + [self._keep(self._slow) for _ in range(SLOW)]
        at_a_rate = [
            self._repeat(self._garbage, GARBAGE_PER_SECOND), self._repeat(self._stranger, STRANGERS_PER_SECOND),
            self._repeat(self._datagram, DATAGRAMS_PER_SECOND),
        ]  # fmt: skip
        tasks = [asyncio.ensure_future(work) for work in (*keepers, *at_a_rate)]
        await self._strong.wait()
        print("at full strength", flush=True)
        await asyncio.gather(*tasks)

    async def _connect(self, tls: ssl.SSLContext | None = None) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        source, name = (next(self._sources), 0), "any" if tls else None
        async with asyncio.timeout(5):
            opened = await asyncio.open_connection(
                self._target, TCP_PORT, local_addr=source, ssl=tls, server_hostname=name
            )
        self._opened += 1
        if self._opened >= SILENT + SLOW:
            self._strong.set()
        return opened

    async def _keep(self, use: Callable[[], Awaitable[None]]) -> None:
        await asyncio.sleep(random.random() * REOPEN_SECONDS)
        while True:
            with suppress(OSError, TimeoutError):
                await use()
            await asyncio.sleep(REOPEN_SECONDS)

    async def _repeat(self, use: Callable[[], Awaitable[None]], rate: float) -> None:
        running: set[asyncio.Task[None]] = set()
        while True:
            if len(running) < 4 * rate:
                task = asyncio.ensure_future(self._once(use))
                running.add(task)
                task.add_done_callback(running.discard)
            await asyncio.sleep(1 / rate)

    async def _once(self, use: Callable[[], Awaitable[None]]) -> None:
        with suppress(OSError, TimeoutError):
            await use()

    async def _silent(self) -> None:
        reader, writer = await self._connect()
        await reader.read()
        writer.close()

    async def _slow(self) -> None:
        """A correct TLS ClientHello, a byte at a time."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._tls.wrap_bio(incoming, outgoing, server_hostname="any")
        with suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        _, writer = await self._connect()
        for byte in outgoing.read():
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(TRICKLE_SECONDS)

    async def _garbage(self) -> None:
        reader, writer = await self._connect()
        writer.write(random.randbytes(random.randint(1, 4000)))
        await writer.drain()
        async with asyncio.timeout(10):
            await reader.read()
        writer.close()

    async def _stranger(self) -> None:
        """TLS to its end, with a certificate that nobody here has signed."""
        reader, writer = await self._connect(self._tls)
        writer.write(b"hello")
        async with asyncio.timeout(10):
            await reader.read()
        writer.close()

    async def _datagram(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((next(self._sources), 0))
            sock.sendto(random.randbytes(random.randint(1, 1200)), (self._target, UDP_PORT))


if __name__ == "__main__":
    asyncio.run(Attacker(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]).run())
