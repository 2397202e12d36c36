"""The site's replicated state: one small versioned map per node, written only by its owner."""

from edgecache.core.state.config import StateConfig
from edgecache.core.state.machine import EntryView, State

__all__ = ["EntryView", "State", "StateConfig"]
