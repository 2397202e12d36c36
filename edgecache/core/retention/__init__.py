"""What stays in the cache: S3-FIFO by bytes, room for fetches and puts, pins and leases."""

from edgecache.core.retention.config import RetentionConfig
from edgecache.core.retention.machine import Retention, RetentionView

__all__ = ["Retention", "RetentionConfig", "RetentionView"]
