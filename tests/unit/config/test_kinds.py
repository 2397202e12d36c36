"""Scalars as people write them: what is taken, what is refused and with which advice."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecache.config.endpoints import BindHost, Endpoint, HostPort, IpPort
from edgecache.config.kinds import BadValue, Choice, FilePath, Kind, Real, Switch, Text, Whole
from edgecache.config.units import Bytes, BytesPerSecond, Percentage, Seconds
from edgecache.model.peer import Address

SPAN = Seconds(0.1, 86400.0)
PORT = Whole(0, 65535)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Bytes(), "512MiB", 512 * 2**20),
        (Bytes(), "10GB", 10**10),
        (Bytes(), "10 GB", 10**10),
        (Bytes(), "1.5KiB", 1536),
        (Bytes(), "3kB", 3000),
        (Bytes(), "3KB", 3000),
        (Bytes(), "0", 0),
        (BytesPerSecond(), "50Mbit/s", 6_250_000),
        (BytesPerSecond(), "5MB/s", 5_000_000),
        (BytesPerSecond(), "1MiB/s", 2**20),
        (BytesPerSecond(), "0", 0),
        (BytesPerSecond(), "0Mbit/s", 0),
        (BytesPerSecond(), "none", 0),
        (BytesPerSecond(), "unlimited", 0),
        (SPAN, "30s", 30.0),
        (SPAN, "5min", 300.0),
        (SPAN, "500ms", 0.5),
        (SPAN, "1.5h", 5400.0),
        (SPAN, "1d", 86400.0),
        (Percentage(), "5%", 5.0),
        (Percentage(), "12.5 %", 12.5),
        (PORT, "5684", 5684),
        (Real(), "-1e-3", -0.001),
        (Real(), ".5", 0.5),
        (Switch(), "on", True),
        (Switch(), "No", False),
        (Switch(), "FALSE", False),
        (FilePath(), "~/x", Path("~/x")),
        (HostPort(5684), "pi-attic.local", Endpoint("pi-attic.local", 5684)),
        (HostPort(5684), "pi:7000", Endpoint("pi", 7000)),
        (HostPort(5684), "[fd00::1]:7000", Endpoint("fd00::1", 7000)),
        (HostPort(5684), "fd00::1", Endpoint("fd00::1", 5684)),
        (HostPort(5684), "[fe80::1%eth0]", Endpoint("fe80::1%eth0", 5684)),
        (IpPort(), "10.0.0.1", Address("10.0.0.1", 0)),
        (IpPort(), "[fd00::1]:7000", Address("fd00::1", 7000)),
        (BindHost(), "", ""),
        (BindHost(), "::", "::"),
    ],
)
def test_written_values_are_understood(kind: Kind, text: str, value: object) -> None:
    assert kind.parse(text) == value
    assert kind.parse(str(kind.render(value))) == value


@pytest.mark.parametrize(
    ("kind", "text", "advice"),
    [
        (Bytes(), "512", "512MiB or 10GB"),
        (Bytes(), "10gb", "did you mean 'GB'"),
        (Bytes(), "1_000MB", "512MiB or 10GB"),
        (Bytes(), "-1MB", "512MiB or 10GB"),
        (Bytes(least=2**20), "1kB", "1MiB to"),
        (Bytes(), "9" * 16 + "TB", "to 1024TiB"),
        (Bytes(), "9" * 5000 + "B", "512MiB or 10GB"),
        (BytesPerSecond(), "50", "50Mbit/s"),
        (BytesPerSecond(), "50Mbps", "did you mean 'Mbit/s'"),
        (BytesPerSecond(), "5MB", "did you mean 'MB/s'"),
        (BytesPerSecond(), "1bit/s", "or none"),
        (SPAN, "30", "30s, 5min"),
        (SPAN, "5m", "30s, 5min"),
        (SPAN, "12:30", "30s, 5min"),
        (SPAN, "2d", "100ms to 1d"),
        (SPAN, "0s", "100ms to 1d"),
        (Percentage(), "5", "5%"),
        (Percentage(most=95.0), "96%", "0% to 95%"),
        (PORT, "0123", "leading zeros"),
        (PORT, "0x10", "decimal"),
        (PORT, "12:30", "decimal"),
        (PORT, "1_000", "decimal"),
        (PORT, "65536", "0 to 65535"),
        (PORT, "٣", "decimal"),
        (PORT, "9" * 5000, "decimal"),
        (Real(), "1,5", "0.001"),
        (Real(), "1e999", ""),
        (Real(), ".inf", "0.001"),
        (Switch(), "maybe", "true or false"),
        (Choice(("debug", "info")), "inf", "did you mean 'info'"),
        (Text("[a-z]+", "a-z"), "A", "a-z"),
        (Text("[a-z]+", "a-z"), "a\n", ""),
        (Text(most=3), "äöü", ""),
        (Text(), "a\x1b[2J", ""),
        (Text(), "\ud800", ""),
        (FilePath(), "", ""),
        (FilePath(), "a\0b", ""),
        (HostPort(5684), "pi:0", "1 to 65535"),
        (HostPort(5684), "pi:65536", "1 to 65535"),
        (HostPort(5684), "fd00::1:x", "brackets"),
        (HostPort(5684), "a b", "brackets"),
        (HostPort(5684), "-x", ""),
        (IpPort(), "pi.local", "not a name"),
        (BindHost(), "pi.local", "an address"),
        (BindHost(), "0", "an address"),
    ],
)
def test_others_are_refused_with_advice(kind: Kind, text: str, advice: str) -> None:
    with pytest.raises(BadValue) as raised:
        kind.parse(text)
    assert advice in raised.value.hint
    assert len(raised.value.message) < 6000


@given(st.integers(0, 2**50))
def test_every_size_can_be_written(size: int) -> None:
    assert Bytes().parse(Bytes().render(size)) == size


@given(st.integers(1000, 10**12) | st.just(0))
def test_every_rate_can_be_written(rate: int) -> None:
    kind = BytesPerSecond()
    assert kind.parse(kind.render(rate)) == rate


@given(st.decimals("0.1", "86400", places=4))
def test_every_duration_can_be_written(seconds: object) -> None:
    value = float(str(seconds))
    assert SPAN.parse(SPAN.render(value)) == value


@given(st.text(max_size=60) | st.from_regex(re.compile(r"[0-9.]{1,18} ?[A-Za-z/%]{0,6}", re.ASCII), fullmatch=True))
def test_any_text_is_taken_or_refused(text: str) -> None:
    kinds: list[Kind] = [Bytes(), BytesPerSecond(), SPAN, Percentage(), PORT, Real(), Switch(), Text(), FilePath()]
    for kind in [*kinds, HostPort(5684), IpPort(), BindHost()]:
        try:
            value = kind.parse(text)
        except BadValue:
            continue
        assert kind.parse(str(kind.render(value))) == value
