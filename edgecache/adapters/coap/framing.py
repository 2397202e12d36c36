"""CoAP messages as bytes on a stream (RFC 8323 section 3.2): pure, bounded, and without copies of the payload."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from edgecache.model.errors import MalformedMessage

TOKEN_BYTES_MAX = 8
CONTENT_OCTETS, CONTENT_JSON, CONTENT_CBOR = 42, 50, 60
"""Content formats (RFC 7252 section 12.3)."""
OPTIONS_MAX = 64
"""Options of one message; ours have at most a dozen."""

_PAYLOAD_MARKER = 0xFF


class Code(IntEnum):
    """The CoAP codes that are spoken on a link; the upper three bits are the class."""

    EMPTY = 0
    GET = 0x01
    POST = 0x02
    CHANGED = 0x44
    CONTENT = 0x45
    BAD_REQUEST = 0x80
    UNAUTHORIZED = 0x81
    BAD_OPTION = 0x82
    FORBIDDEN = 0x83
    NOT_FOUND = 0x84
    NOT_ACCEPTABLE = 0x86
    INTERNAL_SERVER_ERROR = 0xA0
    SERVICE_UNAVAILABLE = 0xA3
    CSM = 0xE1
    PING = 0xE2
    PONG = 0xE3
    RELEASE = 0xE4
    ABORT = 0xE5


REQUEST_CLASS, SIGNALLING_CLASS = 0, 7
RESPONSE_CLASSES = (2, 4, 5)


class Option(IntEnum):
    """Option numbers of requests and responses; odd ones are critical."""

    URI_HOST = 3
    URI_PORT = 7
    URI_PATH = 11
    CONTENT_FORMAT = 12
    MAX_AGE = 14
    URI_QUERY = 15
    ACCEPT = 17
    BLOCK2 = 23
    NO_RESPONSE = 258


class CsmOption(IntEnum):
    """Options of the Capabilities and Settings Message (RFC 8323 section 5.3)."""

    MAX_MESSAGE_SIZE = 2
    BLOCK_WISE_TRANSFER = 4


ABORT_BAD_CSM_OPTION = 2


@dataclass(frozen=True, slots=True)
class Frame:
    """One message as received."""

    code: int
    token: bytes
    options: tuple[tuple[int, bytes], ...]
    payload: bytes | memoryview
    """A view where the buffer of the message was given away with it."""

    @property
    def code_class(self) -> int:
        """0 request, 2, 4 and 5 response, 7 signalling."""
        return self.code >> 5


def code_text(code: int) -> str:
    """A code as people write it, like 4.04."""
    return f"{code >> 5}.{code & 0x1F:02}"


def is_unwanted(code: int, unwanted: int) -> bool:
    """Whether a No-Response option of this value (RFC 7967: bit c-1 for class c) forbids an answer of this code."""
    return bool(unwanted >> ((code >> 5) - 1) & 1)


def uint(value: int) -> bytes:
    """A number as an option value: big-endian, no leading zeros (RFC 7252 section 3.2)."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def measure(buffer: memoryview) -> tuple[int, int] | None:
    """Total length and code of the message that begins here; None while its first bytes are not all here."""
    if len(buffer) < 2:
        return None
    length, token = buffer[0] >> 4, buffer[0] & 0x0F
    if token > TOKEN_BYTES_MAX:
        raise MalformedMessage(f"a token of {token} bytes")
    extended = max(0, length - 12) if length < 15 else 4
    if len(buffer) < 2 + extended:
        return None
    if length >= 13:
        length = int.from_bytes(buffer[1 : 1 + extended], "big") + (13, 269, 65805)[length - 13]
    return 2 + extended + token + length, buffer[1 + extended]


def parse(message: memoryview, *, keep: bool = False) -> Frame:
    """A complete message, as long as `measure` said; raises MalformedMessage. The payload is a view with `keep`."""
    length = message[0] >> 4
    at = 1 + (max(0, length - 12) if length < 15 else 4)
    code = message[at]
    begin = at + 1 + (message[0] & 0x0F)
    token = bytes(message[at + 1 : begin])
    options, end = _options(message, begin)
    payload = message[end:]
    return Frame(code, token, options, payload if keep else bytes(payload))


def _options(message: memoryview, at: int) -> tuple[tuple[tuple[int, bytes], ...], int]:
    found: list[tuple[int, bytes]] = []
    number, end = 0, len(message)
    while at < end:
        first = message[at]
        if first == _PAYLOAD_MARKER:
            if at + 1 == end:
                raise MalformedMessage("a payload marker without a payload")
            return tuple(found), at + 1
        delta, size = first >> 4, first & 0x0F
        at += 1
        if delta > 12:
            delta, at = _extended(message, at, delta)
        if size > 12:
            size, at = _extended(message, at, size)
        number += delta
        if number > 0xFFFF or len(found) == OPTIONS_MAX:
            raise MalformedMessage("too many options, or one with too high a number")
        if at + size > end:
            raise MalformedMessage("an option is cut off")
        found.append((number, bytes(message[at : at + size])))
        at += size
    return tuple(found), end


def _extended(message: memoryview, at: int, nibble: int) -> tuple[int, int]:
    """Option delta or length of 13 and more, extended (RFC 7252 section 3.1), and where the next field begins."""
    if nibble == 15:
        raise MalformedMessage("the reserved option nibble 15")
    wide = nibble - 12
    if at + wide > len(message):
        raise MalformedMessage("an option is cut off")
    return int.from_bytes(message[at : at + wide], "big") + (13 if wide == 1 else 269), at + wide


def encode_options(options: Iterable[tuple[int, bytes]]) -> bytes:
    """Options, in ascending order of their numbers, as they stand in a message."""
    out = bytearray()
    last = 0
    for number, value in options:
        delta, size = number - last, len(value)
        if delta < 13 and size < 13:
            out.append(delta << 4 | size)
        else:
            (delta, delta_extension), (size, size_extension) = _shorten(delta), _shorten(size)
            out.append(delta << 4 | size)
            out += delta_extension + size_extension
        out += value
        last = number
    return bytes(out)


def _shorten(value: int) -> tuple[int, bytes]:
    if value < 13:
        return value, b""
    if value < 269:
        return 13, (value - 13).to_bytes(1, "big")
    return 14, (value - 269).to_bytes(2, "big")


def head(code: int, token: bytes, options: bytes, payload_bytes: int) -> bytes:
    """All of a message that stands before its payload, marker included; `options` are encoded."""
    marker = b"\xff" if payload_bytes else b""
    length = len(options) + len(marker) + payload_bytes
    if length < 13:
        nibble, extension = length, b""
    elif length < 269:
        nibble, extension = 13, (length - 13).to_bytes(1, "big")
    elif length < 65805:
        nibble, extension = 14, (length - 269).to_bytes(2, "big")
    else:
        nibble, extension = 15, (length - 65805).to_bytes(4, "big")
    return b"".join((bytes((nibble << 4 | len(token),)), extension, bytes((code,)), token, options, marker))
