"""What goes first: chunks that were begun, chunks that nobody has been given."""

from __future__ import annotations

from collections import Counter

from edgecache.core.serving import ServingConfig
from edgecache.core.serving.given import Given
from edgecache.core.vocabulary import RequestId, UnitAsked
from edgecache.model.content import CHUNK_BYTES, LARGE_CHUNK_BYTES
from edgecache.model.priority import Priority
from tests.unit.core.serving.test_serving import BLOB, OTHER, Counterpart, bytes_of, node

ONE_BY_ONE = ServingConfig(ahead_bytes=CHUNK_BYTES)
QUARTER = CHUNK_BYTES // 4


def unit(number: int, index: int, size: int = CHUNK_BYTES) -> UnitAsked:
    return UnitAsked(RequestId(1), node(number), BLOB, index, size, CHUNK_BYTES)


def order(there: Counterpart) -> list[tuple[int, int]]:
    """Everything leaves; who got which chunk, in order."""
    numbers = {node(number): number for number in range(100)}
    return [(numbers[one.peer], one.index) for one in there.send_all()]


def test_what_nobody_has_been_given_goes_first() -> None:
    there = Counterpart(ONE_BY_ONE)
    for number, index in ((1, 7), (2, 7), (3, 7), (4, 8)):
        there.ask(number, index=index)
    assert order(there) == [(1, 7), (4, 8), (2, 7), (3, 7)]


def test_a_chunk_is_finished_before_another_is_begun() -> None:
    there = Counterpart(ServingConfig(ahead_bytes=QUARTER, ahead_time=1e-6))
    for number in (1, 2):
        for _ in range(4):
            there.ask(number, index=number, size=QUARTER)
    assert order(there) == [(1, 1)] * 4 + [(2, 2)] * 4


def test_news_of_one_blob_do_not_go_before_another() -> None:
    there = Counterpart(ONE_BY_ONE)
    there.ask(1, index=0, blob=OTHER)
    there.ask(1, index=0, blob=OTHER)
    for index in range(20):
        there.ask(2, index=index)
    served = there.send_all()
    assert [one.blob for one in served].index(OTHER, 1) <= 4, "it takes turns"


def test_whoever_asks_for_news_all_the_time_keeps_nobody_waiting_for_ever() -> None:
    there = Counterpart(ONE_BY_ONE)
    there.ask(1, index=0)
    there.ask(2, index=0)
    index, most = 1, ServingConfig().passed_over_max
    while not any(there.units[request].peer == node(2) for request in there.granted):
        there.ask(3, index=index)
        there.sent(there.granted[0])
        index += 1
    assert index <= most + 3


def test_not_even_while_a_class_below_waits_too() -> None:
    """Three ask for news, one for what was given, and one for something less urgent, which is served now and then."""
    there, served, grants, index = Counterpart(), 0, 0, 1
    while served < 5 and grants < 1000:
        waiting = Counter((unit.peer, unit.priority) for unit in there.serving._queued.values())
        for number in (1, 2, 3):
            for _ in range(4 - waiting[node(number), Priority.NORMAL]):
                there.ask(number, index=(index := index + 1))
        for _ in range(4 - waiting[node(9), Priority.NORMAL]):
            there.ask(9, index=0)
        for _ in range(2 - waiting[node(8), Priority.PREFETCH]):
            request = RequestId(len(there.units) + 1)
            there.units[request] = UnitAsked(request, node(8), OTHER, 0, CHUNK_BYTES, CHUNK_BYTES, Priority.PREFETCH)
            there.give(there.units[request])
        there.pass_time(0.042)
        served += there.units[there.granted[0]].peer == node(9)
        there.sent(there.granted[0])
        grants += 1
    assert grants <= 5 * (ServingConfig().passed_over_max + 5)


def test_who_owes_as_much_as_anybody_may_goes_out_of_turn_no_more() -> None:
    """Three ask for nothing but news, one for what was given: more is left to it than every thirty-second grant."""
    there, got, index = Counterpart(), 0, 1
    for _ in range(1000):
        waiting = Counter(unit.peer for unit in there.serving._queued.values())
        for number in (1, 2, 3):
            for _ in range(4 - waiting[node(number)]):
                there.ask(number, index=(index := index + 1))
        for _ in range(4 - waiting[node(9)]):
            there.ask(9, index=0)
        there.pass_time(0.042)
        got += there.units[there.granted[0]].peer == node(9)
        there.sent(there.granted[0])
    assert got > 1000 / 20


def test_the_second_half_of_a_large_chunk_goes_before_what_others_begin() -> None:
    there = Counterpart(ONE_BY_ONE)
    for number, index in ((1, 0), (2, 1), (1, 0)):
        request = RequestId(len(there.units) + 1)
        there.units[request] = UnitAsked(request, node(number), BLOB, index, CHUNK_BYTES, LARGE_CHUNK_BYTES)
        there.give(there.units[request])
    assert order(there) == [(1, 0), (1, 0), (2, 1)]


def test_a_byte_of_a_chunk_does_not_make_it_old() -> None:
    there = Counterpart(ONE_BY_ONE)
    for index in range(8):
        there.ask(9, index=index, size=1)
    there.send_all()
    for number, index in ((1, 7), (2, 7), (3, 1)):
        there.ask(number, index=index)
    assert order(there) == [(1, 7), (3, 1), (2, 7)]


def test_what_was_got_out_of_turn_is_owed() -> None:
    there = Counterpart(ONE_BY_ONE)
    there.ask(9, index=0)
    for index in range(1, 11):
        there.ask(1, index=index)
        there.ask(2, index=0)
    got = there.send_all(16)
    counts = bytes_of(got)
    assert counts[node(2)] >= 5 * CHUNK_BYTES, "and those who waited catch up"


def test_memory_is_bounded() -> None:
    given = Given(ServingConfig(given_max=3))
    for index in range(10):
        given.granted(unit(1, index, QUARTER))
    assert [index for index in range(10) if given.has(unit(2, index))] == [7, 8, 9]
    assert [index for index in range(10) if given.begun(unit(1, index))] == [7, 8, 9]


def test_units_without_end_finish_nothing_early() -> None:
    """Who asks for the same small part for ever goes first for the size of one chunk, and again later."""
    given = Given(ServingConfig())
    for _ in range(4):
        given.granted(unit(1, 0, QUARTER))
    assert not given.begun(unit(1, 0))
    assert not given.begun(unit(2, 0)), "somebody else's"
