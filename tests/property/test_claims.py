"""What neighbours claim, beside a plain dict: times, bounds, and the bits that are kept of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgecache.core.swarm.claims import Claims
from edgecache.model.have import HaveSet

MEMORY, MOST = 10.0, 12
said = st.lists(st.integers(0, 30), max_size=8, unique=True).map(tuple)
words = st.lists(st.tuples(st.booleans(), said, st.sampled_from([0.0, 1.0, 4.0, 10.0])), max_size=20)


@given(words, st.integers(0, 2**31 - 1))
def test_claims_are_what_was_said_since_then(spoken: list[tuple[bool, tuple[int, ...], float]], bits: int) -> None:
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
        assert claims.among(bits) == sorted((index, at) for index, at in kept if bits >> index & 1)
