"""A small swarm in a time of troubles, some of them lies: once the world is well again, everything wanted arrives."""

from __future__ import annotations

from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from edgecache.core.vocabulary import (
    BlobGone,
    ChunkFailed,
    Event,
    FetchFailure,
    FetchUnwanted,
    FetchWanted,
    LinkDown,
    LinkUp,
    MessageReceived,
    QuietChanged,
    UnitWithdrawn,
)
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.have import HaveSet
from edgecache.model.priority import Priority
from edgecache.wire.messages import Have
from tests.unit.core.swarm.invariants import check
from tests.unit.core.swarm.world import Node, World, blob_of, hello, node_id

LIAR, SILENT = 4, 5
HONEST = (0, 1, 2, 3)
INFOS = [blob_of(19 * CHUNK_BYTES - 7, b"a"), blob_of(70 * CHUNK_BYTES, b"b"), blob_of(9000, b"c")]
TROUBLES = 60
PATIENCE = 400.0
"""Seconds: pauses with a peer are up to a minute, lookups 10 s apart, and there are several of both in a row."""


class Troubled(World):
    """Four nodes of one site or two, one that only lies, and one that is linked and says nothing any more."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)
        super().__init__([2e6, 2e6, 5e5, 2e6, 2e6, 2e6], seed=seed, tiers=[0, 0, 0, self.rng.choice([0, 2]), 0, 0])
        self.losing = False
        self.link_all()
        for info in INFOS:
            self.hold(0, info)
            self.hold(3, info, HaveSet.of(range(0, info.chunks, 2)) if info.chunks > 1 else None)
        self.nodes[SILENT].down = True
        self.wanted: dict[tuple[int, int], None] = {}
        self.moves = [
            self.break_link, self.link_all, self.link_all, self.tell_twice, self.lie, self.lie, self.lie, self.silence,
            self.fail, self.fail, self.wish, self.wish, self.wish, self.unwant, self.quiet, self.lose, self.drop,
        ]

    def live(self) -> None:
        """Troubles, then health."""
        for _ in range(TROUBLES):
            self.rng.choice(self.moves)()
            self.run(self.rng.choice([0.0, 0.01, 0.3, 3.0, 20.0]))
            for number in HONEST:
                check(self.nodes[number].swarm)
        self.heal()

    def heal(self) -> None:
        """Links, no lies, no losses; all that is wanted, somebody has."""
        self.losing = False
        self.part(LIAR)
        self.part(SILENT)
        for number in HONEST:
            self.give(number, QuietChanged(None))
        for info in INFOS:
            if len(self.nodes[0].store.get(info.blob, ())) < info.chunks:
                self.hold(0, info)
        self.link_all()

    def pair(self) -> tuple[int, int]:
        one, other = self.rng.sample(range(len(self.nodes)), 2)
        return one, other

    def break_link(self) -> None:
        self.unlink(*self.pair())

    def unlink(self, one: int, other: int) -> None:
        """The link between two is gone, and what was asked over it."""
        for a, b in ((one, other), (other, one)):
            if self.nodes[a].links.pop(b, 0) is None:
                self.give(a, LinkDown(node_id(b), planned=False), force=True)
                for request in [request for request, (asker, _, _) in self.nodes[a].asked.items() if asker == b]:
                    del self.nodes[a].asked[request]
                    self.give(a, UnitWithdrawn(request), force=True)

    def part(self, number: int) -> None:
        self.nodes[number].down = True
        for other in range(len(self.nodes)):
            self.unlink(number, other)

    def tell_twice(self) -> None:
        """A machine that wants a link that is there already hears of it again, perhaps with another site."""
        one, other = self.pair()
        if other in self.nodes[one].links:
            self.give(one, LinkUp(node_id(other), hello(other), self.rng.choice([0, 1, 2]), 0.002))

    def lie(self) -> None:
        info = self.rng.choice(INFOS)
        some = [index for index in range(info.chunks) if self.rng.random() < 0.5]
        have = HaveSet.of(self.rng.choice([(), some, range(info.chunks)]))
        coming = tuple(self.rng.sample(range(info.chunks + 3), min(self.rng.choice([0, 64]), info.chunks)))
        wanting, full = self.rng.random() < 0.7, self.rng.random() < 0.5
        for number in HONEST:
            if LIAR in self.nodes[number].links:
                self.give(number, MessageReceived(node_id(LIAR), Have(info.blob, have, full, wanting, coming)))

    def silence(self) -> None:
        """The silent one said once that it has something."""
        info, number = self.rng.choice(INFOS), self.rng.choice(HONEST)
        if SILENT in self.nodes[number].links:
            have = Have(info.blob, HaveSet.full(info.chunks), full=True, wanting=False)
            self.give(number, MessageReceived(node_id(SILENT), have))

    def fail(self) -> None:
        node = self.nodes[self.rng.choice(HONEST)]
        reason = self.rng.choice([one for one in FetchFailure if one is not FetchFailure.CORRUPT])
        for request in list(node.pulls)[: self.rng.choice([1, 100])]:
            if (pull := node.pulls.pop(request, None)) is not None:
                effect = pull.effect
                retry_after = self.rng.choice([0.0, 4.0, 1e9])
                self.give(node.number, ChunkFailed(request, effect.blob, effect.index, reason, retry_after))

    def wish(self) -> None:
        which, number = self.rng.randrange(len(INFOS)), self.rng.choice((1, 2, 3))
        self.wanted[number, which] = None
        self.give(number, FetchWanted(INFOS[which].blob, priority=self.rng.choice(list(Priority))))

    def unwant(self) -> None:
        if self.wanted:
            number, which = self.rng.choice(list(self.wanted))
            del self.wanted[number, which]
            self.give(number, FetchUnwanted(INFOS[which].blob))

    def drop(self) -> None:
        """A store drops what nobody wants there."""
        which, number = self.rng.randrange(len(INFOS)), self.rng.choice((1, 2, 3))
        if (number, which) not in self.wanted and INFOS[which].blob in self.nodes[number].store:
            del self.nodes[number].store[INFOS[which].blob]
            self.give(number, BlobGone(INFOS[which].blob))

    def quiet(self) -> None:
        until = self.rng.choice([None, self.now + self.rng.choice([1.0, 50.0])])
        self.give(self.rng.choice(HONEST), QuietChanged(until))

    def lose(self) -> None:
        """From now on, or no more, messages get lost, as with a link that another replaces."""
        self.losing = not self.losing

    def _deliver(self, node: Node, other: int, event: Event) -> None:
        if not (self.losing and self.rng.random() < 0.5):
            super()._deliver(node, other, event)

    def missing(self) -> list[tuple[int, int]]:
        """What is wanted and not here."""
        return [
            (number, which) for number, which in self.wanted
            if len(self.nodes[number].store.get(INFOS[which].blob, ())) < INFOS[which].chunks
        ]

    def end(self) -> None:
        """All links and all blobs are gone."""
        for number in HONEST:
            self.part(number)
            for info in INFOS:
                self.nodes[number].down = False
                self.give(number, FetchUnwanted(info.blob))
                self.give(number, BlobGone(info.blob))


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_what_is_wanted_arrives_once_the_world_is_well_and_nothing_is_left_behind(seed: int) -> None:
    world = Troubled(seed)
    world.live()
    world.run(PATIENCE, lambda: not world.missing())
    standings = {
        (number, which): str(world.nodes[number].swarm.stalled(INFOS[which].blob, world.now))
        for number, which in world.missing()
    }
    assert not standings
    world.end()
    for number in HONEST:
        swarm, serving = world.nodes[number].swarm, world.nodes[number].serving
        state, crossing = swarm._state, swarm._chunks._crossing
        for table in (state.peers, state.blobs, state.fetching, state.chunks, state.manifests, serving._askers):
            assert not table
        assert (state.inflight, crossing._requests, crossing._queued) == (0, 0, 0)
        assert (serving.queued, serving.in_progress, serving.bytes_in_progress) == (0, 0, 0)
