"""Control messages as CoAP requests: POST with No-Response (RFC 7967), CBOR inside."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from edgecache.adapters.coap.framing import CONTENT_CBOR, Code, Frame, Option, encode_options, head, is_unwanted, uint
from edgecache.model.errors import MalformedMessage
from edgecache.wire import codec, paths
from edgecache.wire.messages import Message

NO_RESPONSE_AT_ALL = 26
"""Not interested in 2.xx, 4.xx and 5.xx (RFC 7967 section 2.1)."""

_OPTIONS_CACHED = 64
"""Paths whose options are kept: a handful, and one for each blob that is under way."""

_POSTS_CACHED = 2
"""Messages whose bytes are kept: news of chunks go to all who listen one after another, and to fellows with claims."""

_UNDERSTOOD = frozenset((Option.URI_HOST, Option.URI_PORT, Option.URI_PATH, Option.URI_QUERY, Option.ACCEPT))


class UnknownOption(MalformedMessage):
    """A critical option that we do not understand: 4.02 (RFC 7252 section 5.4.1)."""


@dataclass(frozen=True, slots=True)
class Post:
    """What the options of a POST say."""

    path: tuple[str, ...]
    unwanted: int
    """Bit c-1 is set when responses of class c are not wanted."""

    def wants(self, code: int) -> bool:
        """Whether the sender wants to hear a response of this code."""
        return not is_unwanted(code, self.unwanted)


@lru_cache(maxsize=_POSTS_CACHED)
def posted(message: Message) -> tuple[bytes, bytes]:
    """A control message that nobody answers, so not a hello: what stands before its payload, and that; raises
    LocalProtocolError."""
    payload = codec.encode(message)
    return post_head(paths.path_of(message), b"", len(payload), one_way=True), payload


def post_head(path: tuple[str, ...], token: bytes, payload_bytes: int, *, one_way: bool) -> bytes:
    """Everything before the payload of a control message to `path`."""
    return head(Code.POST, token, _post_options(path, one_way), payload_bytes)


@lru_cache(maxsize=_OPTIONS_CACHED)
def _post_options(path: tuple[str, ...], one_way: bool) -> bytes:
    options = [(int(Option.URI_PATH), segment.encode()) for segment in path]
    options.append((Option.CONTENT_FORMAT, uint(CONTENT_CBOR)))
    if one_way:
        options.append((Option.NO_RESPONSE, uint(NO_RESPONSE_AT_ALL)))
    return encode_options(options)


def parse_post(frame: Frame) -> Post:
    """What a POST asks for; raises UnknownOption or MalformedMessage."""
    path: list[str] = []
    unwanted = 0
    for number, value in frame.options:
        if number == Option.URI_PATH:
            try:
                path.append(value.decode())
            except UnicodeDecodeError as error:
                raise UnknownOption("a path that is not UTF-8") from error
        elif number == Option.NO_RESPONSE:
            unwanted = int.from_bytes(value[:2], "big")
        elif number == Option.CONTENT_FORMAT and value != uint(CONTENT_CBOR):
            raise MalformedMessage("control messages are CBOR")
        elif number & 1 and number not in _UNDERSTOOD:
            raise UnknownOption(f"critical option {number} is unknown here")
    return Post(tuple(path), unwanted)
