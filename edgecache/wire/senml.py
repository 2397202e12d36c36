"""SenML packs (RFC 8428) in JSON and CBOR: readings for any client, and what leaves send us.

Names are `urn:dev:edgecache:<node id>:<series>`. Of the device URNs of RFC 9039 the forms `ops` and `os` need an
enterprise number, which edgecache has not; this is the general form, subtype and identifiers, and the base name ends
where the series begins. Times are seconds since 1970 where the owner's clock is trusted, else negative: seconds ago.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from edgecache.model.errors import MalformedMessage, UsageError
from edgecache.model.ids import NodeId, parse_node_id
from edgecache.model.reading import Reading, Value, parse_series
from edgecache.model.units import unit_of
from edgecache.wire import strict_cbor
from edgecache.wire.limits import SENML_BYTES_MAX, SENML_RECORDS_MAX

JSON_FORMAT: Final = 110
CBOR_FORMAT: Final = 112
"""CoAP content formats of application/senml+json and application/senml+cbor."""

RELATIVE_BELOW: Final = float(1 << 28)
"""Times below this are relative to now."""

VERSION: Final = 10
SECONDARY_UNITS: Final = 16
"""Feature bit of the version for units such as hPa (RFC 9100)."""

_LABELS: Final = {
    "bver": -1, "bn": -2, "bt": -3, "bu": -4, "bv": -5, "bs": -6,
    "n": 0, "u": 1, "v": 2, "vs": 3, "vb": 4, "s": 5, "t": 6, "ut": 7, "vd": 8,
}
_NAMES: Final = {label: name for name, label in _LABELS.items()}
_TEXTS: Final = frozenset({"bn", "bu", "n", "u", "vs"})
_NUMBERS: Final = frozenset({"bver", "bt", "bv", "bs", "v", "s", "t", "ut"})
_VALUES: Final = ("v", "vs", "vb", "vd")

_NUMBER_END: Final = 1 << 64
"""Numbers of a record are between this and its negative, which infinities and NaN are not."""

_URN: Final = "urn:dev:edgecache:"
_FULL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:./_-]{0,254}\Z")
_OWN_NAME = re.compile(rf"({_URN}(n[a-z2-7]{{26}}):)(.+)\Z")


@dataclass(frozen=True, slots=True)
class Record:
    """One value of one series, under its full name; `time` below 2**28 is relative to now, else since 1970."""

    name: str
    value: Value
    unit: str = ""
    time: float = 0.0


def full_name(node: NodeId, series: str) -> str:
    """The name of a node's series that is unique in the world."""
    return f"{_URN}{node}:{series}"


def parse_full_name(name: str) -> tuple[NodeId, str]:
    """Node and series of a full name of ours; raises UsageError for other names."""
    found = _OWN_NAME.match(name)
    if found is None:
        raise UsageError(f"{name[:100]!r} is not the name of a node's series")
    return parse_node_id(found[2]), parse_series(found[3])


def record_of(node: NodeId, reading: Reading, age: float) -> Record:
    """A node's reading that is `age` seconds old; by wall time if it has one."""
    time = reading.wall if reading.wall is not None and reading.wall >= RELATIVE_BELOW else -max(0.0, age)
    return Record(full_name(node, reading.series), reading.value, reading.unit, round(time, 3) or 0.0)


def encode_json(records: Iterable[Record]) -> bytes:
    """A pack as application/senml+json."""
    return json.dumps(_pack(records), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def encode_cbor(records: Iterable[Record]) -> bytes:
    """A pack as application/senml+cbor."""
    return strict_cbor.dumps([{_LABELS[name]: value for name, value in row.items()} for row in _pack(records)])


def _pack(records: Iterable[Record]) -> list[dict[str, object]]:
    """Records by field name; the base name is given where it changes."""
    rows: list[dict[str, object]] = []
    base, version = "", VERSION
    for record in records:
        row: dict[str, object] = {}
        found = _OWN_NAME.match(record.name)
        own, rest = (found[1], found[3]) if found else ("", record.name)
        if own != base:
            row["bn"] = base = own
        row["n"] = rest
        if record.unit:
            row["u"] = record.unit
            if unit_of(record.unit).secondary:
                version |= SECONDARY_UNITS
        row["vb" if isinstance(record.value, bool) else "vs" if isinstance(record.value, str) else "v"] = record.value
        if record.time:
            row["t"] = record.time
        rows.append(row)
    if version != VERSION:
        rows[0] = {"bver": version, **rows[0]}
    return rows


def decode_json(data: bytes) -> list[Record]:
    """The records of a JSON pack that are readings: no sums, no binary data; raises MalformedMessage."""
    _check_size(data)
    try:
        pack = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage(f"SenML: not JSON: {ascii(str(error))[:120]}") from error
    return _resolve(pack, dict(zip(_LABELS, _LABELS, strict=True)))


def decode_cbor(data: bytes) -> list[Record]:
    """The records of a CBOR pack that are readings: no sums, no binary data; raises MalformedMessage."""
    _check_size(data)
    return _resolve(strict_cbor.loads(data, "SenML", number_keys=True), _NAMES)


def _check_size(data: bytes) -> None:
    if len(data) > SENML_BYTES_MAX:
        raise MalformedMessage(f"SenML: {len(data)} bytes where {SENML_BYTES_MAX} may be")


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice in one record")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _resolve(pack: object, names: Mapping[Any, str]) -> list[Record]:
    """Records with the base fields applied (RFC 8428 section 4.6), times still relative."""
    if type(pack) is not list or len(pack) > SENML_RECORDS_MAX:
        raise MalformedMessage(f"SenML: not an array of at most {SENML_RECORDS_MAX} records")
    base: dict[str, Any] = {}
    version: int | None = None
    records: list[Record] = []
    for at, item in enumerate(pack):
        where = f"SenML[{at}]"
        row = _fields(item, names, where)
        if "bver" in row:
            if version not in (None, row["bver"]):
                raise MalformedMessage(f"{where}: versions differ")
            version = _check_version(row["bver"], where)
        base.update((name, value) for name, value in row.items() if name.startswith("b"))
        record = _record(row, base, where)
        if record is not None:
            records.append(record)
    return records


def _fields(item: object, names: Mapping[Any, str], where: str) -> dict[str, Any]:
    """The fields of one record that we know, each of its type; raises over one that must be understood."""
    if not isinstance(item, dict):
        raise MalformedMessage(f"{where}: not a record")
    row: dict[str, Any] = {}
    for label, value in item.items():
        name = names.get(label) if type(label) in (int, str) else None
        if name is None:
            if isinstance(label, str) and label.endswith("_"):
                raise MalformedMessage(f"{where}: {ascii(label)[:40]} must be understood and is not known")
            continue
        if name in _NUMBERS:
            fits = type(value) in (int, float) and abs(value) < _NUMBER_END
        elif name in _TEXTS:
            fits = type(value) is str
        else:
            fits = type(value) is bool or name == "vd"
        if not fits:
            raise MalformedMessage(f"{where}.{name}: of the wrong type")
        row[name] = value
    if sum(name in row for name in _VALUES) > 1:
        raise MalformedMessage(f"{where}: more than one value")
    return row


def _check_version(version: float, where: str) -> int:
    """The low bits of every version are those of 10; each other bit is a feature that must be known."""
    if type(version) is not int or version not in (VERSION, VERSION | SECONDARY_UNITS):
        raise MalformedMessage(f"{where}: version {version} is not understood")
    return version


def _record(row: Mapping[str, Any], base: Mapping[str, Any], where: str) -> Record | None:
    value = row.get("vs", row.get("vb"))
    if value is None and "vd" not in row and ("v" in row or ("bv" in base and _is_entry(row))):
        value = row.get("v", 0) + base.get("bv", 0)
    if value is None:
        return None
    name = base.get("bn", "") + row.get("n", "")
    if not _FULL_NAME.match(name):
        raise MalformedMessage(f"{where}: {ascii(name)[:60]} is not a name")
    time = base.get("bt", 0) + row.get("t", 0)
    return Record(name, value, row.get("u", base.get("bu", "")), float(time))


def _is_entry(row: Mapping[str, Any]) -> bool:
    """Whether a record says more than base fields, so that a base value alone is its value."""
    return any(not name.startswith("b") and name != "s" for name in row)
