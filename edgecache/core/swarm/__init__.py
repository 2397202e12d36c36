"""What to fetch from whom: have-sets, chunk and source selection, the life of a fetch."""

from edgecache.core.swarm.config import SwarmConfig
from edgecache.core.swarm.machine import Swarm
from edgecache.core.swarm.reports import FetchView, SourceView

__all__ = ["FetchView", "SourceView", "Swarm", "SwarmConfig"]
