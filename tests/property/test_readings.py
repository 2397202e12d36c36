"""Readings survive every form that they take, and ages are never overstated."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edgecache.model.errors import MalformedMessage
from edgecache.model.instant import WallTime
from edgecache.model.reading import OwnerClock, Reading, Stamp, Value
from edgecache.wire.reading import decode_value, encode_value
from edgecache.wire.senml import Record, decode_cbor, decode_json, encode_cbor, encode_json, full_name, record_of
from tests.property.arbitrary import names, nodes

values: st.SearchStrategy[Value] = st.one_of(
    st.booleans(), st.integers(-(2**63) + 1, 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), names
)
small_values: st.SearchStrategy[Value] = st.one_of(
    st.booleans(), st.integers(-(2**63), 2**63), st.floats(-1e19, 1e19), st.text(max_size=20).filter(str.isprintable)
)
units = st.sampled_from(["", "Cel", "%RH", "/", "hPa", "made-up"])
series = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_:.-]{0,10}\Z")
walls = st.none() | st.integers(2**28, 2**40).map(lambda seconds: WallTime(seconds / 1.0))
readings = st.builds(Reading, series, values, units, st.floats(0, 1e8), walls)


@given(readings, st.integers(0, 2**40))
def test_value_round_trip(reading: Reading, boot: int) -> None:
    posted = decode_value(reading.series, encode_value(reading, boot))
    assert posted.stamp == Stamp(boot, round(reading.taken * 1000), reading.wall)
    assert posted.observed(reading.taken) == reading


@given(st.binary(max_size=60))
@settings(max_examples=200)
def test_value_garbage_never_raises_anything_else(raw: bytes) -> None:
    for decode in (lambda data: decode_value("s", data), decode_cbor, decode_json):
        refusal = ""
        try:
            decode(raw)
        except MalformedMessage as error:
            refusal = error.message
        assert not refusal or refusal.isprintable()


@given(st.lists(st.builds(Reading, series, small_values, units, st.floats(0, 1e8), walls), max_size=8), st.data())
def test_senml_round_trip(found: list[Reading], data: st.DataObject) -> None:
    records = [record_of(data.draw(nodes), one, data.draw(st.floats(0, 1e6))) for one in found]
    assert decode_json(encode_json(records)) == records
    assert decode_cbor(encode_cbor(records)) == records
    assert [record.time >= 2**28 for record in records] == [one.wall is not None for one in found]


@given(st.lists(st.tuples(nodes, series, st.integers(0, 5)), max_size=6))
def test_senml_keeps_names_of_any_order(rows: list[tuple[str, str, int]]) -> None:
    records = [Record(full_name(node, one), value) for node, one, value in rows]  # type: ignore[arg-type]
    assert decode_json(encode_json(records)) == records


@given(
    ahead=st.floats(-1e6, 1e6),
    posts=st.lists(st.tuples(st.floats(0, 5000), st.floats(0, 300), st.floats(0, 5)), min_size=1, max_size=12),
    wait=st.floats(0, 5000),
)
def test_ages_are_never_overstated(ahead: float, posts: list[tuple[float, float, float]], wait: float) -> None:
    """`posts`: when measured, how long before it is flushed, how long it is under way; `ahead`: between the clocks."""
    arrivals = sorted((measured + flush + way, measured) for measured, flush, way in posts)
    clock: OwnerClock | None = None
    stamps = []
    for arrived, measured in arrivals:
        stamp = Stamp(1, round((measured + ahead + 2e6) * 1000))
        stamps.append((stamp, measured))
        clock = OwnerClock.first(stamp, arrived) if clock is None else clock.heard(stamp, arrived)
        assert clock.taken(stamp) <= arrived + 0.002
    assert clock is not None
    now = arrivals[-1][0] + wait
    for stamp, measured in stamps:
        age = Reading("s", 1, "", clock.taken(stamp)).age(now)
        assert age <= now - measured + 0.002
    least = min(arrived - measured for arrived, measured in arrivals if arrivals[-1][0] - arrived < 600)
    last, measured = stamps[-1]
    assert Reading("s", 1, "", clock.taken(last)).age(now) >= now - measured - least - 0.002
