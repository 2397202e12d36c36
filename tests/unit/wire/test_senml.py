"""SenML as others read and write it (RFC 8428, RFC 9100)."""

from __future__ import annotations

import json
from typing import Any

import cbor2
import pytest

from edgecache.model.errors import MalformedMessage, UsageError
from edgecache.model.ids import node_id_from_bytes
from edgecache.model.instant import WallTime
from edgecache.model.reading import Reading
from edgecache.wire import senml
from edgecache.wire.limits import SENML_BYTES_MAX, SENML_RECORDS_MAX
from edgecache.wire.senml import Record, decode_cbor, decode_json, encode_cbor, encode_json, full_name, record_of

NODE = node_id_from_bytes(b"n" * 16)
OTHER = node_id_from_bytes(b"o" * 16)
BASE = f"urn:dev:edgecache:{NODE}:"


def parsed(*rows: dict[str, Any]) -> list[Record]:
    """The same rows read from JSON and from CBOR."""
    labels = {name: label for label, name in senml._NAMES.items()}
    found = decode_json(json.dumps(rows).encode())
    assert decode_cbor(cbor2.dumps([{labels.get(name, name): row[name] for name in row} for row in rows])) == found
    return found


def test_names_are_device_urns() -> None:
    assert full_name(NODE, "cpu/temp") == BASE + "cpu/temp"
    assert senml.parse_full_name(BASE + "cpu/temp") == (NODE, "cpu/temp")
    for wrong in ("urn:dev:mac:0024befffe804ff1", BASE, BASE + "a b", "urn:dev:edgecache:nope:x"):
        with pytest.raises(UsageError):
            senml.parse_full_name(wrong)


def test_times_are_ages_without_a_trusted_clock() -> None:
    assert record_of(NODE, Reading("t", 21.5, "Cel", 3.0), 2.5).time == -2.5
    assert record_of(NODE, Reading("t", 21.5, "Cel", 3.0), -0.1).time == 0.0
    assert record_of(NODE, Reading("t", 21.5, "Cel", 3.0, WallTime(1.76e9)), 2.5).time == 1.76e9
    assert record_of(NODE, Reading("t", 21.5, "Cel", 3.0, WallTime(100.0)), 2.5).time == -2.5


def test_packs_are_pinned() -> None:
    records = [
        Record(BASE + "temp", 21.5, "Cel", -2.5),
        Record(BASE + "door", False),
        Record(full_name(OTHER, "mode"), "größe", "", 1.76e9),
        Record("urn:dev:mac:0024befffe804ff1", 7, "count"),
    ]
    assert encode_json(records).decode() == (
        f'[{{"bn":"{BASE}","n":"temp","u":"Cel","v":21.5,"t":-2.5}},{{"n":"door","vb":false}},'
        f'{{"bn":"urn:dev:edgecache:{OTHER}:","n":"mode","vs":"größe","t":1760000000.0}},'
        '{"bn":"","n":"urn:dev:mac:0024befffe804ff1","u":"count","v":7}]'
    )
    first = cbor2.loads(encode_cbor(records))[0]
    assert first == {-2: BASE, 0: "temp", 1: "Cel", 2: 21.5, 6: -2.5}
    assert decode_json(encode_json(records)) == decode_cbor(encode_cbor(records)) == records


def test_secondary_units_need_their_version() -> None:
    pack = json.loads(encode_json([Record(BASE + "p", 1013.2, "hPa"), Record(BASE + "q", 1, "mV")]))
    assert [row.get("bver") for row in pack] == [26, None]
    assert "bver" not in json.loads(encode_json([Record(BASE + "p", 101320.0, "Pa")]))[0]


def test_empty_pack() -> None:
    assert encode_json([]) == b"[]"
    assert decode_json(b"[]") == decode_cbor(encode_cbor([])) == []


def test_base_fields_apply_until_they_change() -> None:
    assert parsed(
        {"bn": "urn:dev:ow:10e2073a01080063:", "bt": 1.5e9, "bu": "A", "bver": 10},
        {"n": "voltage", "u": "V", "v": 120.1},
        {"n": "current", "t": -5, "v": 1.2},
        {"bn": "x", "bt": 0, "bv": 100, "v": 3},
        {"t": -1},
    ) == [
        Record("urn:dev:ow:10e2073a01080063:voltage", 120.1, "V", 1.5e9),
        Record("urn:dev:ow:10e2073a01080063:current", 1.2, "A", 1.5e9 - 5),
        Record("x", 103, "A", 0.0),
        Record("x", 100, "A", -1.0),
    ]


def test_what_is_no_reading_is_left_out() -> None:
    rows: list[dict[str, Any]] = [{"bn": "x"}, {"n": "sum", "s": 5}, {"n": "y", "v": 1, "s": 2, "ut": 60, "unknown": 5}]
    assert parsed(*rows) == [Record("xy", 1)]
    assert decode_json(b'[{"n":"raw","vd":"YQ"}]') == []


@pytest.mark.parametrize(
    "row",
    [
        {"n": "x", "v": 1, "must_": 1},
        {"n": "x", "v": 1, "vb": True},
        {"n": "x", "v": True},
        {"n": "x", "v": "1"},
        {"n": "x", "v": 10**20},
        {"n": "x", "vb": 1},
        {"n": "x", "vs": 1},
        {"n": 5, "v": 1},
        {"n": "x", "u": 1, "v": 1},
        {"n": "x", "t": "now", "v": 1},
        {"n": "x", "bver": 11, "v": 1},
        {"n": "x", "bver": 58, "v": 1},
        {"n": "x", "bver": 10.5, "v": 1},
        {"v": 1},
        {"n": "/x", "v": 1},
        {"n": "a b", "v": 1},
        {"n": "x" * 256, "v": 1},
    ],
    ids=repr,
)
def test_record_is_refused(row: dict[str, Any]) -> None:
    with pytest.raises(MalformedMessage):
        parsed(row)


def test_versions_agree() -> None:
    with pytest.raises(MalformedMessage):
        parsed({"bver": 10, "n": "x", "v": 1}, {"bver": 26, "n": "y", "v": 1})


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[1]",
        b"nonsense",
        b'[{"n":"x","v":NaN}]',
        b'[{"n":"x","v":1e999}]',
        b'[{"n":"x","v":1,"v":2}]',
        b'[{"n":"\xff","v":1}]',
        b'[{"n":"x","v":' + b"9" * 5000 + b"}]",
        b"[" * 20_000,
        b"[" + b",".join([b"{}"] * (SENML_RECORDS_MAX + 1)) + b"]",
        b" " * (SENML_BYTES_MAX + 1),
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_json_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_json(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xa0",
        b"\x81\x01",
        b"\x81\xa2\x00\x61x\x02\xf9\x7e\x00",  # not a number
        b"\x81\xa2\x00\x61x\x02\xc4\x82\x20\x01",  # a decimal fraction: tags are refused
        b"\x81\xa3\x00\x61x\x02\x01\x02\x01",  # a key twice
        b"\x80\x00",
        bytes(SENML_BYTES_MAX + 1),
    ],
    ids=lambda raw: repr(raw[:20]),
)
def test_cbor_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_cbor(raw)


def test_a_key_that_only_equals_a_label_is_no_label() -> None:
    assert decode_cbor(cbor2.dumps([{0: "x", 2: 1, True: 5, 6.0: "now"}])) == [Record("x", 1)]
