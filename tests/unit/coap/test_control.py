"""Control messages as CoAP requests."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from edgecache.adapters.coap.control import parse_post, posted
from edgecache.adapters.coap.framing import parse
from edgecache.model.have import HaveSet
from edgecache.wire import codec, messages, paths
from tests.property.arbitrary import messages_by_kind
from tests.unit.core.swarm.world import blob_of

posts = st.one_of(*(strategy for kind, strategy in messages_by_kind.items() if kind is not messages.Hello))
"""A hello is answered, and sent in another way."""


@given(posts)
def test_a_posted_message_is_what_its_reader_finds(message: messages.Message) -> None:
    """Of every kind, the second time as well, when its bytes are kept."""
    for _ in range(2):
        head, payload = posted(message)
        frame = parse(memoryview(head + payload))
        assert codec.decode(bytes(frame.payload)) == message
        assert parse_post(frame).path == paths.path_of(message)
        assert not parse_post(frame).wants(0x44)


def test_one_message_for_many_is_put_into_bytes_once() -> None:
    news = messages.Have(blob_of(1).blob, HaveSet(5), full=False, wanting=True)
    others = replace(news, coming=(7,))
    assert posted(news)[1] is posted(news)[1]
    assert posted(others)[1] is posted(others)[1] is not posted(news)[1]
