"""The links of this node: overlay and working ones, and which of two to the same peer stays."""

from __future__ import annotations

from dataclasses import dataclass

from edgecache.core.vocabulary import LinkId
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant
from edgecache.model.peer import Address
from edgecache.wire.messages import Hello

RTT_WEIGHT = 0.25
"""Weight of a new sample in the smoothed round trip; RFC 6298 has 1/8 for every segment, pings are rarer."""


@dataclass(slots=True)
class Link:
    """One live connection."""

    link: LinkId
    peer: NodeId
    hello: Hello
    dialled: bool
    address: Address | None
    opened: Instant
    used: Instant
    overlay: bool
    rtt: float | None = None
    busy: int = 0
    closing: bool = False

    def dialler(self, me: NodeId) -> NodeId:
        """Which end opened the connection."""
        return me if self.dialled else self.peer

    def measured(self, rtt: float) -> float:
        """Take a round-trip sample; returns the smoothed value."""
        self.rtt = rtt if self.rtt is None else self.rtt + RTT_WEIGHT * (rtt - self.rtt)
        return self.rtt


class LinkTable:
    """Links by number and by peer."""

    def __init__(self) -> None:
        self._links: dict[LinkId, Link] = {}

    def __len__(self) -> int:
        return len(self._links)

    def add(self, link: Link) -> None:
        """A link opened."""
        self._links[link.link] = link

    def pop(self, link: LinkId) -> Link | None:
        """A link closed."""
        return self._links.pop(link, None)

    def get(self, link: LinkId) -> Link | None:
        """The link of that number, unless it is gone."""
        return self._links.get(link)

    def all(self) -> list[Link]:
        """Every link in order of opening."""
        return list(self._links.values())

    def to(self, peer: NodeId) -> Link | None:
        """The link to a peer that is not being closed, the newest first."""
        for link in reversed(self._links.values()):
            if link.peer == peer and not link.closing:
                return link
        return None

    def overlay(self) -> list[Link]:
        """The overlay links that are not being closed."""
        return [link for link in self._links.values() if link.overlay and not link.closing]

    def working(self) -> list[Link]:
        """The others that are not being closed."""
        return [link for link in self._links.values() if not link.overlay and not link.closing]


def loser(me: NodeId, older: Link, newer: Link) -> Link:
    """Of two links to one peer the one to close, by a rule both ends compute alike: the connection that the smaller
    node id dialled stays; of two dialled by the same end the newer, since an end only dials again when it lost one."""
    if older.dialled == newer.dialled:
        return older
    keep = min(me, newer.peer)
    return newer if newer.dialler(me) != keep else older
