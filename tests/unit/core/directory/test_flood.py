"""The flood: when it starts, how it is passed on, how its answers come back."""

from __future__ import annotations

from itertools import pairwise

import pytest

from edgecache.core.directory import DirectoryConfig
from edgecache.core.vocabulary import HoldingChanged, Misbehaved, Outbox, ProvidersFound, ProvidersUnwanted
from edgecache.model.ids import BlobRef
from edgecache.wire.messages import Flood, Lookup, Providers
from tests.unit.core.directory.mesh import Lone, blob_info, claim, node_id, peer_info, sent, told
from tests.unit.core.directory.talk import INFO, ME, WANT, answer, finals, found, lone, number_of


def silent_homes(desk: Lone) -> Outbox:
    desk.hear(WANT)
    return desk.fire("search")


def test_silent_homes_lead_to_a_flood_over_a_few_links() -> None:
    desk = lone()
    desk.meet(*range(1, 9))
    out = silent_homes(desk)
    floods = sent(out, Flood)
    assert len({peer for peer, _ in floods}) == 3
    assert {(f.origin, f.ref, f.ttl) for _, f in floods} == {(node_id(ME), BlobRef(blob=INFO.blob), 3)}
    assert desk.waits("search") == pytest.approx(0.4)
    out = desk.receive(number_of(floods[0][0]), Providers(floods[0][1].query, (claim(INFO, 30),)))
    assert told(out, ProvidersFound) == [ProvidersFound(INFO.blob, (claim(INFO, 30),), final=False)]
    assert finals(desk.fire("search")) == [True]
    assert desk.machine.cost.by_flood == 1


def test_homes_that_know_nothing_lead_to_it_without_waiting() -> None:
    desk = lone()
    desk.meet(1, 2, 3)
    lookups = sent(desk.hear(WANT), Lookup)
    while len(lookups) > 1:
        answer(desk, lookups)
    assert len(sent(answer(desk, lookups), Flood)) == 3


def test_a_late_home_is_still_heard() -> None:
    desk = lone()
    desk.meet(1, 2)
    lookups = sent(desk.hear(WANT), Lookup)
    desk.fire("search")
    assert found(answer(desk, lookups, claim(INFO, 5))) == [claim(INFO, 5)]
    assert finals(desk.fire("search")) == [True]
    assert desk.machine.cost.by_homes == 1


def test_asked_again_soon_both_ways_are_taken_at_once() -> None:
    desk = lone()
    desk.meet(1, 2, 3, 4)
    lookups = sent(desk.hear(WANT), Lookup)
    while lookups:
        answer(desk, lookups, claim(INFO, 5))
    desk.now += 10
    out = desk.hear(WANT)
    assert sent(out, Lookup)
    assert len(sent(out, Flood)) == 3
    assert finals(desk.fire("search")) == [True]


def test_floods_for_one_blob_back_off() -> None:
    desk = lone()
    desk.meet(1, 2, 3)
    times: list[float] = []
    for _ in range(400):
        out = desk.hear(WANT)
        while not any(finals(out)):
            if sent(out, Flood):
                times.append(desk.now)
            out = desk.fire("search")
        desk.now += 0.5
    pauses = [after - before for before, after in pairwise(times)]
    assert 5 <= pauses[0] < 8
    assert 9 < pauses[1] < 13
    assert all(60 <= pause < 64 for pause in pauses[4:])
    desk.hear(ProvidersUnwanted(INFO.blob))
    assert sent(silent_homes(desk), Flood)


def test_peers_of_our_site_are_preferred() -> None:
    desk = lone()
    desk.meet(1, 2)
    desk.meet(*range(10, 20), site="away")
    peers = [peer for peer, _ in sent(silent_homes(desk), Flood)]
    assert peers[:2] in ([node_id(1), node_id(2)], [node_id(2), node_id(1)])
    assert len(peers) == 3


def flood(query: int, origin: int = 50, ttl: int = 3, ref: BlobRef | None = None) -> Flood:
    return Flood(query, node_id(origin), ref or BlobRef(blob=INFO.blob), ttl)


def test_a_question_is_passed_on_once_with_one_hop_less() -> None:
    desk = lone()
    desk.meet(*range(1, 9))
    passed = sent(desk.receive(1, flood(5)), Flood)
    assert len(passed) == 3
    assert node_id(1) not in [peer for peer, _ in passed]
    assert {message for _, message in passed} == {flood(5, ttl=2)}
    for sender in (1, 2):
        assert not desk.receive(sender, flood(5)).effects
    assert desk.machine.cost.duplicates == 2


@pytest.mark.parametrize(("ttl", "passed_on"), [(0, None), (1, None), (2, 1), (4, 3)])
def test_hops_end(ttl: int, passed_on: int | None) -> None:
    desk = lone()
    desk.meet(1, 2)
    passed = sent(desk.receive(1, flood(5, ttl=ttl)), Flood)
    assert [message.ttl for _, message in passed] == ([] if passed_on is None else [passed_on])


def test_our_own_question_is_not_passed_on_when_it_comes_back() -> None:
    desk = lone()
    desk.meet(1, 2, 3)
    ((_, ours), *_) = sent(silent_homes(desk), Flood)
    assert not desk.receive(1, ours).effects
    assert not desk.receive(1, flood(77, origin=ME)).effects


def test_the_origin_is_not_asked_its_own_question() -> None:
    desk = lone()
    desk.meet(1, 50)
    assert not sent(desk.receive(1, flood(5)), Flood)


def test_who_has_it_answers_and_a_whole_copy_ends_the_flood() -> None:
    desk = lone()
    desk.meet(1, 2, 3)
    desk.hear(HoldingChanged(INFO, 2))
    out = desk.receive(1, flood(5))
    assert sent(out, Providers) == [(node_id(1), Providers(5, (claim(INFO, ME, 2),)))]
    assert sent(out, Flood)
    desk.hear(HoldingChanged(INFO, 4))
    out = desk.receive(1, flood(6))
    assert sent(out, Providers) == [(node_id(1), Providers(6, (claim(INFO, ME, 4),)))]
    assert not sent(out, Flood)


def test_answers_go_back_the_way_the_question_came() -> None:
    desk = lone(DirectoryConfig(answers_max=2))
    desk.meet(1, 2, 3, 4)
    passed = sent(desk.receive(1, flood(5)), Flood)
    asked = number_of(passed[0][0])
    reply = Providers(5, (claim(INFO, 40),), (peer_info(40),))
    assert sent(desk.receive(asked, reply), Providers) == [(node_id(1), reply)]
    not_asked = next(n for n in (1, 2, 3, 4) if node_id(n) not in [peer for peer, _ in passed])
    assert not desk.receive(not_asked, reply).effects
    assert not desk.receive(asked, Providers(6, reply.claims)).effects
    assert not desk.receive(asked, Providers(5, ())).effects
    assert desk.receive(asked, reply).effects
    assert not desk.receive(asked, reply).effects


def test_a_relay_blames_who_hands_it_nonsense() -> None:
    desk = lone()
    desk.meet(1, 2)
    ((peer, _),) = sent(desk.receive(1, flood(5)), Flood)
    out = desk.receive(number_of(peer), Providers(5, (claim(blob_info(2), 40),)))
    assert not out.effects
    assert [n.peer for n in told(out, Misbehaved)] == [peer]


def test_a_question_that_came_to_nothing_is_not_passed_on_again_for_a_while() -> None:
    desk = lone()
    desk.meet(1, 2, 3)
    assert sent(desk.receive(1, flood(5)), Flood)
    desk.now += 5.1
    assert not sent(desk.receive(1, flood(6)), Flood)
    assert desk.machine.cost.suppressed == 1
    desk.hear(HoldingChanged(INFO, 1))
    assert sent(desk.receive(1, flood(7)), Providers)
    desk.hear(HoldingChanged(INFO, 0))
    assert sent(desk.receive(1, flood(8)), Flood)
    desk.now += 5.1
    assert not sent(desk.receive(1, flood(9)), Flood)
    desk.now += 5.1
    assert sent(desk.receive(1, flood(10)), Flood)


def test_a_question_with_more_hops_is_passed_on_all_the_same() -> None:
    desk = lone()
    desk.meet(1, 2, 3)
    assert sent(desk.receive(1, flood(5, ttl=2)), Flood)
    desk.now += 5.1
    assert not sent(desk.receive(1, flood(6, ttl=2)), Flood)
    assert sent(desk.receive(1, flood(7, ttl=3)), Flood)


def test_one_that_was_answered_is() -> None:
    desk = lone()
    desk.meet(1, 2)
    ((peer, _),) = sent(desk.receive(1, flood(5)), Flood)
    desk.receive(number_of(peer), Providers(5, (claim(INFO, 40),)))
    desk.now += 5.1
    assert sent(desk.receive(1, flood(6)), Flood)


def test_an_asker_has_a_budget_and_tables_are_bounded() -> None:
    config = DirectoryConfig(routes_max=50, askers_max=8)
    desk = lone(config)
    desk.meet(*range(1, 40))
    for query in range(100):
        desk.receive(1, flood(query, ref=BlobRef(blob=blob_info(query).blob)))
    assert desk.machine.cost.refused == 70
    for number in range(2, 40):
        for query in range(20):
            blob = blob_info(query).blob
            desk.receive(number, flood(1000 * number + query, ref=BlobRef(blob=blob)))
    relay = desk.machine._relay
    assert len(relay._routes) <= 50
    assert len(relay._fruitless) <= 50
    assert len(relay._budget) <= 8
