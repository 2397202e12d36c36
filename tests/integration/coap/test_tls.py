"""TLS over buffers: what was good is read before what went wrong is told."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from edgecache.adapters.coap.tls import TlsStream
from tests.integration.coap.mesh import Authority


@pytest.fixture
def ends(tmp_path: Path) -> tuple[TlsStream, TlsStream]:
    """(client, server) after their handshake."""
    authority = Authority(tmp_path, "a")
    serving, dialling = authority.contexts(authority.issue("b"))
    client, server = TlsStream(dialling, server=False), TlsStream(serving, server=True)
    for _ in range(5):
        for one, other in ((client, server), (server, client)):
            one.handshake()
            other.feed(memoryview(one.take()))
    assert client.handshake()
    assert server.handshake()
    assert client.read_into(memoryview(bytearray(10))) is None, "it takes the session tickets"
    return client, server


def test_many_records_fill_a_space_of_any_size(ends: tuple[TlsStream, TlsStream]) -> None:
    client, server = ends
    content = bytes(range(256)) * 300
    client.write(content)
    server.feed(memoryview(client.take()))
    space = bytearray(70_000)
    assert server.read_into(memoryview(space)) == 70_000
    assert space == content[:70_000]
    assert server.read_into(memoryview(space)) == len(content) - 70_000
    assert space[: len(content) - 70_000] == content[70_000:]
    assert server.read_into(memoryview(space)) is None


def test_the_end_comes_after_the_last_byte_and_again(ends: tuple[TlsStream, TlsStream]) -> None:
    client, server = ends
    client.write(b"last words")
    client.close_notify()
    server.feed(memoryview(client.take()))
    space = memoryview(bytearray(1000))
    assert [server.read_into(space) for _ in range(3)] == [10, 0, 0]


def test_what_came_before_a_broken_record_is_read(ends: tuple[TlsStream, TlsStream]) -> None:
    client, server = ends
    client.write(b"good")
    good = client.take()
    client.write(b"broken on its way")
    broken = bytearray(client.take())
    broken[-1] ^= 1
    server.feed(memoryview(good + broken))
    space = memoryview(bytearray(1000))
    assert server.read_into(space) == 4
    for _ in range(2):
        with pytest.raises(ssl.SSLError):
            server.read_into(space)
    server.write(b"nobody can be told any more, and nobody is hurt")


def test_a_failure_that_is_not_told_yet_keeps_nothing_in_memory(ends: tuple[TlsStream, TlsStream]) -> None:
    client, server = ends
    client.write(b"good")
    server.feed(memoryview(client.take() + b"\x17\x03\x03\0\x20" + bytes(32)))
    chunk = bytearray(1000)
    assert server.read_into(memoryview(chunk)) == 4
    chunk.clear()  # BufferError while anybody refers to it
    server.write(b"as if all were well")
    with pytest.raises(ssl.SSLError, match="BAD_RECORD_MAC"):
        server.read_into(memoryview(bytearray(10)))
