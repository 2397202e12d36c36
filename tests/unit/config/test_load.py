"""A file becomes a Config, or a list of everything that is wrong with it, with positions."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgecache.config.document import DEPTH_MAX
from edgecache.config.endpoints import Endpoint
from edgecache.config.load import LIST_MAX, Loaded, default_path, parse
from edgecache.config.schema import Config, FileSource, HostSource
from edgecache.model.errors import ConfigError
from edgecache.model.peer import Address

FILE = Path("/etc/edgecache/edgecache.yaml")


def read(text: str, **environ: str) -> Loaded:
    return parse(f"version: 1\n{text}".encode(), FILE, environ)


def config(text: str, **environ: str) -> Config:
    return read(text, **environ).config


def problems(text: str) -> str:
    with pytest.raises(ConfigError) as raised:
        read(text)
    return raised.value.message


def test_only_the_version_is_needed() -> None:
    plain = config("")
    assert plain.name
    assert plain.site == "default"
    assert plain.data_dir == Path("/var/lib/edgecache")
    assert plain.control_socket == Path("/var/lib/edgecache/control.sock")
    assert (plain.listen.port, plain.mqtt.keepalive, plain.links.overlay) == (5684, 5.0, 8)


def test_every_section_is_read() -> None:
    full = config(
        """
name: pi
site: home
data_dir: data
listen: {host: 0.0.0.0, port: 0, advertise: [192.0.2.1, "[fd00::1]:7000"]}
coap: {enabled: yes}
discovery: {mdns: off, seeds: ["other:7000", fd00::2]}
limits: {upload: 50Mbit/s, download: 0}
store: {max_size: 512MiB, reserve_percent: 7.5%, reserve_min: 1GB}
links: {overlay: 4, working: 8}
mqtt:
  enabled: true
  host: broker
  tls: {enabled: true, ca: /ca.pem}
  keepalive: 10s
readings:
  interval: 1min
  sources:
    - {type: host, metrics: [load, disk]}
    - {type: file, series: t, path: /sys/t, scale: 0.001, regex: "t=(.*)", interval: 5s}
control: {socket: /run/e.sock}
log: {level: debug}
"""
    )
    assert full.data_dir == Path("/etc/edgecache/data")
    assert full.listen.advertise == (Address("192.0.2.1", 0), Address("fd00::1", 7000))
    assert full.discovery.seeds == (Endpoint("other", 7000), Endpoint("fd00::2", 5684))
    assert full.coap.enabled
    assert not full.discovery.mdns
    assert (full.limits.upload, full.limits.download) == (6_250_000, 0)
    assert (full.store.reserve_percent, full.store.reserve_min) == (7.5, 10**9)
    assert full.mqtt.tls.ca == Path("/ca.pem")
    host, file = full.readings.sources
    assert host == HostSource(metrics=("load", "disk"))
    assert file == FileSource(series="t", path=Path("/sys/t"), scale=0.001, regex="t=(.*)", interval=5.0)
    assert full.control_socket == Path("/run/e.sock")


def test_sections_whose_lines_are_all_commented_out_keep_their_defaults() -> None:
    assert config("mqtt:\n  # enabled: true\nreadings:\ndiscovery:\n  seeds:\n") == config("")


def test_unset_optional_values_may_be_written_as_null() -> None:
    assert config("control: {socket: null}").control.socket is None


@pytest.mark.parametrize("text", ["on", "off", "yes", "no", "0123", "12:30", "1e3", "2026-01-01", "0x1f", "true"])
def test_text_stays_as_written_whatever_yaml_makes_of_it(text: str) -> None:
    assert config(f"name: {text}").name == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("storee: {}", ":2:1: unknown key 'storee'; did you mean 'store'?"),
        ("store:\n  max_sise: 1GB", ":3:3: unknown key 'max_sise' in store; did you mean 'max_size'?"),
        ("max_size: 1GB", ":2:1: unknown key 'max_size'; did you mean 'store.max_size'?"),
        ("xyzzy: 1", "known: version, name, site"),
        ("name: a\nname: b", ":3:1: 'name' is there twice"),
        ("listen: 5684", ":2:9: listen is a section"),
        ("listen: [5684]", ":2:9: listen is a section"),
        ("listen:\n  port: 70000", ":3:9: listen.port: 70000 is out of range; allowed: 0 to 65535"),
        ("listen: {port: 0123}", "listen.port: '0123' is not a whole number"),
        ("listen: {port: 12:30}", "listen.port: '12:30' is not a whole number"),
        ("listen: {port: [1]}", "listen.port is a single value (integer)"),
        ("site: no pets", "site: 'no pets' is not allowed here"),
        ("name:", ":2:6: name has no value"),
        ("name: ~", "name has no value"),
        ("discovery: {seeds: pi}", "discovery.seeds is a list"),
        ("discovery: {seeds: [pi, pi]}", ":2:25: 'pi:5684' is there twice"),
        ("discovery: {seeds: [{a: b}]}", "discovery.seeds[0] is a single value"),
        ("limits: {upload: 5MB}", "did you mean 'MB/s'?"),
        ("? [a]\n: b", "a key must be a plain word"),
        ("<<: {name: a}", "unknown key '<<'"),
        ("name: &a x\nsite: *a", ":3:7: aliases (*a) are not supported"),
        ("name: !!python/object:os.system x", "unknown tag tag:yaml.org,2002:python/object"),
        ("name: !include x", "unknown tag !include"),
        ("name: !env_var NOPE", "the environment variable NOPE is not set"),
        ("name: !env_var", "!env_var needs the name"),
        ("name: !secret x", "/etc/edgecache/secrets.yaml: there is no such file"),
        ("name: 'a", "not valid YAML"),
        ("\tname: a", "indent with spaces"),
        ("--- {}\n--- {}", "not valid YAML"),
        ("data_dir: ~nobody-of-that-name/x", "there is no such home directory"),
        ("readings: {sources: [{series: t}]}", "readings.sources[0] has no type"),
        ("readings: {sources: [host]}", "readings.sources[0] has no type"),
        ("readings: {sources: [{type: hots}]}", "'hots' is not a type of readings.sources[0]; did you mean 'host'?"),
        ("readings: {sources: [{type: [a]}]}", "is not a type of readings.sources[0]"),
        ("readings: {sources: [{type: file, series: t}]}", "readings.sources[0] has no path"),
        ("readings: {sources: [{type: host, path: /x}]}", "unknown key 'path' in readings.sources[0]"),
        ("readings: {sources: [{type: file, series: a/b, path: /x}]}", "series: 'a/b' is not allowed here"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, message: str) -> None:
    assert message in problems(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data_dir: /", "cannot be the root directory"),
        (f"data_dir: /{'x' * 100}", f"the path of the control socket has {len('//control.sock') + 100} bytes"),
        ("mqtt:\n  enabled: true", ":3:12: mqtt is enabled but has no host"),
        ("mqtt: {password: x}", "a password needs a username"),
        ("mqtt: {tls: {cert: /x}}", "cert and key go together"),
        ("mqtt: {topic_prefix: homeassistant}", "are the same"),
        ("mqtt: {keepalive: 1500ms}", "whole seconds"),
        ("readings: {sources: [{type: host}, {type: host}]}", "two sources of type host"),
        ("readings: {sources: [{type: host, metrics: []}]}", "no metrics"),
        (
            "readings: {sources: [{type: file, series: t, path: /a}, {type: file, series: t, path: /b}]}",
            ":2:78: series 't' is also that of readings.sources[0]",
        ),
        ("readings: {sources: [{type: file, series: t, path: /a, regex: '('}]}", "not a regular expression"),
        ("readings: {sources: [{type: file, series: t, path: /a, regex: 'x'}]}", "has no group"),
    ],
)
def test_settings_must_fit_together(text: str, message: str) -> None:
    assert message in problems(text)


def test_all_problems_are_reported_in_the_order_of_the_file() -> None:
    lines = problems("log: {level: loud}\nlisten: {port: x}\nnope: 1").splitlines()
    assert [line.split(":")[1] for line in lines] == ["2", "3", "4"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the version is missing"),
        (b"name: x\n", "the version is missing"),
        (b"version: 2\nfuture_key: 1\n", ":1:10: version 2 was written for a newer edgecache"),
        (b"version: one\n", "version: 'one' is not a whole number"),
        (b"version: 0\n", "0 is out of range"),
        (b"- a\n", "must be `key: value` lines"),
        (b"\xff\xfe\xfd", "not valid YAML"),
        (b"version: 1\nname: \x01\n", "not valid YAML"),
        (b"version: 1\nname: \"\\ud800\"\n", "control character"),
        (b"[" * 5000, f"nested deeper than {DEPTH_MAX} levels"),
        (b"version: 1\nx: [" + b"a," * 60_000 + b"]", "too many values"),
        (b"version: 1\ndiscovery: {seeds: [" + b"a," * (LIST_MAX + 1) + b"]}", f"{LIST_MAX} are allowed"),
    ],
)
def test_whole_files_that_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(data, FILE, {})
    assert message in raised.value.message


def test_an_alias_bomb_is_refused_before_it_grows() -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(20)
    )
    assert "aliases (*a) are not supported" in problems(bomb)


@given(st.binary(max_size=200) | st.text(alphabet="abversion: 1\n-[]{}!&*'\"|>%#,?~\t", max_size=80).map(str.encode))
def test_any_bytes_are_a_config_or_a_config_error(data: bytes) -> None:
    with contextlib.suppress(ConfigError):
        assert isinstance(parse(b"version: 1\n" + data, FILE, {}).config, Config)


def test_the_environment_fills_in() -> None:
    text = "listen: {port: !env_var PORT 7000}\nname: !env_var NAME the default name"
    assert config(text, PORT="7001").listen.port == 7001
    assert config(text).listen.port == 7000
    assert config(text).name == "the default name"
    assert config(text, NAME="x").name == "x"


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        ("mqtt: {tls: {enabled: true, insecure: true}}", "the broker's certificate is not checked"),
        ("mqtt: {tls: {ca: /x}}", "TLS is set up but not enabled"),
        ("discovery: {mdns: false}", "waits to be dialled"),
    ],
)
def test_what_is_hardly_meant_is_warned_of(text: str, warning: str) -> None:
    assert any(warning in line for line in read(text).warnings)
    assert not read("").warnings


def test_a_password_in_a_file_that_others_can_read_is_warned_of() -> None:
    data = b"version: 1\nmqtt: {username: u, password: p}\n"
    assert parse(data, FILE, {}, readable_by_others=True).warnings
    assert not parse(data, FILE, {}, readable_by_others=False).warnings


def test_the_environment_names_the_file() -> None:
    assert default_path({"EDGECACHE_CONFIG": "/x/y.yaml"}) == Path("/x/y.yaml")
