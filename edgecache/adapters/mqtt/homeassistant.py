"""Home Assistant's MQTT discovery in component form: one message per entity, complete in itself. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from edgecache import __version__
from edgecache.adapters.mqtt.topics import OFFLINE, ONLINE, Topics, device_id, entity_name, unique_id
from edgecache.model.ids import NodeId
from edgecache.model.reading import Value
from edgecache.model.units import state_class_of, unit_of

SENSOR, BINARY_SENSOR = "sensor", "binary_sensor"

STATE_CHARS_MAX = 255
"""Longest state that Home Assistant takes."""

UNKNOWN = "None"
"""What both components take for: no value now."""

ON, OFF = "ON", "OFF"


@dataclass(frozen=True, slots=True)
class Entity:
    """One series as Home Assistant sees it; what changes here changes its discovery message."""

    node: NodeId
    node_name: str
    series: str
    unit: str
    kind: str
    """`number`, `flag` or `text`: what its values are."""
    counter: bool
    """Only counts up."""
    expire_after: int | None = None
    """Seconds after which a value that is not renewed is unknown."""

    @property
    def component(self) -> str:
        """The discovery component."""
        return BINARY_SENSOR if self.kind == "flag" else SENSOR


def entity_of(
    node: NodeId, node_name: str, series: str, value: Value, unit: str, interval: float | None = None
) -> Entity:
    """The entity that shows such values; `interval` (seconds between readings) lets stale ones expire."""
    kind = "flag" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
    counter = state_class_of(series, value, unit_of(unit)) == "total_increasing"
    # A counter may rightly be silent for long, and text has no next reading to be expected.
    expire = round(3 * interval) if interval and kind != "text" and not counter else None
    return Entity(node, node_name, series, unit, kind, counter, max(1, expire) if expire is not None else None)


def state_payload(value: Value | None, unit: str) -> str:
    """A value as it is published: in the unit that is shown; None is `None`, which stands for unknown."""
    if value is None:
        return UNKNOWN
    if isinstance(value, bool):
        return ON if value else OFF
    if isinstance(value, str):
        return value[:STATE_CHARS_MAX]
    return str(unit_of(unit).show(value))


def entity_config(entity: Entity, topics: Topics) -> str:
    """The discovery message of a series."""
    unique = unique_id(entity.node, entity.series)
    config: dict[str, object] = {
        "name": entity.series.replace("/", " ").replace("_", " "),
        "unique_id": unique,
        "default_entity_id": f"{entity.component}.{entity_name(entity.node, entity.series)}",
        "state_topic": topics.state(entity.node, entity.series),
        "qos": 1,
        "availability": [_available(topics.bridge_availability), _available(topics.availability(entity.node))],
        "availability_mode": "all",
        "device": {
            "identifiers": [device_id(entity.node)],
            "name": entity.node_name or entity.node,
            "manufacturer": "edgecache",
            "model": "node",
            "serial_number": entity.node,
            "via_device": topics.gateway_id,
        },
        "origin": _origin(),
    }
    if entity.kind == "number":
        config |= _measured(entity)
    if entity.kind == "flag":
        config |= {"payload_on": ON, "payload_off": OFF}
    if entity.expire_after is not None:
        config["expire_after"] = entity.expire_after
    return _json(config)


def _measured(entity: Entity) -> dict[str, object]:
    unit = unit_of(entity.unit)
    found: dict[str, object] = {"state_class": "total_increasing" if entity.counter else unit.state_class}
    if unit.shown:
        found["unit_of_measurement"] = unit.shown
    if unit.device_class:
        found["device_class"] = unit.device_class
    return found


def bridge_config(topics: Topics) -> str:
    """The discovery message of the site's gateway device: whether somebody bridges it."""
    return _json(
        {
            "name": "Bridge",
            "unique_id": topics.bridge_unique_id,
            "default_entity_id": f"{BINARY_SENSOR}.{topics.bridge_entity_name}",
            "state_topic": topics.bridge_availability,
            "qos": 1,
            "payload_on": ONLINE,
            "payload_off": OFFLINE,
            "device_class": "connectivity",
            "entity_category": "diagnostic",
            "device": {
                "identifiers": [topics.gateway_id],
                "name": f"edgecache {topics.site}",
                "manufacturer": "edgecache",
                "model": "site",
            },
            "origin": _origin(),
        }
    )


def _available(topic: str) -> dict[str, str]:
    return {"topic": topic, "payload_available": ONLINE, "payload_not_available": OFFLINE}


def _origin() -> dict[str, str]:
    return {"name": "edgecache", "sw_version": __version__}


def _json(config: dict[str, object]) -> str:
    return json.dumps(config, ensure_ascii=False, separators=(",", ":"))
