"""What neighbours claim, beside plain dicts: times, bounds, and what is left to them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgecache.core.swarm.blobs import Blob, Fetch
from edgecache.core.swarm.claims import Claims
from edgecache.core.swarm.config import SwarmConfig
from edgecache.core.swarm.scoring import Goodput, Neighbour, Peer
from edgecache.model.have import HaveSet
from tests.unit.core.swarm.world import blob_of, node_id

MEMORY, MOST = 10.0, 12
CHUNKS = 31
FOREVER = float("inf")
said = st.lists(st.integers(0, CHUNKS - 1), max_size=8, unique=True).map(tuple)
pauses = st.sampled_from([0.0, 1.0, 4.0, 10.0])
words = st.lists(st.tuples(st.booleans(), said, pauses), max_size=20)


@given(words, pauses)
def test_claims_are_what_was_said_since_then(spoken: list[tuple[bool, tuple[int, ...], float]], back: float) -> None:
    claims, now = Claims(), 0.0
    expected: dict[int, float] = {}
    for all_of_them, indexes, pause in spoken:
        now += pause
        if all_of_them:
            claims.replace(indexes, now)
            expected = {index: expected.get(index, now) for index in indexes}
        else:
            claims.add(indexes, now, MEMORY, MOST)
            expected = {index: at for index, at in expected.items() if at > now - MEMORY}
            expected |= {index: now for index in indexes if index not in expected}
            while len(claims.items()) < len(expected):
                oldest = min(expected.values())
                gone = {index for index, at in expected.items() if at == oldest} - dict(claims.items()).keys()
                assert gone, "the oldest go first"
                del expected[min(gone)]
            assert len(expected) <= MOST
        kept = claims.items()
        assert dict(kept) == expected
        assert [at for _, at in kept] == sorted(at for _, at in kept), "the oldest first"
        assert claims.bits == HaveSet.of(expected).bits
        assert {index: at for at, bits in claims.within(back, now) for index in HaveSet(bits)} == {
            index: at for index, at in kept if at + back > now
        }


class Looked:
    """A blob whose fellows claim, and what one chunk at a time makes of the same."""

    def __init__(self, fellows: int) -> None:
        config, info = SwarmConfig(), blob_of(CHUNKS)
        goodput = Goodput(config.goodput_span, config.near_prior)
        self.blob = Blob(info.blob, info, fetch=Fetch(goodput))
        peers = [Peer(node_id(number), 0, 0.001, 16, config, goodput) for number in range(1, fellows + 1)]
        self.fellows = [Neighbour(peer, wanting=True) for peer in peers]
        self.blob.neighbours = {neighbour.peer.node: neighbour for neighbour in self.fellows}
        self._left_at: dict[int, float] = {}

    def take(self, index: int) -> None:
        """We ask for it."""
        assert self.blob.fetch is not None
        self.blob.fetch.left_at.take(index)
        self._left_at.pop(index, None)

    def expected(self, among: int, patience: float, now: float) -> tuple[int, float]:
        """A claim holds for `patience`; all claims of a chunk together for twice that, since the first that held."""
        left, oldest = set(), FOREVER
        for neighbour in self.fellows:
            for index, at in neighbour.coming.items():
                if among >> index & 1 and at + patience > now:
                    since = min(at, self._left_at.setdefault(index, at) + patience)
                    if since + patience > now:
                        left.add(index)
                        oldest = min(oldest, since)
        return HaveSet.of(left).bits, oldest


few = st.lists(st.integers(0, 3), max_size=3, unique=True).map(tuple)
short = st.integers(0, 4).map(lambda sevenths: sevenths / 7)
patiences = st.integers(3, 6).map(lambda ninths: ninths / 9)
"""Sums and differences of these are rounded."""
steps = st.lists(st.tuples(st.integers(0, 2), st.booleans(), few, short, st.integers(0, 15), patiences), max_size=25)


@given(steps)
def test_what_is_left_to_fellows_is_what_one_chunk_at_a_time_says(
    taken: list[tuple[int, bool, tuple[int, ...], float, int, float]],
) -> None:
    looked, now = Looked(3), 0.0
    for fellow, ask, indexes, pause, among, patience in taken:
        now += pause
        if ask:
            for index in indexes:
                looked.take(index)
        else:
            looked.fellows[fellow].coming.replace(indexes, now)
        for _ in range(2):
            left, oldest = expected = looked.expected(among, patience, now)
            assert looked.blob.coming(among, patience, now) == expected
            assert oldest + patience > now, "or a timer that is set for then would fire for ever"
            now = oldest + patience if left else now
