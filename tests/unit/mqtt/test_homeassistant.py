"""Discovery messages: complete, from ids alone, right units."""

from __future__ import annotations

import json
from typing import Any

import pytest

from edgecache.adapters.mqtt.homeassistant import (
    STATE_CHARS_MAX,
    bridge_config,
    entity_config,
    entity_of,
    state_payload,
)
from edgecache.adapters.mqtt.topics import Topics
from edgecache.model.ids import NodeId
from edgecache.model.reading import Value

NODE = NodeId("naaaqeayeaudaocajbifqydiob4")
TOPICS = Topics("edgecache", "homeassistant", "mabcdefghijklmnopqrstuvwxyz", "home")


def config(
    series: str, value: Value, unit: str, interval: float | None = None, name: str = "pi-attic"
) -> dict[str, Any]:
    found = json.loads(entity_config(entity_of(NODE, name, series, value, unit, interval), TOPICS))
    assert isinstance(found, dict)
    return found


def test_a_temperature() -> None:
    assert config("attic", 21.5, "Cel", 10) == {
        "name": "attic",
        "unique_id": f"edgecache_{NODE}_attic",
        "default_entity_id": "sensor.edgecache_naaaqeaye_attic",
        "state_topic": f"edgecache/{NODE}/attic",
        "qos": 1,
        "availability": [
            {
                "topic": "edgecache/bridge/mabcdefghijkl/home/availability",
                "payload_available": "online",
                "payload_not_available": "offline",
            },
            {
                "topic": f"edgecache/{NODE}/_availability",
                "payload_available": "online",
                "payload_not_available": "offline",
            },
        ],
        "availability_mode": "all",
        "device": {
            "identifiers": [f"edgecache_{NODE}"],
            "name": "pi-attic",
            "manufacturer": "edgecache",
            "model": "node",
            "serial_number": NODE,
            "via_device": "edgecache_site_mabcdefghijkl_home",
        },
        "origin": {"name": "edgecache", "sw_version": config("x", 1, "")["origin"]["sw_version"]},
        "state_class": "measurement",
        "unit_of_measurement": "°C",
        "device_class": "temperature",
        "expire_after": 30,
    }


def test_a_rename_changes_what_people_see_and_nothing_else() -> None:
    before, after = config("attic", 1.0, "Cel"), config("attic", 1.0, "Cel", name="cellar")
    assert before.pop("device") | {"name": "cellar"} == after.pop("device")
    assert before == after


def test_kinds_of_values() -> None:
    door = config("door", True, "")
    assert door["default_entity_id"].startswith("binary_sensor.")
    assert (door["payload_on"], door["payload_off"]) == ("ON", "OFF")
    assert "state_class" not in door
    text = config("mode", "eco", "", 10)
    assert not {"state_class", "unit_of_measurement", "expire_after"} & set(text)
    ratio = config("host/memory_used", 0.5, "/")
    assert (ratio["unit_of_measurement"], ratio["name"]) == ("%", "host memory used")
    counter = config("rain_total", 5, "mm", 10)
    assert counter["state_class"] == "total_increasing"
    assert "expire_after" not in counter


@pytest.mark.parametrize(
    ("value", "unit", "payload"),
    [
        (21.5, "Cel", "21.5"), (7, "", "7"), (0.437, "/", "43.7"), (True, "", "ON"), (False, "", "OFF"),
        ("eco", "", "eco"), (None, "Cel", "None"), ("x" * 300, "", "x" * STATE_CHARS_MAX),
    ],
)  # fmt: skip
def test_states_are_in_the_unit_that_is_shown(value: Value | None, unit: str, payload: str) -> None:
    assert state_payload(value, unit) == payload


def test_the_gateway_shows_whether_the_site_is_bridged() -> None:
    found = json.loads(bridge_config(TOPICS))
    assert found["unique_id"] == "edgecache_bridge_mabcdefghijkl_home"
    assert found["device"]["identifiers"] == ["edgecache_site_mabcdefghijkl_home"]
    assert found["state_topic"] == TOPICS.bridge_availability
    assert found["device_class"] == "connectivity"
    assert "via_device" not in found["device"]
