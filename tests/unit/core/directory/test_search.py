"""Rounds of searching: homes, the flood, other sites; and names that are no full id."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest

from edgecache.core.directory import Directory, DirectoryConfig
from edgecache.core.vocabulary import (
    HoldingChanged,
    LinkDown,
    LinkUnavailable,
    LinkUp,
    LinkWanted,
    MemberChanged,
    Misbehaved,
    Outbox,
    ProvidersFound,
    ProvidersUnwanted,
    ProvidersWanted,
    Resolved,
    ResolveWanted,
)
from edgecache.model.ids import BlobRef, NodeId
from edgecache.wire.messages import Announce, Claim, Flood, Lookup, MemberStatus, Providers
from tests.unit.core.directory.mesh import (
    Lone,
    Mesh,
    blob_info,
    claim,
    hello,
    identity,
    node_id,
    peer_info,
    sent,
    told,
)

ME = 0
INFO = blob_info(1)
WANT = ProvidersWanted(INFO.blob)


def lone(config: DirectoryConfig | None = None) -> Lone:
    return Lone(Directory(identity(ME), config or DirectoryConfig(), Random(7)))


def finals(out: Outbox) -> list[bool]:
    return [notice.final for notice in told(out, ProvidersFound)]


def found(out: Outbox) -> list[Claim]:
    return [one for notice in told(out, ProvidersFound) for one in notice.claims]


def number_of(node: NodeId) -> int:
    return next(n for n in range(1000) if node_id(n) == node)


def answer(desk: Lone, lookups: list[tuple[NodeId, Lookup]], *claims: Claim) -> Outbox:
    """The first of those asked answers."""
    home, lookup = lookups.pop(0)
    return desk.receive(number_of(home), Providers(lookup.query, claims))


# ---- homes


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


# ---- the flood


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


# ---- names


def resolved(out: Outbox) -> list[Resolved]:
    return [effect for effect in out.effects if isinstance(effect, Resolved)]


def test_a_name_is_asked_of_all_links_and_settles_after_the_first_answer() -> None:
    desk = lone()
    desk.meet(*range(1, 6))
    ref = BlobRef(prefix=INFO.blob[:10])
    floods = sent(desk.hear(ResolveWanted(ref)), Flood)
    assert len(floods) == 5
    assert not desk.hear(ResolveWanted(ref)).effects
    peer, question = floods[0]
    desk.receive(number_of(peer), Providers(question.query, (claim(INFO, 1),)))
    assert desk.waits("resolve") == pytest.approx(0.3)
    desk.receive(number_of(peer), Providers(question.query, (claim(INFO, 2),)))
    assert resolved(desk.fire("resolve")) == [Resolved(ref, (claim(INFO, 1), claim(INFO, 2)))]
    assert not desk.receive(number_of(peer), Providers(question.query, (claim(INFO, 3),))).effects


def test_a_name_nobody_knows_is_asked_twice_and_ends_on_time() -> None:
    desk = lone()
    desk.meet(1)
    ref = BlobRef(sha256=INFO.sha256)
    desk.hear(ResolveWanted(ref))
    assert desk.waits("resolve") == pytest.approx(0.5)
    assert sent(desk.fire("resolve"), Flood)
    assert resolved(desk.fire("resolve")) == [Resolved(ref, ())]
    assert desk.now == pytest.approx(101.0)


def test_without_links_the_answer_is_immediate() -> None:
    desk = lone()
    desk.meet(1, linked=False)
    desk.receive(1, Announce((claim(INFO, 1),)))
    ref = BlobRef(prefix=INFO.blob[:8])
    assert resolved(desk.hear(ResolveWanted(ref))) == [Resolved(ref, (claim(INFO, 1),))]
    other = BlobRef(prefix=blob_info(2).blob[:8])
    assert resolved(desk.hear(ResolveWanted(other))) == [Resolved(other, ())]


def test_what_does_not_fit_the_name_is_an_offence() -> None:
    desk = lone()
    desk.meet(1)
    ((_, question),) = sent(desk.hear(ResolveWanted(BlobRef(prefix=INFO.blob[:10]))), Flood)
    out = desk.receive(1, Providers(question.query, (claim(blob_info(2), 5), claim(INFO, 6))))
    assert [n.peer for n in told(out, Misbehaved)] == [node_id(1)]
    desk.fire("resolve")


@pytest.mark.parametrize("form", ["blob", "prefix", "sha256", "short"])
def test_questions_by_any_name_are_answered(form: str) -> None:
    desk = lone()
    desk.meet(1, 2)
    desk.hear(HoldingChanged(INFO, 4))
    desk.receive(2, Announce((claim(INFO, 2), claim(blob_info(2), 2))))
    ref = {
        "blob": BlobRef(blob=INFO.blob),
        "prefix": BlobRef(prefix=INFO.blob[:9]),
        "sha256": BlobRef(sha256=INFO.sha256),
        "short": BlobRef(prefix=INFO.blob[:3]),
    }[form]
    answers = [message.claims for _, message in sent(desk.receive(1, flood(5, ref=ref)), Providers)]
    assert answers == ([] if form == "short" else [(claim(INFO, ME), claim(INFO, 2))])


# ---- all together


def ring(count: int, seed: int = 1) -> tuple[Mesh, list[NodeId]]:
    """Nodes of one site, each linked to two neighbours and three random others."""
    mesh = Mesh(seed)
    nodes = [mesh.join(number) for number in range(count)]
    for at, node in enumerate(nodes):
        mesh.link(node, nodes[(at + 1) % count])
        for other in mesh.rng.sample([other for other in nodes if other != node], 3):
            mesh.link(node, other)
    mesh.run(5.0)
    return mesh, nodes


def test_fifty_nodes_find_what_one_of_them_has_by_its_homes() -> None:
    mesh, nodes = ring(50)
    mesh.hold(nodes[17], INFO, 1)
    mesh.run(1.0)
    assert all(mesh.finds(node, INFO.blob) == {nodes[17]} for node in nodes if node != nodes[17])
    assert mesh.count(Flood) == 0
    assert not any(node.misbehaved for node in mesh.nodes.values())


def test_the_flood_finds_it_when_all_homes_vanish_unnoticed() -> None:
    mesh, nodes = ring(50)
    mesh.hold(nodes[17], INFO)
    mesh.run(1.0)
    for home in mesh.nodes[nodes[0]].machine.homes(INFO.blob):
        if home not in (nodes[17], nodes[0]):
            mesh.vanish(home)
    searchers = [node for node in mesh.nodes if node != nodes[17]]
    first, second = 0, 0
    for node in searchers:
        mesh.run(10.0)
        once = mesh.finds(node, INFO.blob) == {nodes[17]}
        first += once
        mesh.run(6.0)
        second += once or mesh.finds(node, INFO.blob) == {nodes[17]}
    assert first >= 0.4 * len(searchers)
    assert second >= 0.9 * len(searchers)
    assert mesh.count(Flood) / len(searchers) <= 39 + 150


def test_a_sha256_is_found_in_a_site_of_fifty() -> None:
    mesh, nodes = ring(50)
    mesh.hold(nodes[17], INFO)
    mesh.run(1.0)
    ref = BlobRef(sha256=INFO.sha256)
    askers = [node for node in nodes if node != nodes[17]]
    for node in askers:
        mesh.resolve(node, ref)
        mesh.run(10.0)
    hits = sum({one.node for one in mesh.nodes[node].resolved[0].claims} == {nodes[17]} for node in askers)
    assert hits >= 0.95 * len(askers)
