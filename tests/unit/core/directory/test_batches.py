"""Many blobs: asked for and answered together, repeated in one message, in portions that hold up nobody."""

from __future__ import annotations

from edgecache.core.directory import DirectoryConfig
from edgecache.core.directory.records import summary_of
from edgecache.core.vocabulary import HoldingChanged, LinkDown, Outbox, ProvidersFound, ProvidersUnwanted
from edgecache.core.vocabulary import ProvidersWanted as Wanted
from edgecache.model.content import BlobInfo
from edgecache.model.ids import NodeId
from edgecache.wire.limits import CLAIMS_MAX, LOOKUPS_MAX, PROVIDERS_MAX
from edgecache.wire.messages import BATCHES, Announce, Claim, Flood, Lookup, Providers
from tests.unit.core.directory.mesh import Lone, Mesh, blob_info, claim, node_id, sent, told
from tests.unit.core.directory.talk import ME, finals, found, lone, number_of


def small(number: int) -> BlobInfo:
    return blob_info(number, chunks=1)


def holders(desk: Lone, count: int) -> list[BlobInfo]:
    infos = [small(number) for number in range(count)]
    for info in infos:
        desk.hear(HoldingChanged(info, 1))
    return infos


def blobs_of(lookup: Lookup) -> list[str]:
    return [lookup.blob, *lookup.others]


def whole(info: BlobInfo, number: int) -> Claim:
    return claim(info, number, held=info.chunks)


def asked(out: Outbox, number: int = 1) -> list[Lookup]:
    return [lookup for peer, lookup in sent(out, Lookup) if peer == node_id(number)]


# ---- lookups


def test_a_few_searches_ask_at_once_and_more_together() -> None:
    desk = lone(DirectoryConfig(gather_above=2))
    desk.meet(1, batching=True)
    outs = [desk.hear(Wanted(small(number).blob)) for number in range(5)]
    assert [len(asked(out)) for out in outs] == [1, 1, 0, 0, 0]
    (lookup,) = asked(desk.fire("gathered"))
    assert blobs_of(lookup) == [small(number).blob for number in range(2, 5)]


def test_nodes_that_do_not_know_of_it_are_asked_for_each() -> None:
    desk = lone(DirectoryConfig(gather_above=0))
    desk.meet(1)
    for number in range(5):
        (lookup,) = asked(desk.hear(Wanted(small(number).blob)))
        assert not lookup.others


def test_lookups_of_thousands_are_within_their_bounds() -> None:
    desk = lone(DirectoryConfig(gather_above=0))
    desk.meet(1, batching=True)
    for number in range(300):
        desk.hear(Wanted(small(number).blob))
    lookups = asked(desk.fire("gathered"))
    assert [len(blobs_of(lookup)) for lookup in lookups] == [LOOKUPS_MAX, LOOKUPS_MAX, 300 - 2 * LOOKUPS_MAX]


def test_an_answer_in_parts_ends_the_searches_with_its_last() -> None:
    desk = lone(DirectoryConfig(gather_above=0))
    desk.meet(1, 2, batching=True)
    infos = [small(number) for number in range(3)]
    for info in infos:
        desk.hear(Wanted(info.blob))
    out = desk.fire("gathered")
    first, second = asked(out, 1)[0], asked(out, 2)[0]
    desk.receive(2, Providers(second.query, ()))
    out = desk.receive(1, Providers(first.query, (whole(infos[0], 5),), unfinished=True))
    assert [one.blob for one in found(out)] == [infos[0].blob]
    assert True not in finals(out)
    out = desk.receive(1, Providers(first.query, (whole(infos[1], 6),)))
    assert [one.node for one in found(out)] == [node_id(6)]
    assert sum(finals(out)) == 2, "two are found, and for the third a flood is under way"
    assert {flood.ref.blob for _, flood in sent(out, Flood)} == {infos[2].blob}


def test_claims_for_other_blobs_and_answers_of_others_change_nothing() -> None:
    desk = lone(DirectoryConfig(gather_above=0))
    desk.meet(1, 2, batching=True)
    desk.hear(Wanted(small(1).blob))
    desk.hear(Wanted(small(2).blob))
    out = desk.fire("gathered")
    query = asked(out, 1)[0].query
    assert not told(desk.receive(2, Providers(query, (whole(small(1), 5),))), ProvidersFound)
    assert not found(desk.receive(1, Providers(query, (whole(small(9), 5),), unfinished=True)))


def test_searches_that_end_otherwise_leave_no_trace_of_their_lookups() -> None:
    desk = lone(DirectoryConfig(gather_above=0))
    desk.meet(1, batching=True)
    for number in range(4):
        desk.hear(Wanted(small(number).blob))
    desk.fire("gathered")
    for number in range(4):
        desk.hear(ProvidersUnwanted(small(number).blob))
    searches = desk.machine._searches
    tables = (searches._batches, searches._by_query, searches._searches, searches._gathered)
    assert [len(table) for table in tables] == [0] * 4


def test_a_home_that_goes_before_the_lookups_go_out_is_not_waited_for() -> None:
    desk = lone(DirectoryConfig(gather_above=0))
    desk.meet(1, 2, batching=True)
    desk.hear(Wanted(small(1).blob))
    desk.hear(LinkDown(node_id(1), planned=False))
    out = desk.fire("gathered")
    assert [len(asked(out, number)) for number in (1, 2)] == [0, 1]


def test_a_home_answers_many_in_messages_that_fit() -> None:
    desk = lone()
    desk.meet(1, 2, 3, 4, 5, 6, batching=True)
    infos = [small(number) for number in range(100)]
    for number in (1, 2, 3, 4, 5):
        desk.receive(number, Announce(tuple(whole(info, number) for info in infos)))
    out = desk.receive(6, Lookup(77, infos[0].blob, tuple(info.blob for info in infos[1:])))
    answers = [message for peer, message in sent(out, Providers) if peer == node_id(6)]
    assert all(message.query == 77 and len(message.claims) <= PROVIDERS_MAX for message in answers)
    assert [message.unfinished for message in answers] == [True] * (len(answers) - 1) + [False]
    named: dict[str, int] = {}
    for message in answers:
        for one in message.claims:
            named[one.blob] = named.get(one.blob, 0) + 1
    assert named == {info.blob: DirectoryConfig().claims_per_lookup for info in infos}


def test_whole_holders_are_named_before_others_and_the_asker_not_at_all() -> None:
    desk = lone(DirectoryConfig(claims_per_lookup=2))
    desk.meet(1, 2, 3, 4, batching=True)
    info, other = blob_info(1), small(2)
    for number, held in ((1, 1), (2, 4), (3, 2), (4, 4)):
        desk.receive(number, Announce((claim(info, number, held),)))
    (answer,) = sent(desk.receive(4, Lookup(5, info.blob, (other.blob,))), Providers)
    assert node_id(2) in [one.node for one in answer[1].claims]
    assert node_id(4) not in [one.node for one in answer[1].claims]


def test_lookups_of_many_have_a_budget_too() -> None:
    desk = lone(DirectoryConfig(lookup_burst=20.0))
    desk.meet(1, batching=True)
    others = tuple(small(number).blob for number in range(1, LOOKUPS_MAX))
    answered = [bool(sent(desk.receive(1, Lookup(query, small(0).blob, others)), Providers)) for query in range(4)]
    assert answered == [True, True, False, False]


def test_a_home_that_knows_a_whole_holder_asks_nobody_for_one_of_many() -> None:
    desk = lone()
    desk.meet(1, 2, batching=True)
    desk.receive(1, Announce((whole(small(1), 1), claim(blob_info(2), 1, 2))))
    out = desk.hear(Wanted(small(1).blob, any_whole=True))
    assert (finals(out), [one.node for one in found(out)], sent(out, Lookup)) == ([True], [node_id(1)], [])
    assert sent(desk.hear(Wanted(blob_info(2).blob, any_whole=True)), Lookup), "a part is not enough"


# ---- announcements and repetition


def test_thousands_are_announced_in_portions() -> None:
    config = DirectoryConfig(announces_at_once=2)
    desk = lone(config)
    desk.meet(1, batching=True)
    infos = holders(desk, 600)
    portions: list[int] = []
    while not portions or sum(portions) < len(infos):
        announces = sent(desk.fire("flush"), Announce)
        assert len(announces) <= config.announces_at_once
        assert all(len(message.claims) <= CLAIMS_MAX for _, message in announces)
        portions.append(sum(len(message.claims) for _, message in announces))
    assert portions == [256, 256, 88]
    assert "flush" not in [key.name for key in desk.timers]


def refreshed(desk: Lone) -> list[tuple[int, Announce]]:
    return [(number_of(peer), message) for peer, message in sent(desk.fire("refresh"), Announce)]


def test_a_repetition_is_one_small_message() -> None:
    desk = lone()
    desk.meet(1, 2, batching=True)
    infos = holders(desk, 300)
    while desk.waits("flush") is not None:
        desk.fire("flush")
    expected = summary_of(Claim(info.blob, node_id(ME), 1, 1) for info in infos)
    said = refreshed(desk)
    assert sorted(number for number, _ in said) == [1, 2]
    assert all((message.claims, message.summary) == ((), expected) for _, message in said)


def test_older_nodes_hear_everything_again() -> None:
    desk = lone()
    desk.meet(1)
    holders(desk, 3)
    desk.fire("flush")
    ((_, message),) = refreshed(desk)
    assert (len(message.claims), message.summary) == (3, None)


def test_who_has_something_else_than_the_summary_says_is_told_everything_once() -> None:
    desk = lone()
    desk.meet(1, batching=True)
    holders(desk, 3)
    desk.fire("flush")
    assert not sent(desk.receive(1, Announce((), again=True)), Announce), "nobody asked for that"
    refreshed(desk)
    ((_, message),) = sent(desk.receive(1, Announce((), again=True)), Announce)
    assert len(message.claims) == 3
    assert not sent(desk.receive(1, Announce((), again=True)), Announce)


def test_a_summary_renews_what_it_names() -> None:
    desk = lone()
    desk.meet(1, batching=True)
    claims = tuple(whole(small(number), 1) for number in range(3))
    desk.receive(1, Announce(claims))
    desk.now += desk.machine._config.record_ttl - 1
    assert not sent(desk.receive(1, Announce((), summary_of(claims))), Announce)
    desk.now += desk.machine._config.record_ttl - 1
    assert desk.machine.providers(small(0).blob, desk.now) == [node_id(1)]


def test_a_summary_of_something_else_renews_nothing_and_is_asked_about() -> None:
    desk = lone()
    desk.meet(1, batching=True)
    claims = tuple(whole(small(number), 1) for number in range(3))
    desk.receive(1, Announce(claims[:2]))
    desk.now += desk.machine._config.record_ttl - 1
    ((peer, message),) = sent(desk.receive(1, Announce((), summary_of(claims))), Announce)
    assert (peer, message) == (node_id(1), Announce((), again=True))
    desk.now += 2
    assert desk.machine.providers(small(0).blob, desk.now) == []


def test_summaries_have_a_budget() -> None:
    desk = lone(DirectoryConfig(summary_burst=2.0))
    desk.meet(1, batching=True)
    other = summary_of((whole(small(1), 1),))
    answers = [len(sent(desk.receive(1, Announce((), other)), Announce)) for _ in range(4)]
    assert answers == [1, 1, 0, 0]


def test_a_site_with_thousands_of_blobs_is_nearly_silent() -> None:
    config = DirectoryConfig(refresh_max=600.0, record_ttl=1500.0)
    mesh = Mesh(config=config, features=frozenset({BATCHES}))
    nodes: list[NodeId] = [mesh.join(number) for number in range(4)]
    for one in nodes:
        for two in nodes:
            if one != two:
                mesh.link(one, two)
    infos = [small(number) for number in range(500)]
    for node in nodes:
        for info in infos:
            mesh.hold(node, info)
    mesh.run(60.0)
    before = len(mesh.messages)
    mesh.run(4000.0)
    later = [message for _, _, message in mesh.messages[before:]]
    assert 12 <= len(later) <= 450
    assert not any(isinstance(message, Announce) and message.claims for message in later)
    assert all(len(mesh.recorded(info.blob)) >= 2 for info in infos[::50])
    assert mesh.finds(nodes[0], infos[0].blob) == set(nodes[1:])
