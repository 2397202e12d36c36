"""Which blobs go to make room: decided on a copy of the queues, carried out only when the whole of it helps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edgecache.core.retention.s3fifo import S3Fifo
from edgecache.model.ids import BlobId


@dataclass(frozen=True, slots=True)
class Plan:
    """Victims in the order in which they go; without the last of them less than was asked for would be freed."""

    victims: tuple[BlobId, ...]
    freed: int
    enough: bool
    after: S3Fifo = field(repr=False, compare=False)
    """The queues once the victims are out."""


def plan_eviction(queues: S3Fifo, need: int, may_go: Callable[[BlobId], bool], *, as_far_as: bool = False) -> Plan:
    """Free at least `need` bytes; when that is impossible nothing goes, or with `as_far_as` everything that may."""
    after = queues.copy()
    victims: list[BlobId] = []
    freed = 0
    while freed < need and (blob := after.evict(may_go)) is not None:
        freed += queues.size(blob)
        victims.append(blob)
    if freed < need and not as_far_as:
        return Plan((), 0, enough=False, after=queues)
    return Plan(tuple(victims), freed, enough=freed >= need, after=after)
