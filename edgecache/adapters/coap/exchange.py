"""aiocoap's view of the links: a token interface whose remotes are our connections.

aiocoap matches responses to requests and runs request handlers; bytes, queues and deadlines are ours. Chunks go past
it: a link carries thousands a second, and only their messages are alike (decision 0006). The one private name used is
`Context._append_tokenmanaged_transport`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from aiocoap import Context, Message, error, interfaces
from aiocoap.message import Direction
from aiocoap.numbers.optionnumbers import OptionNumber

from edgecache.adapters.coap import framing as f
from edgecache.adapters.coap.connection import Connection
from edgecache.adapters.coap.framing import Code, Frame
from edgecache.adapters.coap.hub import Phase
from edgecache.adapters.coap.sendqueue import Outgoing
from edgecache.adapters.coap.units import UnitServer, answered
from edgecache.model.errors import MalformedMessage

SCHEME = "coaps+tcp"
BUSY_SECONDS = 1
"""Max-Age of the refusal of a request beyond the window."""


class PeerEndpoint(interfaces.EndpointAddress):
    """The remote of a message: one end of a connection, known by the peer's node id."""

    scheme = SCHEME
    is_multicast = False
    is_multicast_locally = False

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @property
    def hostinfo(self) -> str:
        """The peer's node id: addresses may change hands."""
        return str(self.connection.peer)

    @property
    def hostinfo_local(self) -> str:
        """Our end has no name of its own."""
        return "localhost"

    @property
    def uri_base(self) -> str:
        """For people; nothing is dialled by it."""
        return f"{SCHEME}://{self.hostinfo}"

    @property
    def uri_base_local(self) -> str:
        """For people."""
        return f"{SCHEME}://{self.hostinfo_local}"

    @property
    def blockwise_key(self) -> PeerEndpoint:
        """Blocks are never combined across connections."""
        return self


class SentMessage(Message):
    """A response that tells when its last byte went to the socket layer."""

    on_sent: Callable[[], None] | None = None


class Exchange(interfaces.TokenInterface):
    """Requests and responses between aiocoap and the connections."""

    def __init__(self, token_manager: Any, units: UnitServer) -> None:
        self._tokens, self._units = token_manager, units
        self._endpoints: dict[Connection, PeerEndpoint] = {}

    @classmethod
    async def attach(cls, context: Context, units: UnitServer) -> Exchange:
        """Hang a new one into `context`; requests for chunks go to `units`."""
        made: list[Exchange] = []

        async def make(token_manager: Any) -> Exchange:
            made.append(cls(token_manager, units))
            return made[0]

        await context._append_tokenmanaged_transport(make)
        return made[0]

    # ---- what aiocoap calls

    def send_message(self, message: Message, messageerror_monitor: Callable[[], None]) -> None:
        """Put a request or a response on its connection; a request on one that is not open raises NetworkError."""
        connection: Connection = message.remote.connection
        request = message.code.is_request()
        if connection.phase is not Phase.OPEN:
            if request:
                raise error.NetworkError("the link is closed")
            _drop(message)
            return
        code, token, sent = int(message.code), message.token, getattr(message, "on_sent", None)
        if not request:
            sent = partial(answered, connection, token, sent)
            if f.is_unwanted(code, message.opt.no_response or 0):
                sent()
                return
            message.opt.no_response = None
        payload = message.payload
        head = f.head(code, token, message.opt.encode(), len(payload))
        if request:
            connection.say(head, payload)
        else:
            connection.stream.send(Outgoing(head, payload, sent))

    async def fill_or_recognize_remote(self, message: Message) -> bool:
        """Only remotes that `endpoint` gave out; nothing is dialled by URI."""
        return isinstance(message.remote, PeerEndpoint)

    async def shutdown(self) -> None:
        """The connections are closed by their owner."""
        self._endpoints.clear()

    # ---- what the connections' owner calls

    def endpoint(self, connection: Connection) -> PeerEndpoint:
        """The remote that stands for this connection while it is open."""
        endpoint = self._endpoints.get(connection)
        if endpoint is None:
            endpoint = self._endpoints[connection] = PeerEndpoint(connection)
        return endpoint

    def requested(self, connection: Connection, frame: Frame) -> None:
        """A request of the peer; beyond its window it is refused with 5.03, with a token in use it is dropped."""
        if frame.token in connection.in_progress:
            return  # RFC 7252 section 5.3.1; answers that nobody reads would pile up
        if len(connection.in_progress) >= connection.window:
            options = f.encode_options(((f.Option.MAX_AGE, f.uint(BUSY_SECONDS)),))
            connection.say(f.head(Code.SERVICE_UNAVAILABLE, frame.token, options, 0))
            return
        if self._units.takes(frame):
            connection.in_progress.add(frame.token)
            self._units.requested(connection, frame)
            return
        try:
            message = _message(frame)
        except UnicodeDecodeError:
            connection.say(f.head(Code.BAD_OPTION, frame.token, b"", 0))
            return
        connection.in_progress.add(frame.token)
        message.remote = self.endpoint(connection)
        self._tokens.process_request(message)

    def answered(self, connection: Connection, frame: Frame) -> None:
        """A response of the peer; late and unsolicited ones are dropped."""
        if connection.questions.answered(frame):
            return
        try:
            message = _message(frame)
        except UnicodeDecodeError as cause:
            raise MalformedMessage("a response with text that is not UTF-8") from cause
        message.remote = self.endpoint(connection)
        try:
            self._tokens.process_response(message)
        except asyncio.InvalidStateError:
            # The asker gave up in this very turn of the event loop: aiocoap has not yet forgotten the token.
            return

    def left(self, connection: Connection) -> None:
        """Fail what was asked over this connection, stop what was asked of us."""
        connection.questions.lost()
        self._units.left(connection)
        endpoint = self._endpoints.pop(connection, None)
        if endpoint is not None:
            self._tokens.dispatch_error(error.NetworkError("the link was closed"), endpoint)


def _message(frame: Frame) -> Message:
    message = Message(code=frame.code, payload=bytes(frame.payload))
    message.token = frame.token
    message.direction = Direction.INCOMING
    for number, value in frame.options:
        message.opt.add_option(OptionNumber(number).create_option(decode=value))
    return message


def _drop(message: Message) -> None:
    sent = getattr(message, "on_sent", None)
    if sent is not None:
        sent()
