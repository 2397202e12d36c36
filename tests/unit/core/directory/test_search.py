"""Rounds of searching: homes first, other sites last."""

from __future__ import annotations

import pytest

from edgecache.core.directory import DirectoryConfig
from edgecache.core.vocabulary import (
    LinkDown,
    LinkUnavailable,
    LinkUp,
    LinkWanted,
    MemberChanged,
    Misbehaved,
    ProvidersFound,
    ProvidersUnwanted,
    ProvidersWanted,
)
from edgecache.wire.messages import Announce, Claim, Lookup, MemberStatus, Providers
from tests.unit.core.directory.mesh import blob_info, claim, hello, node_id, peer_info, sent, told
from tests.unit.core.directory.talk import INFO, ME, WANT, answer, finals, found, lone, number_of


def test_homes_are_asked_and_the_round_ends_with_their_answers() -> None:
    desk = lone()
    desk.meet(*range(1, 8))
    out = desk.hear(WANT)
    lookups = sent(out, Lookup)
    assert sorted(home for home, _ in lookups) == sorted(set(desk.machine.homes(INFO.blob)) - {node_id(ME)})
    assert not told(out, ProvidersFound)
    assert desk.waits("search") == pytest.approx(0.15)
    out = answer(desk, lookups, claim(INFO, 20))
    assert told(out, ProvidersFound) == [ProvidersFound(INFO.blob, (claim(INFO, 20),), final=False)]
    while lookups:
        out = answer(desk, lookups, claim(INFO, 20), claim(INFO, 21, 1))
    assert finals(out)[-1] is True
    assert desk.waits("search") is None
    assert desk.machine.cost.by_homes == 1
    assert desk.machine.cost.floods == 0


def test_what_was_told_is_not_told_again_unless_it_changed() -> None:
    desk = lone(DirectoryConfig(homes=4))
    desk.meet(1, 2, 3)
    lookups = sent(desk.hear(WANT), Lookup)
    assert found(answer(desk, lookups, claim(INFO, 20, 1))) == [claim(INFO, 20, 1)]
    assert found(answer(desk, lookups, claim(INFO, 20, 1))) == []
    assert found(answer(desk, lookups, claim(INFO, 20, 2))) == [claim(INFO, 20, 2)]


def test_ours_the_dead_and_withdrawals_are_left_out() -> None:
    desk = lone()
    desk.meet(1, 2)
    desk.hear(MemberChanged(peer_info(9), MemberStatus.DEAD))
    lookups = sent(desk.hear(WANT), Lookup)
    gone = Claim(INFO.blob, node_id(8), 0, 4)
    assert found(answer(desk, lookups, claim(INFO, ME), claim(INFO, 9), gone, claim(INFO, 3))) == [claim(INFO, 3)]


def test_a_home_knows_by_itself() -> None:
    desk = lone()
    desk.meet(1, linked=False)
    desk.receive(1, Announce((claim(INFO, 1),)))
    assert found(desk.hear(WANT)) == [claim(INFO, 1)]


def test_a_lonely_node_ends_at_once() -> None:
    desk = lone()
    assert told(desk.hear(WANT), ProvidersFound) == [ProvidersFound(INFO.blob, (), final=True)]
    assert not desk.timers
    assert finals(desk.hear(WANT)) == [True]


def test_a_home_that_is_not_linked_is_asked_when_it_is() -> None:
    desk = lone()
    desk.meet(1, linked=False)
    out = desk.hear(WANT)
    assert told(out, LinkWanted) == [LinkWanted(node_id(1), peer_info(1))]
    assert not sent(out, Lookup)
    lookups = sent(desk.hear(LinkUp(node_id(1), hello(1), 1, 0.01)), Lookup)
    assert [home for home, _ in lookups] == [node_id(1)]
    assert not sent(desk.hear(LinkUp(node_id(1), hello(1), 1, 0.01)), Lookup)
    assert finals(answer(desk, lookups, claim(INFO, 5))) == [False, True]


def test_a_home_that_cannot_be_reached_is_not_waited_for() -> None:
    desk = lone()
    desk.meet(1, linked=False)
    desk.hear(WANT)
    assert finals(desk.hear(LinkUnavailable(node_id(1)))) == [True]


def test_a_home_whose_link_breaks_is_not_waited_for() -> None:
    desk = lone()
    desk.meet(1, 2)
    lookups = sent(desk.hear(WANT), Lookup)
    assert finals(answer(desk, lookups, claim(INFO, 5))) == [False]
    assert finals(desk.hear(LinkDown(lookups[0][0], planned=False))) == [True]


def test_one_round_at_a_time() -> None:
    desk = lone()
    desk.meet(1)
    desk.hear(WANT)
    out = desk.hear(WANT)
    assert not out.effects
    assert not out.notices


def test_unwanted_ends_it_without_a_word() -> None:
    desk = lone()
    desk.meet(1)
    lookups = sent(desk.hear(WANT), Lookup)
    out = desk.hear(ProvidersUnwanted(INFO.blob))
    assert not out.notices
    assert desk.waits("search") is None
    assert not answer(desk, lookups, claim(INFO, 5)).notices
    desk.hear(ProvidersUnwanted(INFO.blob))


def test_answers_to_questions_not_asked_are_ignored() -> None:
    desk = lone()
    desk.meet(1, 2, 3)
    lookups = sent(desk.hear(WANT), Lookup)
    stranger = next(n for n in (1, 2, 3, 4) if node_id(n) not in [home for home, _ in lookups])
    query = lookups[0][1].query
    assert not desk.receive(stranger, Providers(query, (claim(INFO, 5),))).notices
    assert not desk.receive(number_of(lookups[0][0]), Providers(query + 1, (claim(INFO, 5),))).notices


def test_claims_for_another_blob_are_an_offence() -> None:
    desk = lone()
    desk.meet(1, 2)
    lookups = sent(desk.hear(WANT), Lookup)
    liar = lookups[0][0]
    out = answer(desk, lookups, claim(blob_info(2), 5), claim(INFO, 6))
    assert [n.peer for n in told(out, Misbehaved)] == [liar]
    assert found(out) == [claim(INFO, 6)]


def test_the_number_of_claims_collected_is_bounded() -> None:
    desk = lone(DirectoryConfig(found_max=10))
    desk.meet(1, 2)
    lookups = sent(desk.hear(WANT), Lookup)
    assert len(found(answer(desk, lookups, *(claim(INFO, n) for n in range(10, 40))))) == 10
    assert len(found(answer(desk, lookups, *(claim(INFO, n, 1) for n in range(15, 60))))) == 5


def test_addresses_that_only_the_answer_knew_lead_to_a_few_links() -> None:
    desk = lone()
    desk.meet(1, 2)
    ((home, lookup), *_) = sent(desk.hear(WANT), Lookup)
    claims = tuple(claim(INFO, n) for n in (1, ME, *range(10, 20)))
    peers = tuple(peer_info(n) for n in (1, ME, 99, *range(10, 20)))
    out = desk.receive(number_of(home), Providers(lookup.query, claims, peers))
    assert told(out, LinkWanted) == [LinkWanted(node_id(n), peer_info(n)) for n in range(10, 14)]


def test_a_home_that_searches_hears_of_new_holders_at_once() -> None:
    desk = lone()
    desk.meet(1, 2)
    desk.hear(WANT)
    assert found(desk.receive(1, Announce((claim(INFO, 1, 1),)))) == [claim(INFO, 1, 1)]
    for _ in range(3):
        if desk.waits("search") is not None:
            desk.fire("search")
    assert told(desk.receive(2, Announce((claim(INFO, 2, 1),))), ProvidersFound) == [
        ProvidersFound(INFO.blob, (claim(INFO, 2, 1),), final=False)
    ]
    assert not found(desk.receive(2, Announce((Claim(INFO.blob, node_id(2), 0, 4),))))
    desk.hear(ProvidersUnwanted(INFO.blob))
    assert not found(desk.receive(2, Announce((claim(INFO, 2, 2),))))


def test_rounds_remembered_are_bounded() -> None:
    desk = lone()
    for number in range(1500):
        assert finals(desk.hear(ProvidersWanted(blob_info(number).blob))) == [True]
    assert len(desk.machine._searches._lately) == 1024


# ---- other sites


def test_when_nobody_here_has_it_homes_of_other_sites_are_asked() -> None:
    desk = lone()
    desk.meet(1)
    desk.meet(*range(10, 15), site="away", linked=False)
    desk.hear(WANT)
    desk.fire("search")
    out = desk.fire("search")
    wanted = [notice.peer for notice in told(out, LinkWanted)]
    assert len(wanted) == 2
    assert desk.waits("search") == pytest.approx(1.0)
    lookups = sent(desk.hear(LinkUp(wanted[0], hello(10, "away"), 2, 0.05)), Lookup)
    assert found(answer(desk, lookups, claim(INFO, 12))) == [claim(INFO, 12)]
    assert finals(desk.fire("search")) == [True]
    assert desk.machine.cost.by_far == 1


def test_far_homes_are_a_few_of_a_few_sites() -> None:
    desk = lone()
    for site in range(6):
        desk.meet(*range(100 + 10 * site, 105 + 10 * site), site=f"site{site}", linked=False)
    wanted = told(desk.hear(WANT), LinkWanted)
    assert len(wanted) == 6
    assert len({number_of(notice.peer) // 10 for notice in wanted}) == 3
