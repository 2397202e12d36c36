"""What must hold between settings, beyond the bounds of each; and what is allowed but hardly meant."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from edgecache.config.schema import Config, FileSource, HostSource

Finding: TypeAlias = tuple[str, str, str]
"""Dotted name, what is wrong, what to do."""

SOCKET_PATH_MAX = 107
"""sun_path of unix(7), without its final zero."""


def broken_relations(config: Config) -> Iterator[Finding]:
    """Everything that must not be."""
    yield from _paths(config)
    yield from _mqtt(config)
    yield from _readings(config)


def doubtful_settings(config: Config) -> Iterator[Finding]:
    """What will work, but not as its author thinks."""
    mqtt = config.mqtt
    if mqtt.tls.enabled and mqtt.tls.insecure:
        yield "mqtt.tls.insecure", "the broker's certificate is not checked", "give its CA as mqtt.tls.ca"
    if not mqtt.tls.enabled and (mqtt.tls.ca or mqtt.tls.cert or mqtt.tls.insecure):
        yield "mqtt.tls", "TLS is set up but not enabled", "add `enabled: true`"
    if not config.discovery.mdns and not config.discovery.seeds:
        yield "discovery", "neither mDNS nor seeds: this node waits to be dialled", "set mdns: true or name a seed"


def _paths(config: Config) -> Iterator[Finding]:
    if config.data_dir == Path("/"):
        yield "data_dir", "data_dir cannot be the root directory", "give it a directory of its own"
    size = len(os.fsencode(config.control_socket))
    if size > SOCKET_PATH_MAX:
        place = "control.socket" if config.control.socket else "data_dir"
        yield (
            place,
            f"the path of the control socket has {size} bytes, {SOCKET_PATH_MAX} are possible",
            "set control.socket to a shorter path",
        )


def _mqtt(config: Config) -> Iterator[Finding]:
    mqtt = config.mqtt
    if mqtt.enabled and not mqtt.host:
        yield "mqtt.enabled", "mqtt is enabled but has no host", "name the broker as mqtt.host"
    if mqtt.password and not mqtt.username:
        yield "mqtt.password", "a password needs a username", "add mqtt.username"
    if (mqtt.tls.cert is None) != (mqtt.tls.key is None):
        yield "mqtt.tls", "cert and key go together", "set both or neither"
    if mqtt.topic_prefix == mqtt.discovery_prefix:
        yield "mqtt.topic_prefix", "topic_prefix and discovery_prefix are the same", "let them differ"
    if mqtt.keepalive % 1:
        yield "mqtt.keepalive", "mqtt.keepalive must be whole seconds", f"{int(mqtt.keepalive)}s, for example"


def _readings(config: Config) -> Iterator[Finding]:
    seen: dict[str, int] = {}
    hosts = 0
    for index, source in enumerate(config.readings.sources):
        place = f"readings.sources[{index}]"
        if isinstance(source, HostSource):
            hosts += 1
            if hosts > 1:
                yield place, "there are two sources of type host", "name all metrics in one of them"
            if not source.metrics:
                yield f"{place}.metrics", "no metrics are named", "remove the source, or the line"
            continue
        if source.series in seen:
            message = f"series {source.series!r} is also that of readings.sources[{seen[source.series]}]"
            yield f"{place}.series", message, "names of series are unique on a node"
        seen.setdefault(source.series, index)
        yield from _regex(source, place)


def _regex(source: FileSource, place: str) -> Iterator[Finding]:
    try:
        groups = re.compile(source.regex).groups
    except (re.error, OverflowError, RecursionError) as error:
        yield f"{place}.regex", f"not a regular expression: {error}", "quote it with '...' in YAML"
        return
    if source.regex and groups < 1:
        yield f"{place}.regex", "the regular expression has no group", "put the number in (...)"
