"""TLS over byte buffers: who feeds and drains them knows exactly what is queued, and why a handshake failed."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from typing import cast


class TlsStream:
    """One end of a TLS connection that does no IO."""

    def __init__(self, context: ssl.SSLContext, *, server: bool) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_side=server)
        self._read_into = cast("Callable[[int, memoryview], int]", self._object.read)  # not as typeshed has it
        self._failure: ssl.SSLError | None = None
        """What went wrong after bytes that were still good, until it is told."""
        self._broken = False
        self.dry = False
        """Nothing more can be read before more is fed."""

    @property
    def has_output(self) -> bool:
        """Whether `take` has anything to give."""
        return self._outgoing.pending > 0

    def feed(self, ciphertext: memoryview) -> None:
        """Bytes from the network."""
        self._incoming.write(ciphertext)
        self.dry = False

    def handshake(self) -> bool:
        """Go on with the handshake; True when it is done. Raises ssl.SSLError; the alert is then in `take`."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def peer_certificate(self) -> bytes | None:
        """DER of what the peer has proved to own."""
        return self._object.getpeercert(binary_form=True)

    def read_into(self, space: memoryview) -> int | None:
        """Decrypt until `space` is full or nothing is left; None when nothing was, 0 at the end of the stream.

        Raises ssl.SSLError, once what came before has been read.
        """
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        read, size, filled = self._read_into, len(space), 0
        try:
            while filled < size and (got := read(size - filled, space[filled:])):
                filled += got
        except ssl.SSLWantReadError:
            self.dry = True
            return filled or None
        except ssl.SSLZeroReturnError:
            return filled
        except ssl.SSLError as error:
            self._broken = True
            if not filled:
                raise
            self._failure = error.with_traceback(None)  # which leads to `space`, a whole chunk
        return filled

    def write(self, plaintext: bytes | memoryview) -> None:
        """Encrypt all of it; the result is in `take`: nothing after a failure, which `read_into` is still to tell."""
        if self._broken:
            return
        rest = memoryview(plaintext)
        while rest:
            rest = rest[self._object.write(rest) :]

    def close_notify(self) -> None:
        """Say that nothing follows (RFC 8446 section 6.1); it is in `take`."""
        try:
            self._object.unwrap()
        except ssl.SSLError:
            return

    def take(self) -> bytes:
        """Bytes for the network, perhaps none."""
        return self._outgoing.read()


def failure_text(error: ssl.SSLError) -> str:
    """Why TLS failed, in OpenSSL's word, for people."""
    verify = getattr(error, "verify_message", "")
    reason = (error.reason or str(error)).lower().replace("_", " ")
    return f"{reason}: {verify}" if verify else reason
