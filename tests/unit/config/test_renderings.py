"""What is made from the schema: effective settings, JSON Schema, reference."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from edgecache.config.endpoints import Endpoint
from edgecache.config.jsonschema import json_schema
from edgecache.config.load import parse
from edgecache.config.reference import reference
from edgecache.config.render import HIDDEN, render, tree
from edgecache.config.schema import (
    HOST_METRICS,
    Config,
    Discovery,
    FileSource,
    HostSource,
    Listen,
    Mqtt,
    Readings,
    Store,
    TransferLimits,
)
from edgecache.config.shape import all_paths
from edgecache.model.peer import Address

FILE = Path("/etc/edgecache/edgecache.yaml")

words = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)
spans = st.integers(1, 86400).map(float)
sources = st.lists(
    st.builds(
        FileSource,
        series=st.from_regex(r"[a-z][a-z0-9_.:-]{0,9}", fullmatch=True),
        path=st.just(Path("/sys/x")),
        scale=st.floats(allow_nan=False, allow_infinity=False),
        interval=st.none() | spans,
    ),
    max_size=3,
    unique_by=lambda source: source.series,
)
configs = st.builds(
    Config,
    name=words,
    site=st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,5}[a-z0-9])?", fullmatch=True),
    data_dir=st.just(Path("/x")),
    listen=st.builds(Listen, port=st.integers(0, 65535), advertise=st.sampled_from([(), (Address("fd00::1", 7),)])),
    discovery=st.builds(Discovery, seeds=st.sampled_from([(), (Endpoint("h", 1), Endpoint("fd00::1", 2))])),
    limits=st.builds(TransferLimits, upload=st.just(0) | st.integers(1000, 10**12)),
    store=st.builds(Store, max_size=st.integers(2**20, 2**50), reserve_percent=st.decimals(0, 95, places=2).map(float)),
    mqtt=st.builds(Mqtt, username=words, password=words, keepalive=st.integers(1, 3600).map(float)),
    readings=st.builds(
        lambda interval, files, host: Readings(interval, (*files, *host)),
        spans,
        sources,
        st.sampled_from([(), (HostSource(),), (HostSource(interval=1.0, metrics=HOST_METRICS[:2]),)]),
    ),
)


@given(configs)
def test_what_is_rendered_loads_as_the_same(config: Config) -> None:
    assert parse(render(config, redact=False).encode(), FILE, {}).config == config


def test_secrets_are_hidden_and_nothing_else_is() -> None:
    config = Config(name="n", mqtt=Mqtt(host="broker", username="user", password="hunter2"))
    assert "hunter2" not in render(config)
    assert "hunter2" in render(config, redact=False)
    shown = tree(config, hidden={"mqtt.username"})["mqtt"]
    assert isinstance(shown, dict)
    assert (shown["host"], shown["username"], shown["password"]) == ("broker", HIDDEN, HIDDEN)
    unset = tree(Config())["mqtt"]
    assert isinstance(unset, dict)
    assert unset["password"] == ""


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        if "properties" in schema:
            yield schema
        for value in schema.values():
            yield from objects(value)
    elif isinstance(schema, list):
        for value in schema:
            yield from objects(value)


def accepts(schema: dict[str, Any], value: object) -> bool:
    """As much of JSON Schema as ours uses."""
    if "anyOf" in schema:
        return any(accepts(one, value) for one in schema["anyOf"])
    if "oneOf" in schema:
        return sum(accepts(one, value) for one in schema["oneOf"]) == 1
    if "const" in schema:
        return bool(value == schema["const"])
    if "enum" in schema:
        return value in schema["enum"]
    kinds: dict[str, tuple[type, ...]] = {
        "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
        "object": (dict,),
    }  # fmt: skip
    names = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if value is None:
        return "null" in names
    if not any(isinstance(value, kinds[name]) for name in names if name != "null"):
        return False
    if isinstance(value, dict):
        known = schema["properties"]
        fits = all(name in known and accepts(known[name], item) for name, item in value.items())
        return fits and all(name in value for name in schema.get("required", []))
    if isinstance(value, list):
        return all(accepts(schema["items"], item) for item in value)
    if isinstance(value, str):
        return re.search(schema.get("pattern", ""), value) is not None
    return not isinstance(value, int) or schema.get("minimum", value) <= value <= schema.get("maximum", value)


def test_the_json_schema_refuses_unknown_keys_everywhere_and_describes_everything() -> None:
    schema = json_schema()
    found = list(objects(schema))
    assert len(found) > 12
    for one in found:
        assert one["additionalProperties"] is False
        assert all("description" in entry or "const" in entry for entry in one["properties"].values())
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert json.loads(json.dumps(schema)) == schema


@given(configs)
def test_the_json_schema_accepts_what_loads(config: Config) -> None:
    assert accepts(json_schema(), yaml.safe_load(render(config, redact=False)))


def test_the_json_schema_refuses_what_does_not_load() -> None:
    for wrong in ("nope: 1", "listen: {port: 70000}", "store: {max_size: 5}", "readings: {sources: [{type: x}]}"):
        assert not accepts(json_schema(), yaml.safe_load(f"version: 1\n{wrong}"))
    assert not accepts(json_schema(), {})


def test_the_reference_tells_of_every_setting() -> None:
    text = reference()
    for path in all_paths(Config):
        section, _, name = path.rpartition(".")
        place = text.split(f"## `{section}`" if section else "## Top level", 1)[1]
        assert f"`{name}`" in place.split("\n## ")[0] or f"## `{path}`" in text, path
    assert "type: file" in text
