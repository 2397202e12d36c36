"""What each home should have of us: how many claims, and the exclusive or of their marks, kept as holdings change."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgecache.core.directory.records import Tally, mark
from edgecache.model.content import BlobInfo
from edgecache.model.ids import BlobId, NodeId
from edgecache.wire.messages import Claim, Summary


@dataclass(slots=True)
class Holding:
    """A blob of which we hold something."""

    info: BlobInfo
    held: int
    homes: list[tuple[float, NodeId]] = field(default_factory=list)
    """Score and node, best first; we may be among them. They change by `Shares.move`."""
    told: dict[NodeId, None] = field(default_factory=dict)
    mark: int = 0
    """Of our claim, as the homes' tallies have it; 0 while it is still to be made."""


class Shares:
    """A tally for each node that is a home of something of ours, ourselves included.

    A claim that grows chunk by chunk is hashed only when a summary is asked for; one of a whole blob at once.
    """

    def __init__(self, me: NodeId) -> None:
        self._me = me
        self._tallies: dict[NodeId, Tally] = {}
        self._growing: dict[BlobId, Holding] = {}

    def changed(self, holding: Holding) -> None:
        """It is new, or more or less of it is held."""
        if holding.held >= holding.info.chunks:
            self._growing.pop(holding.info.blob, None)
            self._mark(holding, self._made(holding))
            return
        if holding.mark:
            self._mark(holding, 0)
        self._growing[holding.info.blob] = holding

    def move(self, holding: Holding, homes: list[tuple[float, NodeId]]) -> None:
        """A holding has other homes; none when nothing is held any more."""
        for _, home in holding.homes:
            self._drop(home, holding.mark)
        holding.homes = homes
        for _, home in homes:
            self._tallies.setdefault(home, Tally()).add(holding.mark)
        if not homes:
            self._growing.pop(holding.info.blob, None)

    def counts(self) -> dict[NodeId, int]:
        """Other nodes that are homes of what we hold, and of how much of it."""
        return {home: tally.count for home, tally in self._tallies.items() if home != self._me}

    def summary(self, home: NodeId) -> Summary:
        """Of all of which this node is a home."""
        for holding in self._growing.values():
            self._mark(holding, self._made(holding))
        self._growing.clear()
        return self._tallies.get(home, Tally()).summary()

    def _made(self, holding: Holding) -> int:
        info = holding.info
        return mark(Claim(info.blob, self._me, min(holding.held, info.chunks), info.chunks))

    def _mark(self, holding: Holding, made: int) -> None:
        for _, home in holding.homes:
            self._tallies[home].marks ^= holding.mark ^ made
        holding.mark = made

    def _drop(self, home: NodeId, marked: int) -> None:
        tally = self._tallies[home]
        tally.drop(marked)
        if not tally.count:
            del self._tallies[home]
