"""Messages come out as they went in, however the bytes are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecache.adapters.coap import framing as f
from edgecache.adapters.coap.framing import Frame
from edgecache.adapters.coap.inbox import ROOM_BYTES, Inbox, too_large
from edgecache.model.errors import MalformedMessage


def allow_all(code: int, size: int) -> None:
    return None


def pour(inbox: Inbox, data: bytes, step: int) -> list[Frame]:
    """Give the inbox `data`, at most `step` bytes at a time, and take what comes out."""
    frames = []
    while data:
        space = inbox.space()
        count = min(step, len(space), len(data))
        assert count > 0
        space[:count] = data[:count]
        space.release()
        data = data[count:]
        inbox.fill(count)
        while (frame := inbox.next()) is not None:
            frames.append(frame)
    return frames


@given(
    st.lists(st.sampled_from([0, 1, 20, 300, ROOM_BYTES - 3, ROOM_BYTES, 70_000]), min_size=1, max_size=6),
    st.sampled_from([1000, 4096, ROOM_BYTES, 100_000]),
)
def test_any_sizes_in_any_pieces(sizes: list[int], step: int) -> None:
    payloads = [bytes([number + 1]) * size for number, size in enumerate(sizes)]
    data = b"".join(f.head(2, bytes([n]), b"", len(p)) + p for n, p in enumerate(payloads))
    inbox = Inbox(allow_all)
    assert [frame.payload for frame in pour(inbox, data, step)] == payloads
    assert not inbox.partial


def test_byte_by_byte() -> None:
    data = b"".join(f.head(2, b"t", b"", size) + b"x" * size for size in (0, 13, 269, 5))
    inbox = Inbox(allow_all)
    assert len(pour(inbox, data[:-1], 1)) == 3
    assert inbox.partial
    assert len(pour(inbox, data[-1:], 1)) == 1


def test_a_message_is_large_from_its_head_to_its_end() -> None:
    inbox, short = Inbox(allow_all), f.head(2, b"t", b"", 20) + b"x" * 20
    long = f.head(2, b"t", b"", 70_000) + b"x" * 70_000
    assert len(pour(inbox, short + long[:100], 1000)) == 1
    assert inbox.large
    assert len(pour(inbox, long[100:] + short[:10], 1000)) == 1
    assert inbox.partial
    assert not inbox.large


def test_a_message_is_asked_about_before_anything_is_allocated_for_it() -> None:
    asked: list[tuple[int, int]] = []

    def refuse(code: int, size: int) -> None:
        asked.append((code, size))
        raise too_large(size, 100)

    inbox = Inbox(refuse)
    with pytest.raises(MalformedMessage, match="at most 100"):
        pour(inbox, f.head(0x45, b"", b"", 1 << 30)[:6], 6)
    assert asked == [(0x45, (1 << 30) + 7)]
    assert len(inbox.space()) <= ROOM_BYTES


def test_the_buffer_is_small_again_after_a_large_message() -> None:
    inbox = Inbox(allow_all)
    data = f.head(2, b"", b"", 200_000) + bytes(200_000)
    assert len(pour(inbox, data, 50_000)) == 1
    assert len(inbox.space()) == ROOM_BYTES
