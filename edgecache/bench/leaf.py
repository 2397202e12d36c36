"""A CoAP/UDP client that does as little as possible, so that the server is what is measured (RFC 7252)."""

from __future__ import annotations

import socket
import time

from edgecache.adapters.coap.framing import Code, Option, encode_options
from edgecache.model.errors import TimedOut, TransportError

ANSWER_TIMEOUT = 5.0
_CONFIRMABLE = 0x40
_TOKEN_BYTES = 4
_CONTENT = 0x45
_DATAGRAM_MAX = 2048


class LeafClient:
    """Confirmable GETs of one path; a context manager."""

    def __init__(self, port: int, path: tuple[str, ...]) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.settimeout(ANSWER_TIMEOUT)
        self._socket.connect(("127.0.0.1", port))
        self._options = encode_options((Option.URI_PATH, segment.encode()) for segment in path)
        self._sent = 0

    def __enter__(self) -> LeafClient:
        return self

    def __exit__(self, *exc: object) -> None:
        self._socket.close()

    def get(self) -> float:
        """One request; seconds until its answer. Raises TimedOut, TransportError for another code than 2.05."""
        began = time.perf_counter()
        self._ask()
        self._answer()
        return time.perf_counter() - began

    def many(self, count: int, in_flight: int) -> float:
        """Seconds for `count` requests of which always `in_flight` are under way. Raises as `get`."""
        began = time.perf_counter()
        for _ in range(in_flight):
            self._ask()
        for done in range(count):
            self._answer()
            if done + in_flight < count:
                self._ask()
        return time.perf_counter() - began

    def _ask(self) -> None:
        self._sent += 1
        header = bytes((_CONFIRMABLE | _TOKEN_BYTES, Code.GET)) + (self._sent & 0xFFFF).to_bytes(2, "big")
        self._socket.send(header + self._sent.to_bytes(_TOKEN_BYTES, "big") + self._options)

    def _answer(self) -> None:
        try:
            answer = self._socket.recv(_DATAGRAM_MAX)
        except TimeoutError as error:
            raise TimedOut("no answer to a CoAP request", hint="the agent's log says why") from error
        if answer[1] != _CONTENT:
            raise TransportError(f"a CoAP answer {answer[1] >> 5}.{answer[1] & 31:02}")
