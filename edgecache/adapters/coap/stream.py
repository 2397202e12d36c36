"""A TCP connection as a stream of CoAP frames under TLS: reads, cuts, queues, closes; knows not what they mean."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from typing import Protocol

from edgecache.adapters.coap.bounds import LinkBounds
from edgecache.adapters.coap.framing import Frame
from edgecache.adapters.coap.inbox import Inbox
from edgecache.adapters.coap.pacing import Rests, SocketState, TcpGauge
from edgecache.adapters.coap.sendqueue import Outgoing
from edgecache.adapters.coap.tls import TlsStream, failure_text
from edgecache.adapters.coap.writer import LinkWriter
from edgecache.model.errors import Denied, EdgecacheError, Unreachable

_REFUSALS = ("CERTIFICATE", "CERT_", "UNKNOWN_CA", "DECRYPT_ERROR", "ACCESS_DENIED")
"""Parts of OpenSSL's reasons that mean: one end does not accept the other."""


class StreamUser(Protocol):
    """Who understands the frames. What it raises as EdgecacheError comes back to it as `failed`."""

    def connected(self, source: str, port: int) -> bool:
        """TCP is up with this address; False to have it cut at once."""
        ...

    def secured(self, certificate: bytes) -> None:
        """TLS is up, with a peer that owns this certificate (DER)."""
        ...

    def allow(self, code: int, size: int) -> None:
        """A message of this code and size is announced; raises MalformedMessage if it may not come."""
        ...

    def frame(self, frame: Frame) -> None:
        """One message."""
        ...

    def failed(self, error: EdgecacheError) -> None:
        """TLS failed, the peer ended the stream or broke its framing; whoever hears this closes the stream."""
        ...

    def lost(self, error: Exception | None, *, silent: bool) -> None:
        """The socket is gone; called once for each connection that was made."""
        ...


class SecureStream(asyncio.BufferedProtocol):
    """The protocol object of one connection."""

    def __init__(
        self, user: StreamUser, context: ssl.SSLContext, receive_buffer: memoryview, bounds: LinkBounds,
        rests: Rests, *, server: bool,
    ) -> None:
        """`receive_buffer` may be shared: what is in it is decrypted before anybody else reads."""
        self._user, self._buffer, self._bounds, self._server = user, receive_buffer, bounds, server
        self._rests = rests
        self._loop = asyncio.get_running_loop()
        self._tls = TlsStream(context, server=server)
        self._inbox = Inbox(user.allow)
        self._transport: asyncio.Transport | None = None
        self._writer: LinkWriter | None = None
        self._gauge: TcpGauge | None = None
        self._secure = False
        self._ending = False
        self._held: asyncio.TimerHandle | None = None
        self._cut: asyncio.TimerHandle | None = None
        self.last_received = self._loop.time()
        self.partial_since: float | None = None
        """When the message began that has not ended yet."""
        self.received = 0
        """Bytes from the network."""

    # ---- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP is up."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        source, port = (transport.get_extra_info("peername") or ("?", 0))[:2]
        if not self._user.connected(str(source).removeprefix("::ffff:"), port):
            self.cut()
            return
        sock = transport.get_extra_info("socket")
        self._tune(sock)
        self._gauge = TcpGauge(sock)
        self._writer = LinkWriter(transport, self._tls, self._gauge, self._bounds, self._loop, self._rests)
        if not self._server:
            self._guarded(self._advance)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where asyncio reads into."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Ciphertext has come."""
        self.last_received = self._loop.time()
        self.received += nbytes
        if not self._ending:
            self._tls.feed(self._buffer[:nbytes])
            self._guarded(self._read if self._secure else self._advance)
            if self._inbox.large:
                self._rests.piece(nbytes)

    def eof_received(self) -> bool:
        """The peer sends nothing more; asyncio then closes the socket."""
        if not self._ending:
            self._user.failed(Unreachable("closed by the peer"))
        return False

    def pause_writing(self) -> None:
        """The kernel does not take everything."""
        if self._writer is not None:
            self._writer.pause()

    def resume_writing(self) -> None:
        """The kernel has taken everything."""
        if self._writer is not None:
            self._writer.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._ending = True
        for timer in (self._held, self._cut):
            if timer is not None:
                timer.cancel()
        if self._writer is not None:
            self._writer.close()
        self._user.lost(exc, silent=isinstance(exc, OSError) and exc.errno == errno.ETIMEDOUT)

    # ---- receiving

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except ssl.SSLError as error:
            self._user.failed(self._tls_failure(error))
        except EdgecacheError as error:
            self._user.failed(error)

    def _tls_failure(self, error: ssl.SSLError) -> EdgecacheError:
        text = failure_text(error)
        if any(part in (error.reason or "") for part in _REFUSALS):
            return Denied(f"TLS: {text}", hint="both need a valid certificate of the same mesh")
        return Unreachable(f"TLS: {text}")

    def _advance(self) -> None:
        if self._handshake():
            self._read()

    def _handshake(self) -> bool:
        assert self._writer is not None
        try:
            self._secure = self._tls.handshake()
        finally:
            self._writer.flush_tls()
        if not self._secure:
            return False
        certificate = self._tls.peer_certificate()
        if certificate is None:
            raise Denied("TLS: the peer shows no certificate")
        self._user.secured(certificate)
        return True

    def _read(self) -> None:
        inbox, tls = self._inbox, self._tls
        while not self._ending and self._held is None:
            frame = inbox.next()
            if frame is not None:
                self.partial_since = None
                self._user.frame(frame)
            elif tls.dry or not self._decrypt():
                break
        if self.partial_since is None and inbox.partial:
            self.partial_since = self._loop.time()
        if tls.has_output and self._writer is not None:
            self._writer.flush_tls()

    def _decrypt(self) -> bool:
        """Fill the inbox with what there is; False when more must come from the network first."""
        count = self._tls.read_into(self._inbox.space())
        if count is None:
            return False
        if count == 0:
            raise Unreachable("closed by the peer")
        self._inbox.fill(count)
        return True

    def hold(self, seconds: float) -> None:
        """Read nothing for a while: TCP slows the peer down."""
        if self._held is None and self._transport is not None and not self._ending:
            self._transport.pause_reading()
            self._held = self._loop.call_later(seconds, self._release)

    def _release(self) -> None:
        self._held = None
        if self._transport is not None and not self._ending:
            self._transport.resume_reading()
            self._guarded(self._read)

    # ---- sending

    def send(self, message: Outgoing) -> None:
        """Queue a message; its `sent` is called once: when its last byte went to the socket layer, or never will."""
        assert self._writer is not None, "nothing is sent before TLS is up"
        self._writer.send(message)

    @property
    def unacknowledged(self) -> int:
        """Bytes of ours that the peer has not acknowledged, wherever they are."""
        state = self.socket_state()
        return self._writer.unacknowledged(state.acked) if self._writer is not None and state is not None else 0

    @property
    def sent(self) -> int:
        """Bytes given to the network."""
        return self._writer.written if self._writer is not None else 0

    def pace(self, rate: float) -> None:
        """Let the kernel send at most so many bytes a second; 0 is unlimited."""
        if self._gauge is not None and self._transport is not None and not self._transport.is_closing():
            self._gauge.set_pace(rate)

    def socket_state(self) -> SocketState | None:
        """What the kernel knows of the connection; None when it is gone."""
        if self._gauge is None or self._transport is None or self._transport.is_closing():
            return None
        return self._gauge.read()

    # ---- closing

    def finish(self) -> None:
        """Send what is queued but for bulk that has not begun, say the end, and go; cut when that takes too long."""
        if self._transport is None or self._writer is None or not self._secure:
            self.drop()
            return
        self._stop_reading()
        self._writer.finish(self._half_close)

    def drop(self) -> None:
        """Send what TLS has said, perhaps an alert, and go."""
        if self._transport is not None:
            self._stop_reading()
            self._transport.close()

    def cut(self) -> None:
        """Go at once."""
        self._ending = True
        if self._transport is not None:
            self._transport.abort()

    def _stop_reading(self) -> None:
        self._ending = True
        if self._held is not None and self._transport is not None:
            self._held.cancel()
            self._transport.resume_reading()
        if self._cut is None:
            self._cut = self._loop.call_later(self._bounds.close_seconds, self.cut)

    def _half_close(self) -> None:
        """Closing now would reset the connection if the peer is sending, and take our last words from it."""
        assert self._transport is not None
        assert self._writer is not None
        self._tls.close_notify()
        self._writer.flush_tls()
        if not self._transport.is_closing():
            self._transport.write_eof()

    def _tune(self, sock: socket.socket) -> None:
        bounds = self._bounds
        for level, option, value in (
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, bounds.keepalive_idle_seconds),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, bounds.keepalive_interval_seconds),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, bounds.keepalive_probes),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, bounds.user_timeout_ms),
        ):
            sock.setsockopt(level, option, value)
        if bounds.congestion:
            with contextlib.suppress(OSError):  # the kernel does not have it, or not for everybody
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, bounds.congestion)
