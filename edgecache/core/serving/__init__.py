"""Whom to serve next: upload slots, fairness, limits."""

from edgecache.core.serving.config import ServingConfig
from edgecache.core.serving.machine import Serving

__all__ = ["Serving", "ServingConfig"]
