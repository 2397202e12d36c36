"""RFC 8323 framing: what is written is read back, whatever the sizes, and nothing else passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecache.adapters.coap import framing as f
from edgecache.model.errors import MalformedMessage

OPTIONS = st.lists(st.tuples(st.integers(0, 0xFFFF), st.binary(max_size=400)), max_size=8).map(
    lambda options: sorted(options, key=lambda option: option[0])
)


@given(st.integers(0, 255), st.binary(max_size=8), OPTIONS, st.binary(max_size=2000))
def test_round_trip(code: int, token: bytes, options: list[tuple[int, bytes]], payload: bytes) -> None:
    raw = f.head(code, token, f.encode_options(options), len(payload)) + payload
    assert f.measure(memoryview(raw + b"next")) == (len(raw), code)
    frame = f.parse(memoryview(raw))
    assert (frame.code, frame.token, list(frame.options), frame.payload) == (code, token, options, payload)


@pytest.mark.parametrize("size", [0, 1, 10, 11, 12, 267, 268, 269, 65802, 65803, 65804, 65805, 262144])
def test_length_extensions(size: int) -> None:
    raw = f.head(2, b"tok", b"", size) + bytes(size)
    assert f.measure(memoryview(raw)) == (len(raw), 2)
    assert len(f.parse(memoryview(raw)).payload) == size


@given(st.binary(max_size=12))
def test_a_measure_needs_only_the_first_bytes(data: bytes) -> None:
    try:
        whole = f.measure(memoryview(data))
    except MalformedMessage:
        assert data[0] & 15 > 8
        return
    for cut in range(len(data)):
        assert f.measure(memoryview(data[:cut])) in (None, whole)


@given(st.binary(min_size=2, max_size=200))
def test_garbage_is_malformed_or_a_frame(data: bytes) -> None:
    try:
        sizes = f.measure(memoryview(data))
        if sizes is not None and sizes[0] <= len(data):
            f.parse(memoryview(data[: sizes[0]]))
    except MalformedMessage:
        return


@pytest.mark.parametrize(
    "options",
    [b"\xf0", b"\x0f", b"\xd0", b"\xe0\x00", b"\x0d", b"\x05abc", b"\xff", b"\xe0\xff\xff\xe0\xff\xff", b"\x00" * 65],
)
def test_broken_options(options: bytes) -> None:
    raw = f.head(1, b"", options, 0)
    with pytest.raises(MalformedMessage):
        f.parse(memoryview(raw))


def test_codes_and_numbers_as_people_and_options_have_them() -> None:
    assert [f.code_text(code) for code in (0x01, 0x45, 0xA3, 0xE1)] == ["0.01", "2.05", "5.03", "7.01"]
    assert [f.uint(n) for n in (0, 1, 255, 256)] == [b"", b"\x01", b"\xff", b"\x01\x00"]
