"""The picker against plain Python: counts, shares, and which chunks may be asked for."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from edgecache.core.swarm.picker import Picker, Rarity, bit_indexes, nth_bit, random_bit, share_out
from edgecache.model.content import CHUNK_BYTES, BlobInfo
from edgecache.model.ids import NodeId, blob_id_from_root, node_id_from_bytes, sha256

CHUNKS = 40

sets = st.integers(min_value=0, max_value=2**CHUNKS - 1)
randoms = st.integers(0, 2**32).map(Random)


def info(chunks: int) -> BlobInfo:
    return BlobInfo(blob_id_from_root(b"root"), chunks * CHUNK_BYTES, sha256(b""))


def nodes(count: int) -> list[NodeId]:
    return sorted(node_id_from_bytes(sha256(bytes([n]))[:16]) for n in range(count))


def ones(bits: int) -> list[int]:
    return [index for index in range(bits.bit_length()) if bits >> index & 1]


@given(st.integers(min_value=1, max_value=2**300), st.data())
def test_nth_bit_is_the_nth_set_bit(bits: int, data: st.DataObject) -> None:
    nth = data.draw(st.integers(0, bits.bit_count() - 1))
    assert nth_bit(bits, nth) == ones(bits)[nth]


@given(st.integers(min_value=1, max_value=2**300), st.integers(0, 9))
def test_bit_indexes_are_the_lowest(bits: int, most: int) -> None:
    assert list(bit_indexes(bits, most)) == ones(bits)[:most]


@given(st.integers(min_value=1, max_value=2**60), randoms)
def test_random_bit_is_a_set_bit(bits: int, rng: Random) -> None:
    assert bits >> random_bit(bits, rng) & 1


def test_random_bit_is_uniform() -> None:
    rng, bits = Random(1), 0b1000_0000_0111
    drawn = [random_bit(bits, rng) for _ in range(4000)]
    assert all(800 < drawn.count(index) < 1200 for index in ones(bits))


@given(st.lists(sets, max_size=20), st.lists(sets, max_size=20), sets)
def test_rarity_counts_like_a_list(held: list[int], changed: list[int], among: int) -> None:
    rarity = Rarity()
    for bits in held:
        rarity.add(bits)
    for place, bits in enumerate(changed[: len(held)]):
        rarity.remove(held[place] & ~bits)
        rarity.add(bits & ~held[place])
        held[place] = bits
    counts = [sum(bits >> index & 1 for bits in held) for index in range(CHUNKS)]
    assert [rarity.count(index) for index in range(CHUNKS)] == counts
    assert ones(rarity.held()) == [index for index in range(CHUNKS) if counts[index]]
    least = min((counts[index] for index in ones(among)), default=0)
    assert ones(rarity.rarest(among)) == [index for index in ones(among) if counts[index] == least]


@given(st.integers(0, 3000), st.integers(1, 20))
def test_shares_are_disjoint_and_cover_everything(chunks: int, leechers: int) -> None:
    shares = share_out(chunks, nodes(leechers))
    taken = [index for share in shares for index in range(share.low, share.high)]
    assert taken == list(range(chunks))
    assert max(s.high - s.low for s in shares) - min(s.high - s.low for s in shares) <= 1


@given(st.integers(1, CHUNKS), st.integers(1, 6), sets)
def test_a_share_is_taken_in_one_order(chunks: int, leechers: int, among: int) -> None:
    for share in share_out(chunks, nodes(leechers)):
        order = [*range(share.first, share.high), *range(share.low, share.first)]
        assert share.next(among) == next((index for index in order if among >> index & 1), None)


@given(st.lists(sets, min_size=1, max_size=6), sets, sets, st.integers(0, 8), randoms)
def test_a_pick_is_never_what_must_not_be_asked_for(
    holders: list[int], have: int, flying: int, random_first: int, rng: Random
) -> None:
    picker = Picker(info(CHUNKS), have)
    picker.shares = share_out(CHUNKS, nodes(3))
    for bits in holders:
        picker.rarity.add(bits)
    assert picker.pick(holders[0], rng) is None, "no manifest page is here"
    picker.cover(range(CHUNKS))
    for index in ones(flying & ~have):
        picker.asked(index)
    offer = holders[0]
    allowed = offer & ~have & ~flying
    for pick in (picker.pick(offer, rng, random_first), picker.pick_for_others(offer, rng), picker.own(offer)):
        assert pick is None or allowed >> pick & 1
    assert (picker.pick(offer, rng, random_first) is None) == (not allowed)
    if allowed and have.bit_count() >= random_first:
        pick = picker.pick(offer, rng, random_first)
        assert pick is not None
        assert picker.rarity.count(pick) == min(picker.rarity.count(index) for index in ones(allowed))


@given(st.lists(sets, min_size=1, max_size=5), randoms, st.integers(1, CHUNKS), st.floats(0, 0.9))
def test_everything_that_can_be_had_is_picked_in_the_end(
    holders: list[int], rng: Random, page: int, failing: float
) -> None:
    picker = Picker(info(CHUNKS), 0)
    for bits in holders:
        picker.rarity.add(bits)
    covered = 0
    for _ in range(300):
        if covered < CHUNKS and rng.random() < 0.1:
            picker.cover(range(covered, min(covered + page, CHUNKS)))
            covered = min(covered + page, CHUNKS)
        index = picker.pick(rng.choice(holders), rng, 4)
        if index is not None:
            assert index < covered
            picker.asked(index)
            (picker.failed if rng.random() < failing else picker.stored)(index)
    picker.cover(range(CHUNKS))
    while (pick := picker.pick(picker.obtainable(), rng)) is not None:
        picker.asked(pick)
        picker.stored(pick)
    union = 0
    for bits in holders:
        union |= bits
    assert picker.have == union
    assert picker.nowhere() == picker.all & ~union
