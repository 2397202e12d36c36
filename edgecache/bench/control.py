"""The control of `bench single`: the same chunks over the same library's own TLS transport, nothing of ours around it.

    python -m edgecache.bench.control serve FILE PORT CERT KEY
    python -m edgecache.bench.control fetch FILE PORT CERT KEY SIZE

`fetch` keeps 4 requests under way, checks one SHA-256 per chunk and writes the file: what any fetcher has to do.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import ssl
import sys
import time
from pathlib import Path

from aiocoap import GET, Context, Message, resource

from edgecache.model.content import CHUNK_BYTES

IN_FLIGHT = 4
REQUEST_TIMEOUT = 30.0


class Chunk(resource.Resource, resource.PathCapable):
    """GET /c/N: 32 bytes of digest, then the chunk."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = os.open(path, os.O_RDONLY)

    async def needs_blockwise_assembly(self, request: Message) -> bool:
        """One message a chunk."""
        return False

    async def render_get(self, request: Message) -> Message:
        """The chunk that the path names."""
        data = os.pread(self._file, CHUNK_BYTES, int(request.opt.uri_path[0]) * CHUNK_BYTES)
        return Message(payload=hashlib.sha256(data).digest() + data)


def _tls(purpose: int, certificate: str, key: str) -> ssl.SSLContext:
    context = ssl.SSLContext(purpose)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(str(Path(certificate).with_name("ca.crt")))
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def _serve(path: str, port: int, certificate: str, key: str) -> None:
    site = resource.Site()
    site.add_resource(["c"], Chunk(Path(path)))
    tls = _tls(ssl.PROTOCOL_TLS_SERVER, certificate, key)
    await Context.create_server_context(site, bind=("127.0.0.1", port - 1), transports=["tlsserver"], _ssl_context=tls)
    sys.stdout.write("READY\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().create_future()


async def _fetch(path: str, port: int, certificate: str, key: str, size: int) -> None:
    context = await Context.create_client_context(transports=["tlsclient"])
    tls = _tls(ssl.PROTOCOL_TLS_CLIENT, certificate, key)
    context.client_credentials.ssl_client_context = lambda scheme, hostinfo: tls
    target = os.open(path, os.O_RDWR | os.O_CREAT)
    left = iter(range(-(-size // CHUNK_BYTES)))

    async def ask(index: int) -> None:
        request = Message(code=GET, uri=f"coaps+tcp://127.0.0.1:{port}/c/{index}")
        response = await asyncio.wait_for(context.request(request, handle_blockwise=False).response, REQUEST_TIMEOUT)
        digest, data = response.payload[:32], response.payload[32:]
        if hashlib.sha256(data).digest() != digest:
            raise ValueError(f"chunk {index} is wrong")
        os.pwrite(target, data, index * CHUNK_BYTES)

    async def worker() -> None:
        for index in left:
            await ask(index)

    await ask(next(left))
    began, cpu_began = time.monotonic(), time.process_time()
    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    os.fsync(target)
    figures = {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu_began}
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()
    await asyncio.sleep(30)


if __name__ == "__main__":
    _, role, file_name, port_text, certificate_path, key_path, *rest = sys.argv
    if role == "serve":
        asyncio.run(_serve(file_name, int(port_text), certificate_path, key_path))
    else:
        asyncio.run(_fetch(file_name, int(port_text), certificate_path, key_path, int(rest[0])))
