"""Who has what: homes by rendezvous hashing, soft provider records, and a bounded flood as the safety net."""

from edgecache.core.directory.config import DirectoryConfig
from edgecache.core.directory.cost import SearchCost
from edgecache.core.directory.machine import Directory

__all__ = ["Directory", "DirectoryConfig", "SearchCost"]
