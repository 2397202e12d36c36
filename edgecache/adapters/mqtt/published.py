"""The journal of entities whose discovery messages we have left at the broker, so that they can be taken away again."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from pathlib import Path
from typing import NamedTuple

from edgecache.adapters.mqtt.homeassistant import BINARY_SENSOR, SENSOR
from edgecache.model.errors import UsageError
from edgecache.model.ids import NodeId, parse_node_id
from edgecache.model.reading import parse_series

_log = logging.getLogger(__name__)

VERSION = 1
ENTRIES_MAX = 16_384
FILE_BYTES_MAX = 4 * 1024 * 1024


class Published(NamedTuple):
    """One entity at the broker."""

    node: NodeId
    series: str
    component: str


class Journal:
    """A set of Published in one small file, replaced as a whole. Blocking."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> set[Published]:
        """What is there; what cannot be read is as good as nothing, and is said."""
        try:
            with self._path.open("rb") as file:
                data = file.read(FILE_BYTES_MAX + 1)
        except FileNotFoundError:
            return set()
        except OSError as error:
            _log.warning("MQTT: %s cannot be read: %s", self._path, error.strerror)
            return set()
        try:
            return _parse(data)
        except (ValueError, KeyError, TypeError, RecursionError, UsageError) as error:
            _log.warning("MQTT: %s is damaged (%s); entities of the past may stay at the broker", self._path, error)
            return set()

    def save(self, entries: set[Published]) -> None:
        """Replace the file; after a power cut there is the old one or the new one. Raises OSError."""
        content = json.dumps({"version": VERSION, "entities": sorted(entries)[:ENTRIES_MAX]}, indent=0)
        temporary = self._path.with_name(self._path.name + ".new")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self._path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)


def _parse(data: bytes) -> set[Published]:
    if len(data) > FILE_BYTES_MAX:
        raise ValueError("it is too large")
    content = json.loads(data)
    if content["version"] != VERSION:
        raise ValueError(f"its version is {content['version']!r}")
    found = set()
    for node, series, component in content["entities"][:ENTRIES_MAX]:
        if component not in (SENSOR, BINARY_SENSOR):
            raise ValueError(f"unknown component {component!r}")
        found.add(Published(parse_node_id(node), parse_series(series), component))
    return found
