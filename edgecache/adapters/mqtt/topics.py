"""Names at the broker: client ids, topics, Home Assistant's unique ids. Final: they can never be changed.

All derive from ids and series, never from what a person may rename. A node's topics begin with its id, so that a broker
can be told who may write where; the levels of ours that are no series begin with `_` or stand under `bridge`, which no
series and no node id can.
"""

from __future__ import annotations

import base64
import hashlib
import re
import string
from dataclasses import dataclass

from edgecache.model.ids import NodeId

ONLINE = "online"
OFFLINE = "offline"

_MESH_CHARS = 13
"""`m` and 60 bits of the mesh id: enough to keep the meshes of one broker apart."""

_NODE_CHARS = 9
"""`n` and 40 bits of the node id, where a person reads it and a clash only costs a `_2`."""

_SAFE = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
_PLAIN = frozenset(string.ascii_letters + string.digits + "_")


def _level(text: str) -> str:
    """`text` as one level of a topic: itself, or a digest of it when it is not made for that."""
    if _SAFE.match(text):
        return text
    return "x" + base64.b32encode(hashlib.sha256(text.encode()).digest()).decode().lower()[:16]


def slug(series: str) -> str:
    """A series in the characters of discovery topics (`a-z A-Z 0-9 _ -`); two series never share one."""
    return "".join(c if c in _PLAIN else f"-{ord(c):02x}" for c in series)


def device_id(node: NodeId) -> str:
    """Home Assistant's identifier of a node's device."""
    return f"edgecache_{node}"


def unique_id(node: NodeId, series: str) -> str:
    """Home Assistant's unique id of a series, and the object id of its discovery topic."""
    return f"{device_id(node)}_{slug(series)}"


def entity_name(node: NodeId, series: str) -> str:
    """What follows `sensor.` in the entity id that we ask for: lower case, single underscores."""
    return _words(f"edgecache_{node[:_NODE_CHARS]}_{series}")


def _words(text: str) -> str:
    return re.sub("[^a-z0-9]+", "_", text.lower()).strip("_")


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of one site of one mesh at a broker."""

    prefix: str
    discovery: str
    """Home Assistant's discovery prefix."""
    mesh: str
    site: str

    @property
    def scope(self) -> tuple[str, str]:
        """Short mesh id and site."""
        return _level(self.mesh[:_MESH_CHARS]), _level(self.site)

    @property
    def bridge_client(self) -> str:
        """The one client id per site: the broker takes the session from an old bridge when a new one comes."""
        return "edgecache-" + "-".join(self.scope)

    @staticmethod
    def watch_client(node: NodeId) -> str:
        """The client id with which a node looks whether the broker is there, and who bridges."""
        return f"edgecache-{node}-watch"

    @property
    def term(self) -> str:
        """Retained: who bridges, with which term."""
        return f"{self.prefix}/bridge/{'/'.join(self.scope)}/term"

    @property
    def bridge_availability(self) -> str:
        """Retained `online`, or `offline` by the bridge's will."""
        return f"{self.prefix}/bridge/{'/'.join(self.scope)}/availability"

    def availability(self, node: NodeId) -> str:
        """Retained `online` or `offline` of one node, as the mesh sees it."""
        return f"{self.prefix}/{node}/_availability"

    def state(self, node: NodeId, series: str) -> str:
        """Retained latest value of a series."""
        return f"{self.prefix}/{node}/{series}"

    def config(self, component: str, unique: str) -> str:
        """Retained discovery message of one entity."""
        return f"{self.discovery}/{component}/{unique}/config"

    @property
    def bridge_unique_id(self) -> str:
        """Of the entity that shows whether the site is bridged."""
        return "edgecache_bridge_" + "_".join(self.scope)

    @property
    def bridge_entity_name(self) -> str:
        """What follows `binary_sensor.` in the entity id that we ask for."""
        return _words(self.bridge_unique_id)

    @property
    def gateway_id(self) -> str:
        """Identifier of the device that all nodes of the site are reached by."""
        return "edgecache_site_" + "_".join(self.scope)

    @property
    def birth(self) -> str:
        """Where Home Assistant says that it has started."""
        return f"{self.discovery}/status"
