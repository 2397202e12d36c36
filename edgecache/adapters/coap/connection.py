"""One connection's conversation: who is there, signalling (RFC 8323 section 5), the hello, control messages, the end.

    TLS -> CSM -> HELLO -> OPEN -> CLOSING -> CLOSED

Whoever cannot prove to be of this mesh gets the TLS handshake and nothing else; before the link is open there is a CSM
and one hello each way. Each phase has a deadline, which the owner's sweep enforces through `overdue`.
"""

from __future__ import annotations

import asyncio
import ssl
from functools import partial

from edgecache.adapters.coap import bounds as b
from edgecache.adapters.coap import framing as f
from edgecache.adapters.coap.buckets import TokenBucket
from edgecache.adapters.coap.control import Post, UnknownOption, parse_post, post_head, posted
from edgecache.adapters.coap.framing import Code, Frame
from edgecache.adapters.coap.greeting import check_hello, diagnostic
from edgecache.adapters.coap.hub import Hub, Phase
from edgecache.adapters.coap.inbox import too_large
from edgecache.adapters.coap.questions import Questions
from edgecache.adapters.coap.sendqueue import Outgoing, Rank
from edgecache.adapters.coap.signalling import MESSAGE_BYTES_DEFAULT, OUR_CSM, Pings, abort, check_csm
from edgecache.adapters.coap.stream import SecureStream
from edgecache.core.vocabulary import LinkId
from edgecache.model.errors import Denied, EdgecacheError, MalformedMessage, Refused, TimedOut, Unreachable
from edgecache.model.ids import NodeId
from edgecache.model.peer import Address, CloseReason
from edgecache.wire import codec, paths
from edgecache.wire.messages import Goodbye, Hello, Message

HELLO_TOKEN = b"hello"
MESSAGE_OVERHEAD = 256
"""What a queued message costs besides its bytes."""

HOLD_SECONDS = 0.1
"""Pause of reading when a peer sends more messages than it may."""


class Connection:
    """Either end of a connection; `address` is what was dialled, None when the peer dialled us."""

    link: LinkId | None = None
    peer: NodeId | None = None
    reason = CloseReason.BROKEN
    detail = ""
    source = "?"
    """The remote IP address."""
    port = 0
    rtt: float | None = None
    """Seconds, of the last ping."""

    def __init__(
        self, hub: Hub, context: ssl.SSLContext, address: Address | None, expected: NodeId | None = None
    ) -> None:
        self._hub, self.address, self._expected = hub, address, expected
        self._loop = asyncio.get_running_loop()
        self.stream = SecureStream(self, context, hub.receive_buffer, hub.bounds, hub.rests, server=address is None)
        self.phase = Phase.TLS
        self.born = self._since = self._loop.time()
        self._rate = TokenBucket(hub.bounds.control_rate, hub.bounds.control_burst, self.born)
        self._forgiven = TokenBucket(1 / 60, hub.bounds.malformed_burst, self.born)
        self._goodbye: CloseReason | None = None
        self._pings = Pings(self._loop)
        self.in_progress: set[bytes] = set()
        """Tokens of the peer's requests that are not answered to the last byte."""
        self.questions = Questions()
        self.takes = MESSAGE_BYTES_DEFAULT
        """Bytes of the largest message that the peer takes."""
        self.window = self._owed = 0
        """Requests of the peer that may be in progress."""
        self.authenticated: asyncio.Future[None] = self._loop.create_future()
        self.opened: asyncio.Future[None] = self._loop.create_future()
        for fate in (self.authenticated, self.opened):
            fate.add_done_callback(lambda done: None if done.cancelled() else done.exception())

    @property
    def dialled(self) -> bool:
        """Whether we opened it."""
        return self.address is not None

    def __repr__(self) -> str:
        return f"<Connection {'to' if self.dialled else 'from'} {self.source} {self.peer or '?'} {self.phase.value}>"

    # ---- what the stream calls

    def connected(self, source: str, port: int) -> bool:
        """TCP is up."""
        self.source, self.port = source, port
        return self._hub.admit(self)

    def secured(self, certificate: bytes) -> None:
        """TLS is up; now we know whom with."""
        self.peer = self._hub.identify(certificate)
        if self._expected is not None and self.peer != self._expected:
            raise Refused(f"that address is now {self.peer}'s", hint="its address was given to another node")
        self._enter(Phase.CSM)
        self.say(OUR_CSM)
        if not self.authenticated.done():
            self.authenticated.set_result(None)

    def allow(self, code: int, size: int) -> None:
        """Bounds by phase and kind."""
        limit = _limit(self.phase, code)
        if size > limit:
            raise too_large(size, limit)

    def frame(self, frame: Frame) -> None:
        """One message; what a phase does not allow ends the connection."""
        if not self._rate.take(self._loop.time()):
            self.stream.hold(HOLD_SECONDS)
        kind = frame.code_class
        if kind == f.SIGNALLING_CLASS:
            self._signalled(frame)
        elif frame.code == Code.EMPTY:
            return
        elif self.phase is Phase.CSM:
            raise MalformedMessage("no CSM before the first message")
        elif self.phase is Phase.HELLO:
            self._greeted(frame)
        elif kind in f.RESPONSE_CLASSES:
            self._hub.answered(self, frame)
        elif frame.code == Code.POST:
            self._posted_to_us(frame)
        elif kind == f.REQUEST_CLASS:
            self._hub.requested(self, frame)
        else:
            self._misbehaved(f"a message of code {f.code_text(frame.code)}")

    def failed(self, error: EdgecacheError) -> None:
        """The stream ended or the peer broke a rule."""
        if self.phase in (Phase.CLOSING, Phase.CLOSED):
            return
        if isinstance(error, MalformedMessage) and self.phase is not Phase.TLS:
            self._hub.warn("link-malformed", f"{self._who()} broke the protocol: {error}; link closed")
            self.say(abort(error), rank=Rank.URGENT)
            self._end(CloseReason.BROKEN, error.message, error)
            self.stream.finish()
            return
        if not self.dialled and self.phase is not Phase.OPEN:
            self._hub.warn("link-inbound", f"{self._who()} did not become a link ({self.phase.value}): {error}")
        self._end(self._goodbye or CloseReason.BROKEN, error.message, error)
        self.stream.drop()

    def lost(self, error: Exception | None, *, silent: bool) -> None:
        """The socket is gone."""
        text = str(error) if error else "closed"
        self._end(CloseReason.SILENT if silent else self._goodbye or CloseReason.BROKEN, text)
        self.phase = Phase.CLOSED
        self._hub.closed(self)

    # ---- phases

    def _enter(self, phase: Phase) -> None:
        self.phase, self._since = phase, self._loop.time()

    def overdue(self, now: float) -> str:
        """What this connection is too late with; empty when nothing."""
        bounds, begun = self._hub.bounds, self.stream.partial_since
        if self.phase is not Phase.OPEN:
            limits = {Phase.TLS: bounds.tls_seconds, Phase.CSM: bounds.csm_seconds, Phase.HELLO: bounds.hello_seconds}
            limit = limits.get(self.phase)
            late = limit is not None and now - self._since > limit
            return f"no {self.phase.value} within {limit:g} s" if late else ""
        if begun is None:
            return ""
        if now - max(begun, self.stream.last_received) > bounds.stall_seconds:
            return f"nothing for {bounds.stall_seconds:g} s in the middle of a message"
        return f"a message took more than {bounds.message_seconds:g} s" if now - begun > bounds.message_seconds else ""

    def expire(self, why: str) -> None:
        """End an overdue connection."""
        self._hub.warn("link-overdue", f"{self._who()}: {why}; connection closed")
        self._end(CloseReason.SILENT, why, TimedOut(why))
        self.stream.cut()

    def evict(self, why: str) -> None:
        """End a connection that stands in the way."""
        self._end(CloseReason.BROKEN, why)
        self.stream.cut()

    def close(self, reason: CloseReason) -> None:
        """Say goodbye when the reason is planned, then close."""
        if self.phase is Phase.OPEN and reason.planned:
            self.post(Goodbye(reason, self._hub.hello().incarnation))
        self._end(reason, "")
        if reason.planned:
            self.stream.finish()
        else:
            self.stream.cut()

    def _end(self, reason: CloseReason, detail: str, error: EdgecacheError | None = None) -> None:
        if self.phase in (Phase.CLOSING, Phase.CLOSED):
            return
        self._enter(Phase.CLOSING)
        self.reason, self.detail = reason, detail
        cause = error or Unreachable(detail or "the link was closed")
        for fate in (self.authenticated, self.opened):
            if not fate.done():
                fate.set_exception(cause)
        self._pings.fail(cause)
        self._hub.leaving(self)

    def _who(self) -> str:
        return f"{self.peer} at {self.source}" if self.peer else self.source

    # ---- signalling

    def _signalled(self, frame: Frame) -> None:
        if frame.code == Code.CSM:
            self.takes = check_csm(frame, self.takes)
            if self.phase is Phase.CSM:
                self._enter(Phase.HELLO)
            return
        if self.phase is Phase.CSM:
            raise MalformedMessage("no CSM before the first message")
        if any(number & 1 for number, _ in frame.options):
            raise MalformedMessage("a critical signalling option that is unknown here")
        if frame.code == Code.PING:
            self.say(f.head(Code.PONG, frame.token, b"", 0), rank=Rank.URGENT)
        elif frame.code == Code.PONG:
            self._pings.answered(frame.token)
        elif frame.code == Code.RELEASE:
            self._goodbye = self._goodbye or CloseReason.GOODBYE
            raise Unreachable("released by the peer")
        elif frame.code == Code.ABORT:
            raise Unreachable(f"aborted by the peer: {diagnostic(frame.payload)}")
        else:
            raise MalformedMessage(f"unknown signalling code {f.code_text(frame.code)}")

    async def ping(self, timeout: float) -> float:
        """Round trip in seconds; raises TimedOut or Unreachable."""
        if self.phase is not Phase.OPEN:
            raise Unreachable("the link is closed")
        self.rtt = await self._pings.ping(partial(self.say, rank=Rank.URGENT), timeout)
        return self.rtt

    # ---- the hello

    def greet(self) -> None:
        """The dialler speaks first; once, and `opened` tells how it went."""
        payload = codec.encode(self._hub.hello())
        self.say(post_head(paths.NODE, HELLO_TOKEN, len(payload), one_way=False), payload, rank=Rank.CONTROL)

    def _greeted(self, frame: Frame) -> None:
        if not self.dialled:
            self._accept(frame)
            return
        if frame.token != HELLO_TOKEN or frame.code_class not in f.RESPONSE_CLASSES:
            raise MalformedMessage("the first message is not the answer to our hello")
        if frame.code != Code.CHANGED:
            text = diagnostic(frame.payload) or f.code_text(frame.code)
            raise (Denied if frame.code == Code.FORBIDDEN else Refused)(f"it refuses our hello: {text}")
        self._open(self._check(bytes(frame.payload)))

    def _accept(self, frame: Frame) -> None:
        try:
            if frame.code != Code.POST or parse_post(frame).path != paths.NODE:
                raise MalformedMessage("the first message is not a hello")
            hello = self._check(bytes(frame.payload))
        except EdgecacheError as error:
            code = Code.FORBIDDEN if isinstance(error, Denied) else Code.BAD_REQUEST
            self._reply(frame, code, error.message.encode())
            self._hub.warn("link-hello", f"the hello of {self._who()} is refused: {error}")
            self._end(CloseReason.INCOMPATIBLE, error.message, error)
            self.stream.finish()
            return
        self._reply(frame, Code.CHANGED, codec.encode(self._hub.hello()))
        self._open(hello)

    def _check(self, payload: bytes) -> Hello:
        hello = codec.decode(payload)
        if not isinstance(hello, Hello):
            raise MalformedMessage("the first message is not a hello")
        assert self.peer is not None
        check_hello(hello, self._hub.hello(), self.peer)
        return hello

    def _open(self, hello: Hello) -> None:
        self._enter(Phase.OPEN)
        self.window = self._hub.hello().limits.window + self._hub.bounds.requests_beside_window
        if not self.opened.done():
            # Before anybody is told: a link that is closed at once, as one of two, was a dial that succeeded.
            self.opened.set_result(None)
        self._hub.opened(self, hello)

    # ---- control messages

    def post(self, message: Message) -> bool:
        """Send a control message; False when the link is not open, or ends because its peer does not keep up."""
        if self.phase is not Phase.OPEN:
            return False
        self.say(*posted(message))
        return self.phase is Phase.OPEN

    def say(self, head: bytes, payload: bytes = b"", rank: Rank | None = None) -> None:
        """Send anything but a response that the window bounds; a peer that takes too little of it is dropped."""
        cost = len(head) + len(payload) + MESSAGE_OVERHEAD
        if self._owed + cost > self._hub.bounds.control_queue_bytes:
            if self.phase is not Phase.CLOSING:
                self._hub.warn("link-slow", f"{self._who()} does not take what we send; link closed")
                self._end(CloseReason.BROKEN, "does not take what we send")
                self.stream.cut()
            return
        self._owed += cost
        self.stream.send(Outgoing(head, payload, partial(self._paid, cost), rank))

    def _paid(self, cost: int) -> None:
        self._owed -= cost

    def _posted_to_us(self, frame: Frame) -> None:
        post = Post((), 0)
        try:
            post = parse_post(frame)
            message = codec.decode(bytes(frame.payload))
            if isinstance(message, Hello) or paths.path_of(message) != post.path:
                raise MalformedMessage(f"a {type(message).__name__} that does not belong there")
        except MalformedMessage as error:
            code = Code.BAD_OPTION if isinstance(error, UnknownOption) else Code.BAD_REQUEST
            if post.wants(code):
                self._reply(frame, code, error.message.encode())
            self._misbehaved(error.message)
            return
        if isinstance(message, Goodbye):
            self._goodbye = message.reason
        if post.wants(Code.CHANGED):
            self._reply(frame, Code.CHANGED)
        self._hub.received(self, message)

    def _misbehaved(self, what: str) -> None:
        self._hub.warn("link-message", f"{self._who()} sent {what}")
        if not self._forgiven.take(self._loop.time()):
            raise MalformedMessage(f"too many malformed messages, the last: {what}")

    def _reply(self, frame: Frame, code: Code, payload: bytes = b"") -> None:
        self.say(f.head(code, frame.token, b"", len(payload)), payload, rank=Rank.CONTROL)


def _limit(phase: Phase, code: int) -> int:
    """Bytes of the largest message of that code."""
    if phase is not Phase.OPEN:
        return b.GREETING_MESSAGE_BYTES
    if code >> 5 in f.RESPONSE_CLASSES:
        return b.RESPONSE_MESSAGE_BYTES
    return b.GET_MESSAGE_BYTES if code == Code.GET else b.REQUEST_MESSAGE_BYTES
