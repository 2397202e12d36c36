"""What we rely on in aiocoap 0.4.17 beyond its documentation: one test for each private name and each oddity."""

from __future__ import annotations

import asyncio
import inspect
import socket
from collections.abc import Callable
from typing import Any

import pytest
from aiocoap import Context, Message, error, interfaces
from aiocoap.message import Direction
from aiocoap.numbers import codes
from aiocoap.numbers.optionnumbers import OptionNumber
from aiocoap.protocol import ServerObservation
from aiocoap.tokenmanager import TokenManager
from aiocoap.transports.udp6 import MessageInterfaceUDP6

from edgecache.adapters.coap.exchange import PeerEndpoint


class Wire:
    """A transport that keeps what it is given."""

    def __init__(self, tokens: TokenManager) -> None:
        self.tokens = tokens
        self.sent: list[Message] = []

    def send_message(self, message: Message, messageerror_monitor: Callable[[], None]) -> None:
        self.sent.append(message)

    async def fill_or_recognize_remote(self, message: Message) -> bool:
        return True

    async def shutdown(self) -> None:
        return None


class Site:
    """Answers everything."""

    async def render_to_pipe(self, pipe: Any) -> None:
        pipe.add_response(Message(code=codes.CONTENT, payload=b"answer"), is_last=True)


async def hung_in() -> tuple[Context, Wire]:
    context = Context(serversite=Site(), loggername="coap")
    wires: list[Wire] = []

    async def make(tokens: TokenManager) -> Wire:
        wires.append(Wire(tokens))
        return wires[0]

    await context._append_tokenmanaged_transport(make)
    return context, wires[0]


def remote() -> PeerEndpoint:
    return PeerEndpoint(None)  # type: ignore[arg-type]


def incoming(code: int, token: bytes, at: PeerEndpoint) -> Message:
    message = Message(code=code)
    message.token, message.remote, message.direction = token, at, Direction.INCOMING
    return message


def test_context_append_tokenmanaged_transport() -> None:
    async def check() -> None:
        context, wire = await hung_in()
        peer = remote()
        wire.tokens.process_request(incoming(1, b"t", peer))
        while not wire.sent:
            await asyncio.sleep(0)
        answer = wire.sent[0]
        assert (answer.code, answer.token, answer.payload, answer.remote) == (codes.CONTENT, b"t", b"answer", peer)
        await context.shutdown()

    asyncio.run(check())


def test_a_request_is_matched_to_its_response_and_failed_by_dispatch_error() -> None:
    async def check() -> None:
        context, wire = await hung_in()
        peer = remote()
        requests = []
        for _ in range(2):
            message = Message(code=codes.GET)
            message.remote = peer
            requests.append(context.request(message, handle_blockwise=False).response)
        while len(wire.sent) < 2:
            await asyncio.sleep(0)
        wire.tokens.process_response(incoming(0x45, wire.sent[0].token, peer))
        assert (await requests[0]).code == codes.CONTENT
        wire.tokens.dispatch_error(error.NetworkError("gone"), peer)
        with pytest.raises(error.NetworkError):
            await requests[1]
        assert not wire.tokens.outgoing_requests
        await context.shutdown()

    asyncio.run(check())


def test_a_response_in_the_turn_in_which_its_request_is_cancelled_is_an_invalid_state() -> None:
    async def check() -> None:
        context, wire = await hung_in()
        message = Message(code=codes.GET)
        message.remote = remote()
        request = context.request(message, handle_blockwise=False)
        while not wire.sent:
            await asyncio.sleep(0)
        request.response.cancel()
        with pytest.raises(asyncio.InvalidStateError):
            wire.tokens.process_response(incoming(0x45, wire.sent[0].token, message.remote))
        await asyncio.sleep(0)
        assert not wire.tokens.process_response(incoming(0x45, wire.sent[0].token, message.remote))
        await context.shutdown()

    asyncio.run(check())


def test_handlers_are_cancelled_by_dispatch_error() -> None:
    async def check() -> None:
        context, wire = await hung_in()
        ended = asyncio.Event()

        class Slow:
            async def render_to_pipe(self, pipe: Any) -> None:
                try:
                    await asyncio.sleep(60)
                finally:
                    ended.set()

        context.serversite = Slow()
        peer = remote()
        wire.tokens.process_request(incoming(1, b"t", peer))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        wire.tokens.dispatch_error(error.NetworkError("gone"), peer)
        async with asyncio.timeout(2):
            await ended.wait()
        assert not wire.tokens.incoming_requests
        await context.shutdown()

    asyncio.run(check())


def test_context_append_tokenmanaged_messagemanaged_transport_and_udp6_create_transport_endpoint() -> None:
    async def check() -> None:
        context = Context(serversite=Site(), loggername="coap-server")
        loop = asyncio.get_running_loop()
        sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        sock.bind(("::1", 0))
        made: list[MessageInterfaceUDP6] = []

        async def make(messages: Any) -> MessageInterfaceUDP6:
            made.append(await MessageInterfaceUDP6._create_transport_endpoint(sock, messages, context.log, loop))
            return made[0]

        await context._append_tokenmanaged_messagemanaged_transport(make)
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as client:
            client.setblocking(False)
            client.connect(sock.getsockname())
            await loop.sock_sendall(client, b"\x41\x01\x00\x01t")
            async with asyncio.timeout(2):
                assert (await loop.sock_recv(client, 100)).endswith(b"\xffanswer")
        assert isinstance(made[0]._ctx, interfaces.MessageManager)
        await context.shutdown()
        assert not hasattr(made[0], "_ctx")

    asyncio.run(check())


def test_udp6_ctx_is_what_datagrams_are_dispatched_to() -> None:
    assert "self._ctx.dispatch_message(message)" in inspect.getsource(MessageInterfaceUDP6.datagram_msg_received)


def test_an_observation_that_is_not_accepted_has_no_callback() -> None:
    async def check() -> None:
        observation = ServerObservation()
        assert not hasattr(observation, "_cancellation_callback")
        observation.accept(lambda: None)
        observation.deregister()
        assert observation._early_deregister

    asyncio.run(check())


def test_options_are_decoded_one_by_one() -> None:
    option = OptionNumber(11).create_option(decode=b"node")
    assert (option.number, option.value) == (11, "node")
    with pytest.raises(UnicodeDecodeError):
        OptionNumber(11).create_option(decode=b"\xff")
    assert OptionNumber(2049).create_option(decode=b"x").value == b"x"
