"""Who publishes to the broker: one node of the site, elected."""

from edgecache.core.bridge.config import BridgeConfig
from edgecache.core.bridge.machine import Bridge

__all__ = ["Bridge", "BridgeConfig"]
