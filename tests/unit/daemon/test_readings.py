"""The board of readings: everybody's latest values, as old as they are, whatever one node posts."""

from __future__ import annotations

from random import Random

from edgecache.core import vocabulary as v
from edgecache.core.node import Node, NodeConfig
from edgecache.daemon.readings import ReadingsBoard
from edgecache.model.ids import Digest, NodeId
from edgecache.model.instant import WallTime
from edgecache.model.reading import Failure, Observation, Reading
from edgecache.wire.codec import map_hash
from edgecache.wire.messages import Entry, Hello, StatePush
from edgecache.wire.reading import encode_value, entry_key
from tests.unit.daemon.stubs import StubClock, node

OTHER = node(1)


class Board:
    """A board over a real core, linked to another node."""

    def __init__(self) -> None:
        self.clock = StubClock()
        self.node = Node(v.Identity(node(100), "mesh", "home", "me", 1, ()), NodeConfig(), Random(1))
        self.board = ReadingsBoard(self.node, self.clock)
        self.version = 0
        self.hear(v.Started())
        self.hear(v.LinkOpened(v.LinkId(1), OTHER, Hello(OTHER, "mesh", "home", "attic", 1, 1 << 16, ()), False, None))

    def hear(self, event: v.Event) -> None:
        for effect in self.node.handle(event, self.clock.now()):
            if isinstance(effect, v.MapChanged):
                self.board.heard(effect)
            elif isinstance(effect, v.SignHead):
                self.hear(v.HeadSigned(effect.epoch, effect.version, effect.map_hash, b"s" * 64, b"c"))

    def post(self, *seen: Observation, **raw: bytes) -> None:
        """The other node posts a whole new map."""
        self.version += 1
        values = {entry_key(one.series): encode_value(one, 1) for one in seen}
        values |= {entry_key(series): value for series, value in raw.items()}
        entries = tuple(Entry(key, self.version, value) for key, value in values.items())
        push = StatePush(OTHER, 1, 0, self.version, entries, Digest(map_hash(entries)), b"s" * 64, b"c")
        self.hear(v.MessageReceived(OTHER, push))

    def measure(self, *seen: Observation) -> None:
        """We measure."""
        self.hear(self.board.own_entries(seen))
        self.hear(v.TimerFired(v.TimerKey(v.MachineName.STATE, "flush")))

    def ages(self) -> dict[tuple[NodeId, str], float]:
        return {(row["node"], row["series"]): row["age"] for row in self.board.rows()}


def test_own_and_others_readings_by_name_and_series() -> None:
    board = Board()
    board.post(Reading("temp", 21.5, "Cel", 5.0), Reading("door", True, "", 5.0))
    board.measure(Reading("load", 3, "", 99.0))
    rows = board.board.rows()
    assert [(row["name"], row["series"], row["value"]) for row in rows] == [
        ("attic", "door", True), ("attic", "temp", 21.5), ("me", "load", 3)
    ]  # fmt: skip
    assert rows[1]["unit"] == "Cel"


def test_ages_are_told_by_the_owners_clock() -> None:
    board = Board()
    board.post(Reading("old", 1, "", 40.0), Reading("new", 2, "", 70.0))
    board.clock.at += 10.0
    assert board.ages() == {(OTHER, "old"): 40.0, (OTHER, "new"): 10.0}


def test_wall_time_counts_only_where_it_is_trusted() -> None:
    board = Board()
    long_ago = WallTime(board.clock.wall() - 3600.0)
    board.post(Reading("temp", 1, "", 40.0, long_ago))
    assert board.ages()[(OTHER, "temp")] == 0.0
    board.clock.trusted = True
    assert board.ages()[(OTHER, "temp")] == 3600.0


def test_a_failed_source_says_why() -> None:
    board = Board()
    board.post(Failure("temp", "no such file", 5.0))
    (row,) = board.board.rows()
    assert (row["failure"], "value" in row) == ("no such file", False)


def test_nonsense_of_one_node_hides_nothing() -> None:
    board = Board()
    board.post(Reading("good", 1, "", 5.0), bad=b"\xff\xff", worse=b"", **{"../etc": b"1", "": b"2"})
    assert [row["series"] for row in board.board.rows()] == ["good"]
    assert board.board.entry(OTHER, "bad") is None
    assert board.board.row(OTHER, "never heard of") is None


def test_a_mark_changes_with_each_observation() -> None:
    board = Board()
    board.post(Reading("temp", 1, "", 5.0))
    first = board.board.row(OTHER, "temp")
    board.post(Reading("temp", 1, "", 6.0))
    second = board.board.row(OTHER, "temp")
    assert first is not None
    assert second is not None
    assert first["mark"] != second["mark"]


def test_a_restart_of_the_owner_begins_a_new_count() -> None:
    board = Board()
    board.post(Reading("temp", 1, "", 90_000.0))
    board.clock.at += 100.0
    value = encode_value(Reading("temp", 2, "", 3.0), 2)
    board.post(temp=value)
    assert board.ages() == {(OTHER, "temp"): 0.0}
    board.clock.at += 7.0
    assert board.ages() == {(OTHER, "temp"): 7.0}


def test_an_owner_that_is_gone_is_forgotten() -> None:
    board = Board()
    board.post(Reading("temp", 1, "", 5.0))
    board.board.heard(v.MapChanged(OTHER, (), gone=True))
    assert not board.board._clocks
