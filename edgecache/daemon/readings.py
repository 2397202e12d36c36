"""Everybody's latest readings as this node has them: what `readings`, leaves and the MQTT bridge are served from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edgecache.core import vocabulary as v
from edgecache.core.node import Node
from edgecache.model.errors import MalformedMessage, UsageError
from edgecache.model.ids import NodeId
from edgecache.model.instant import WallTime
from edgecache.model.reading import Observation, OwnerClock, Reading, parse_series
from edgecache.ports import Clock
from edgecache.wire.reading import PREFIX, Posted, decode_value, encode_value, entry_key, series_of


@dataclass(frozen=True, slots=True)
class BoardEntry:
    """One series of one node, seen on our own clock."""

    node: NodeId
    name: str
    observation: Observation
    age: float
    posted: Posted


class ReadingsBoard:
    """Decodes the `r/` entries of the replicated maps and keeps one clock per owner, so that ages are right."""

    def __init__(self, node: Node, clock: Clock) -> None:
        self._node, self._clock = node, clock
        self._clocks: dict[NodeId, OwnerClock] = {}

    def heard(self, report: v.Report) -> None:
        """Listen to the driver's reports: a changed entry tells how far its owner's uptime has come."""
        if not isinstance(report, v.MapChanged):
            return
        if report.gone:
            self._clocks.pop(report.owner, None)
            return
        for key in report.keys:
            value = self._node.state.value(report.owner, key) if key.startswith(PREFIX) else None
            posted = _decode(key, value) if value is not None else None
            if posted is not None:
                self._advance(report.owner, posted)

    def _advance(self, owner: NodeId, posted: Posted) -> OwnerClock:
        now, known = self._clock.now(), self._clocks.get(owner)
        clock = known.heard(posted.stamp, now) if known else OwnerClock.first(posted.stamp, now)
        self._clocks[owner] = clock
        return clock

    def own_entries(self, observations: Iterable[Observation]) -> v.OwnEntriesChanged:
        """Our own observations as entries of our own map."""
        epoch = self._node.state.epoch
        return v.OwnEntriesChanged({entry_key(seen.series): encode_value(seen, epoch) for seen in observations})

    def entries(self) -> list[BoardEntry]:
        """Every series of every node of the site, by node and series."""
        found, wall = [], self._wall()
        for entry in self._node.state.entries(PREFIX):
            if (posted := _decode(entry.key, entry.value)) is not None:
                found.append(self._entry(entry.owner, posted, wall))
        return sorted(found, key=lambda entry: (entry.name, entry.node, entry.posted.series))

    def entry(self, node: NodeId, series: str) -> BoardEntry | None:
        """One series of one node."""
        value = self._node.state.value(node, entry_key(series))
        posted = _decode(entry_key(series), value) if value is not None else None
        return self._entry(node, posted, self._wall()) if posted else None

    def _wall(self) -> WallTime | None:
        return self._clock.wall() if self._clock.wall_trusted() else None

    def _entry(self, node: NodeId, posted: Posted, wall: WallTime | None) -> BoardEntry:
        now = self._clock.now()
        if node == self._node.me.node:
            observation = posted.observed(posted.stamp.uptime_ms / 1000)
        else:
            observation = posted.seen_with(self._clocks.get(node) or self._advance(node, posted))
        name = self._node.membership.name_of(node)
        return BoardEntry(node, name, observation, observation.age(now, wall), posted)

    def rows(self) -> list[dict[str, Any]]:
        """The entries as JSON objects; `mark` changes with each new observation."""
        return [_row(entry) for entry in self.entries()]

    def row(self, node: NodeId, series: str) -> dict[str, Any] | None:
        """One of them."""
        entry = self.entry(node, series)
        return _row(entry) if entry is not None else None


def _row(entry: BoardEntry) -> dict[str, Any]:
    seen, stamp = entry.observation, entry.posted.stamp
    row: dict[str, Any] = {"node": entry.node, "name": entry.name, "series": seen.series, "age": round(entry.age, 1)}
    if isinstance(seen, Reading):
        row |= {"value": seen.value, "unit": seen.unit}
    else:
        row |= {"failure": seen.reason}
    return row | {"mark": f"{stamp.boot}.{stamp.uptime_ms}"}


def _decode(key: str, value: bytes) -> Posted | None:
    """None for what a newer or a broken node posted: one bad value must not hide the others."""
    try:
        return decode_value(parse_series(series_of(key) or ""), value)
    except (MalformedMessage, UsageError):
        return None


