"""When to give way: rates of links that somebody else's traffic shares."""

from edgecache.core.yielding.config import YieldingConfig
from edgecache.core.yielding.machine import Yielding

__all__ = ["Yielding", "YieldingConfig"]
