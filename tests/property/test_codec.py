"""Whatever we send is read back as it was, in one encoding; whatever is not that is refused, cheaply and in one way."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecache.model.errors import MalformedMessage
from edgecache.wire import messages as m
from edgecache.wire.codec import KINDS, decode, encode, encode_signed_head, map_hash
from tests.property import arbitrary


def refused_or_message(data: bytes) -> None:
    """Bytes decode to a message that can be sent again, or raise MalformedMessage with a text."""
    refusal = None
    try:
        message = decode(data)
    except MalformedMessage as error:
        refusal = error.message
    if refusal is None:
        assert decode(encode(message)) == message
    else:
        assert 0 < len(refusal) < 400
        assert refusal.isprintable()


def test_every_message_has_a_strategy() -> None:
    assert set(arbitrary.messages_by_kind) == set(get_args(m.Message)) == {kind.cls for kind in KINDS}


@pytest.mark.parametrize("kind", arbitrary.messages_by_kind, ids=lambda kind: kind.__name__)
@given(data=st.data())
@settings(max_examples=60)
def test_round_trip(kind: type, data: st.DataObject) -> None:
    message = data.draw(arbitrary.messages_by_kind[kind])
    encoded = encode(message)
    assert decode(encoded) == message
    assert encode(decode(encoded)) == encoded


@given(arbitrary.messages)
@settings(max_examples=100)
def test_encoding_is_deterministic_cbor(message: m.Message) -> None:
    encoded = encode(message)
    assert cbor2.dumps(cbor2.loads(encoded), canonical=True) == encoded


@given(arbitrary.messages, st.data())
@settings(max_examples=400)
def test_a_changed_byte_never_raises_anything_else(message: m.Message, data: st.DataObject) -> None:
    raw = bytearray(encode(message))
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    refused_or_message(bytes(raw))


@given(arbitrary.messages, st.data())
@settings(max_examples=100)
def test_a_beginning_or_more_than_all_of_a_message_is_refused(message: m.Message, data: st.DataObject) -> None:
    raw = encode(message)
    cut = data.draw(st.integers(0, len(raw) - 1))
    with pytest.raises(MalformedMessage):
        decode(raw[:cut])
    with pytest.raises(MalformedMessage):
        decode(raw + data.draw(st.binary(min_size=1, max_size=5)))


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_garbage_never_raises_anything_else(raw: bytes) -> None:
    refused_or_message(raw)


anything: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats() | st.text(max_size=5)
    | st.binary(max_size=40) | arbitrary.nodes | st.sampled_from([cbor2.undefined, cbor2.CBORSimpleValue(99)]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3),
    max_leaves=12,
)


@pytest.mark.parametrize("number", [kind.number for kind in KINDS])
@given(fields=st.dictionaries(st.integers(1, 14), anything, max_size=12))
@settings(max_examples=60)
def test_fields_of_any_type_never_raise_anything_else(number: int, fields: dict[int, Any]) -> None:
    refused_or_message(cbor2.dumps({0: number, **dict(sorted(fields.items()))}))


@given(arbitrary.messages, st.data())
@settings(max_examples=200)
def test_a_field_of_another_type_never_raises_anything_else(message: m.Message, data: st.DataObject) -> None:
    fields = cbor2.loads(encode(message))
    if len(fields) > 1:
        fields[data.draw(st.sampled_from(sorted(fields)[1:]))] = data.draw(anything)
    refused_or_message(cbor2.dumps(fields))


def peak_kib() -> int:
    """Most memory, touched or not, that this process ever had: sees what libraries allocate, too."""
    return int(next(line.split()[1] for line in Path("/proc/self/status").open() if line.startswith("VmPeak")))


def test_a_promised_length_allocates_nothing() -> None:
    before = peak_kib()
    for head in (0x5B, 0x7B, 0x9B, 0xBB):
        for bits in (20, 24, 28, 31, 33, 40, 48, 63):
            with pytest.raises(MalformedMessage):
                decode(b"\xa2\x00\x09\x01" + bytes([head]) + (1 << bits).to_bytes(8, "big") + bytes(100))
    assert peak_kib() - before < 4096


@given(arbitrary.entry_maps(), st.randoms(use_true_random=False))
def test_map_hash_knows_no_order_but_every_difference(entries: list[m.Entry], random: Any) -> None:
    shuffled = entries[:]
    random.shuffle(shuffled)
    assert map_hash(shuffled) == map_hash(iter(entries))
    if entries:
        first, rest = entries[0], entries[1:]
        assert map_hash(rest) != map_hash(entries)
        assert map_hash([m.Entry(first.key, first.version + 1, first.value), *rest]) != map_hash(entries)
        other = None if first.value is not None else b""
        assert map_hash([m.Entry(first.key, first.version, other), *rest]) != map_hash(entries)


@given(*(st.tuples(arbitrary.nodes, arbitrary.counters, arbitrary.counters, arbitrary.digests),) * 2)
def test_a_signed_head_says_all_of_it(one: Any, other: Any) -> None:
    assert (encode_signed_head(*one) == encode_signed_head(*other)) == (one == other)
