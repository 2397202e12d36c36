"""What a connection needs of its owner."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Protocol

from edgecache.adapters.coap.bounds import LinkBounds
from edgecache.adapters.coap.framing import Frame
from edgecache.adapters.coap.pacing import Rests
from edgecache.model.ids import NodeId
from edgecache.wire.messages import Hello, Message

if TYPE_CHECKING:
    from edgecache.adapters.coap.connection import Connection


class Phase(Enum):
    """How far a connection has come; each is entered at most once."""

    TLS = "TLS handshake"
    CSM = "CSM"
    HELLO = "hello"
    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"


class Hub(Protocol):
    """Who owns the connections."""

    bounds: LinkBounds
    receive_buffer: memoryview
    rests: Rests

    def admit(self, connection: Connection) -> bool:
        """Take a connection into the table; False when it may not stay."""
        ...

    def identify(self, certificate: bytes) -> NodeId:
        """The welcome node of this mesh that this certificate (DER) names; raises Denied or Refused."""
        ...

    def hello(self) -> Hello:
        """What we say first."""
        ...

    def opened(self, connection: Connection, hello: Hello) -> None:
        """A link is up: both hellos are exchanged."""
        ...

    def received(self, connection: Connection, message: Message) -> None:
        """A control message."""
        ...

    def requested(self, connection: Connection, frame: Frame) -> None:
        """A request that is no control message."""
        ...

    def answered(self, connection: Connection, frame: Frame) -> None:
        """A response, perhaps unsolicited."""
        ...

    def leaving(self, connection: Connection) -> None:
        """Nothing more can be asked over it; called once, before `closed`."""
        ...

    def closed(self, connection: Connection) -> None:
        """The connection is gone; the last call for it."""
        ...

    def warn(self, cause: str, text: str) -> None:
        """A line in the log, rate-limited by cause."""
        ...
