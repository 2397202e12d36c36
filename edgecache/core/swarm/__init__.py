"""What to fetch from whom: have-sets, chunk and source selection, the life of a fetch."""

from edgecache.core.swarm.config import SwarmConfig
from edgecache.core.swarm.explain import Explanation
from edgecache.core.swarm.machine import Swarm
from edgecache.core.swarm.reports import FetchView, SourceView
from edgecache.core.swarm.standing import Standing

__all__ = ["Explanation", "FetchView", "SourceView", "Standing", "Swarm", "SwarmConfig"]
