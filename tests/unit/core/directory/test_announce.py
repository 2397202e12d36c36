"""What holders tell the homes of their blobs, when, and how often."""

from __future__ import annotations

from random import Random

import pytest

from edgecache.core.directory import Directory, DirectoryConfig
from edgecache.core.vocabulary import (
    EntryChanged,
    HoldingChanged,
    LinkDown,
    LinkUnavailable,
    LinkUp,
    LinkWanted,
    MemberChanged,
    Misbehaved,
    OwnEntriesWanted,
    Started,
)
from edgecache.model.content import BlobInfo
from edgecache.model.ids import NodeId
from edgecache.wire.facts import CAPACITY_KEY, decode_capacity, encode_capacity
from edgecache.wire.limits import CLAIMS_MAX
from edgecache.wire.messages import Announce, Claim, Lookup, MemberStatus, Providers
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


def lone(config: DirectoryConfig | None = None, capacity: int = 1) -> Lone:
    return Lone(Directory(identity(ME, capacity=capacity), config or DirectoryConfig(), Random(7)))


def remote_homes(desk: Lone, info: BlobInfo) -> list[NodeId]:
    return [home for home in desk.machine.homes(info.blob) if home != node_id(ME)]


def test_what_we_hold_is_told_to_each_home_once_after_a_moment() -> None:
    desk = lone()
    desk.meet(1, 2, 3, 4, 5)
    info = blob_info(1)
    assert not sent(desk.hear(HoldingChanged(info, 4)), Announce)
    assert desk.waits("flush") == pytest.approx(0.2)
    announced = sent(desk.fire("flush"), Announce)
    assert sorted(home for home, _ in announced) == sorted(remote_homes(desk, info))
    assert {message for _, message in announced} == {Announce((claim(info, ME),))}


def test_many_blobs_go_in_batches_that_fit_a_message() -> None:
    desk = lone()
    desk.meet(1)
    for number in range(200):
        desk.hear(HoldingChanged(blob_info(number), 4))
    sizes = [len(message.claims) for _, message in sent(desk.fire("flush"), Announce)]
    assert sizes == [CLAIMS_MAX, 200 - CLAIMS_MAX]
    assert desk.machine.cost.claims == 200


def test_the_first_chunk_is_told_soon_and_growth_more_slowly() -> None:
    desk = lone()
    desk.meet(1)
    desk.hear(HoldingChanged(blob_info(1), 1))
    assert desk.waits("flush") == pytest.approx(0.2)
    desk.fire("flush")
    desk.hear(HoldingChanged(blob_info(1), 2))
    assert desk.waits("flush") == pytest.approx(1.0)
    desk.hear(HoldingChanged(blob_info(1), 4))
    assert desk.waits("flush") == pytest.approx(0.2)
    assert [m.claims[0].held for _, m in sent(desk.fire("flush"), Announce)] == [4]


def test_what_has_not_changed_is_not_told() -> None:
    desk = lone()
    desk.meet(1)
    desk.hear(HoldingChanged(blob_info(1), 4))
    desk.fire("flush")
    desk.hear(HoldingChanged(blob_info(1), 4))
    assert desk.waits("flush") is None
    desk.hear(HoldingChanged(blob_info(2), 0))
    assert desk.waits("flush") is None


def test_a_withdrawal_goes_to_those_who_were_told() -> None:
    desk = lone()
    desk.meet(1, 2)
    info = blob_info(1)
    desk.hear(HoldingChanged(info, 4))
    desk.fire("flush")
    desk.hear(HoldingChanged(info, 0))
    withdrawn = sent(desk.fire("flush"), Announce)
    assert sorted(home for home, _ in withdrawn) == [node_id(1), node_id(2)]
    assert {message for _, message in withdrawn} == {Announce((Claim(info.blob, node_id(ME), 0, 4),))}


def test_an_empty_blob_can_be_announced_and_withdrawn() -> None:
    desk, home = lone(), lone()
    desk.meet(1)
    empty = blob_info(1, chunks=0)
    home.meet(ME)
    for held, holders in ((1, [node_id(ME)]), (0, [])):
        desk.hear(HoldingChanged(empty, held))
        ((_, message),) = sent(desk.fire("flush"), Announce)
        other = Lone(Directory(identity(1), DirectoryConfig(), Random(1)))
        other.meet(ME)
        other.receive(ME, Announce((Claim(empty.blob, node_id(ME), 0, 0),)))
        other.receive(ME, message)
        assert other.machine.providers(empty.blob, other.now) == holders


def test_a_withdrawal_overtakes_what_an_unlinked_home_has_not_heard_yet() -> None:
    desk = lone()
    desk.meet(1, linked=False)
    for number in (1, 2):
        desk.hear(HoldingChanged(blob_info(number), 4))
    desk.fire("flush")
    desk.hear(HoldingChanged(blob_info(1), 0))
    ((_, message),) = sent(desk.hear(LinkUp(node_id(1), hello(1), 1, 0.001)), Announce)
    assert message.claims == (claim(blob_info(2), ME), Claim(blob_info(1).blob, node_id(ME), 0, 4))


def test_after_many_changes_the_latest_homes_hear_of_a_withdrawal() -> None:
    desk = lone()
    info = blob_info(1)
    desk.hear(HoldingChanged(info, 4))
    told_to: list[NodeId] = []
    for number in range(1, 500):
        desk.meet(number)
        if desk.waits("rehome") is not None:
            told_to += [home for home, _ in sent(desk.fire("rehome"), Announce)]
    assert len(told_to) > 10
    desk.hear(HoldingChanged(info, 0))
    withdrawn = [home for home, _ in sent(desk.fire("flush"), Announce)]
    assert sorted(withdrawn) == sorted(told_to[-8:])
    assert set(desk.machine.homes(info.blob)) <= set(withdrawn)


def test_what_is_remembered_of_the_gone_and_of_capacities_is_bounded() -> None:
    desk = lone()
    for number in range(1, 3000):
        desk.hear(EntryChanged(node_id(number), CAPACITY_KEY, encode_capacity(2)))
        desk.hear(MemberChanged(peer_info(number), MemberStatus.DEAD))
    around = desk.machine._around
    assert len(around._gone) <= 1024
    assert len(around._weights) <= 2048
    assert not around.usable(node_id(2999))


def test_a_home_without_a_link_gets_one_first() -> None:
    desk = lone()
    desk.meet(1, linked=False)
    desk.hear(HoldingChanged(blob_info(1), 4))
    out = desk.fire("flush")
    assert not sent(out, Announce)
    assert told(out, LinkWanted) == [LinkWanted(node_id(1), peer_info(1))]
    out = desk.hear(LinkUp(node_id(1), hello(1), 1, 0.001))
    assert [home for home, _ in sent(out, Announce)] == [node_id(1)]
    assert not sent(desk.hear(LinkUp(node_id(1), hello(1), 1, 0.001)), Announce)


def test_links_are_asked_for_a_few_at_a_time() -> None:
    desk = lone(DirectoryConfig(wants_max=3))
    desk.meet(*range(1, 21), linked=False)
    for number in range(100):
        desk.hear(HoldingChanged(blob_info(number), 4))
    wanted = [notice.peer for notice in told(desk.fire("flush"), LinkWanted)]
    assert len(wanted) == 3
    (following,) = told(desk.hear(LinkUp(wanted[0], hello(1), 1, 0.001)), LinkWanted)
    assert following.peer not in wanted
    (another,) = told(desk.hear(LinkUnavailable(wanted[1])), LinkWanted)
    assert another.peer not in [*wanted, following.peer]


def test_an_unreachable_home_is_tried_again_ever_more_rarely() -> None:
    desk = lone()
    desk.meet(1, linked=False)
    desk.hear(HoldingChanged(blob_info(1), 4))
    desk.fire("flush")
    pauses = []
    for _ in range(7):
        desk.hear(LinkUnavailable(node_id(1)))
        before = desk.now
        while not told(desk.fire("flush"), LinkWanted):
            pass
        pauses.append(desk.now - before)
    assert 0.75 * 30 <= pauses[0] <= 1.25 * 30
    assert 1.25 * 30 < pauses[2] <= 1.25 * 120
    assert pauses[-1] <= 1.25 * 600


def test_a_home_that_was_reached_is_missed_from_the_start_again() -> None:
    desk = lone()
    desk.meet(1, linked=False)
    for round_ in range(6):
        desk.hear(HoldingChanged(blob_info(round_), 4))
        while not told(desk.fire("flush"), LinkWanted):
            pass
        desk.hear(LinkUnavailable(node_id(1)))
    desk.hear(LinkUp(node_id(1), hello(1), 1, 0.001))
    desk.hear(LinkDown(node_id(1), planned=True))
    desk.hear(HoldingChanged(blob_info(9), 4))
    assert told(desk.fire("flush"), LinkWanted)


def test_a_link_of_which_nothing_is_heard_counts_as_unavailable() -> None:
    desk = lone(DirectoryConfig(wants_max=1))
    desk.meet(1, 2, linked=False)
    desk.hear(HoldingChanged(blob_info(1), 4))
    (first,) = told(desk.fire("flush"), LinkWanted)
    (second,) = told(desk.fire("flush"), LinkWanted)
    assert desk.now == pytest.approx(100.0 + 0.2 + 15.0)
    assert first.peer != second.peer


def test_a_newcomer_that_becomes_home_is_told_within_the_spread() -> None:
    desk = lone()
    desk.meet(1, 2)
    for number in range(50):
        desk.hear(HoldingChanged(blob_info(number), 4))
    desk.fire("flush")
    desk.meet(3)
    homes_of = [n for n in range(50) if node_id(3) in desk.machine.homes(blob_info(n).blob)]
    waits = desk.waits("rehome")
    assert waits is not None
    assert 0 <= waits <= 3.0
    ((home, message),) = sent(desk.fire("rehome"), Announce)
    assert home == node_id(3)
    assert [one.blob for one in message.claims] == [blob_info(n).blob for n in homes_of]
    assert 0 < len(homes_of) < 50


def test_when_a_home_dies_the_next_in_rank_is_told_and_only_it() -> None:
    desk = lone()
    desk.meet(*range(1, 7))
    info = blob_info(1)
    desk.hear(HoldingChanged(info, 4))
    desk.fire("flush")
    before = desk.machine.homes(info.blob)
    dead = next(home for home in before if home != node_id(ME))
    number = next(n for n in range(1, 7) if node_id(n) == dead)
    desk.hear(LinkDown(dead, planned=False))
    desk.hear(MemberChanged(peer_info(number), MemberStatus.SUSPECT))
    assert desk.waits("rehome") is None
    assert desk.machine.homes(info.blob) == before
    desk.hear(MemberChanged(peer_info(number), MemberStatus.DEAD))
    (new,) = [home for home in desk.machine.homes(info.blob) if home not in before]
    assert [home for home, _ in sent(desk.fire("rehome"), Announce)] == ([new] if new != node_id(ME) else [])


@pytest.mark.parametrize("how", ["epoch", "incarnation", "death"])
def test_a_home_that_may_have_forgotten_is_told_again(how: str) -> None:
    desk = lone()
    desk.meet(1)
    desk.hear(HoldingChanged(blob_info(1), 4))
    desk.fire("flush")
    if how == "epoch":
        desk.hear(LinkDown(node_id(1), planned=True))
        desk.hear(LinkUp(node_id(1), hello(1, epoch=2), 1, 0.001))
    elif how == "incarnation":
        desk.hear(MemberChanged(peer_info(1, incarnation=1), MemberStatus.ALIVE))
    else:
        desk.hear(MemberChanged(peer_info(1), MemberStatus.DEAD))
        desk.hear(MemberChanged(peer_info(1, incarnation=1), MemberStatus.ALIVE))
    assert [home for home, _ in sent(desk.fire("rehome"), Announce)] == [node_id(1)]


def test_a_home_met_again_in_the_same_boot_is_not() -> None:
    desk = lone()
    desk.meet(1)
    desk.hear(HoldingChanged(blob_info(1), 4))
    desk.fire("flush")
    desk.hear(LinkDown(node_id(1), planned=True))
    desk.hear(LinkUp(node_id(1), hello(1), 1, 0.001))
    desk.hear(MemberChanged(peer_info(1), MemberStatus.ALIVE))
    assert desk.waits("rehome") is None


def test_members_of_other_sites_are_no_homes() -> None:
    desk = lone()
    desk.meet(1, 2, 3, site="away")
    desk.hear(HoldingChanged(blob_info(1), 4))
    assert desk.machine.homes(blob_info(1).blob) == (node_id(ME),)
    assert not sent(desk.fire("flush"), Announce)
    desk.meet(1)
    assert node_id(1) in desk.machine.homes(blob_info(1).blob)
    desk.meet(1, site="away")
    assert node_id(1) not in desk.machine.homes(blob_info(1).blob)


def test_capacities_are_told_and_weigh() -> None:
    desk = lone(DirectoryConfig(homes=1, weight_max=8), capacity=4)
    (wish,) = told(desk.hear(Started()), OwnEntriesWanted)
    value = wish.entries[CAPACITY_KEY]
    assert value is not None
    assert decode_capacity(value) == 4
    desk.meet(1)
    count = 400

    def share() -> float:
        return sum(desk.machine.homes(blob_info(n).blob) == (node_id(1),) for n in range(count)) / count

    assert share() == pytest.approx(1 / 5, abs=0.06)
    desk.hear(EntryChanged(node_id(1), CAPACITY_KEY, encode_capacity(4)))
    assert share() == pytest.approx(4 / 8, abs=0.08)
    desk.hear(EntryChanged(node_id(1), CAPACITY_KEY, encode_capacity(1_000_000)))
    assert share() == pytest.approx(8 / 12, abs=0.08)
    for value in (b"nonsense", None):
        desk.hear(EntryChanged(node_id(1), CAPACITY_KEY, encode_capacity(4)))
        desk.hear(EntryChanged(node_id(1), CAPACITY_KEY, value))
        assert share() == pytest.approx(1 / 5, abs=0.06)
    desk.hear(EntryChanged(node_id(1), "n/other", encode_capacity(8)))
    desk.hear(EntryChanged(node_id(ME), CAPACITY_KEY, encode_capacity(1)))
    assert share() == pytest.approx(1 / 5, abs=0.06)


def test_holders_tell_those_who_became_homes_by_weight() -> None:
    desk = lone(DirectoryConfig(homes=1), capacity=8)
    desk.meet(1, 2)
    for number in range(60):
        desk.hear(HoldingChanged(blob_info(number), 4))
    before = {m.blob for _, message in sent(desk.fire("flush"), Announce) for m in message.claims}
    desk.hear(EntryChanged(node_id(1), CAPACITY_KEY, encode_capacity(64)))
    ((home, message),) = sent(desk.fire("rehome"), Announce)
    assert home == node_id(1)
    assert len(message.claims) > 30
    desk.hear(EntryChanged(node_id(1), CAPACITY_KEY, encode_capacity(1)))
    after = {m.blob for _, message in sent(desk.fire("rehome"), Announce) for m in message.claims}
    assert after <= before


def test_a_capacity_may_be_known_before_its_node() -> None:
    desk = lone(DirectoryConfig(homes=1))
    desk.hear(EntryChanged(node_id(1), CAPACITY_KEY, encode_capacity(64)))
    desk.meet(1)
    mine = sum(desk.machine.homes(blob_info(n).blob) == (node_id(ME),) for n in range(200))
    assert mine < 12


def test_repetition_keeps_to_its_budget_in_a_large_site() -> None:
    config = DirectoryConfig()
    desk = lone(config)
    desk.meet(*range(1, 9))
    desk.meet(*range(9, 50), linked=False)
    for number in range(300):
        desk.hear(HoldingChanged(blob_info(number), 4))
    desk.fire("flush")
    assert desk.waits("refresh") == pytest.approx(config.refresh_min, rel=0.11)
    desk.fire("refresh")
    interval = desk.waits("refresh")
    assert interval is not None
    assert config.refresh_min < interval < config.refresh_max
    claims, links = 300 * 3, 41
    assert (claims * config.claim_bytes + links * config.link_bytes) / interval <= 1.15 * config.refresh_rate


def test_repetition_renews_every_record_before_it_lapses() -> None:
    mesh = Mesh()
    one, two = mesh.join(1), mesh.join(2)
    mesh.hold(one, blob_info(1))
    mesh.run(3 * mesh.config.record_ttl)
    assert mesh.recorded(blob_info(1).blob) == {two: [one]}
    assert mesh.count(Announce) < 3 * mesh.config.record_ttl / mesh.config.refresh_min * 1.2


def test_records_lapse_when_they_are_not_repeated() -> None:
    desk = lone()
    desk.hear(Started())
    desk.meet(1)
    desk.receive(1, Announce((claim(blob_info(1), 1),)))
    assert desk.machine.records == 1
    desk.now += 6001
    assert not desk.machine.providers(blob_info(1).blob, desk.now)
    desk.fire("expire")
    assert desk.machine.records == 0


def test_only_the_holder_speaks_for_itself() -> None:
    desk = lone()
    desk.meet(1, 2)
    info = blob_info(1)
    for bad in (claim(info, 2), Claim(info.blob, node_id(1), 5, 4), Claim(info.blob, node_id(1), -1, 4)):
        out = desk.receive(1, Announce((claim(blob_info(2), 1), bad)))
        assert [(n.peer, n.weight) for n in told(out, Misbehaved)] == [(node_id(1), 1)]
    assert desk.machine.records == 0


def test_the_dead_are_not_told_of_but_may_come_back() -> None:
    desk = lone()
    desk.hear(Started())
    desk.meet(1)
    info = blob_info(1)
    desk.receive(1, Announce((claim(info, 1),)))
    desk.hear(MemberChanged(peer_info(1), MemberStatus.DEAD))
    assert not desk.machine.providers(info.blob, desk.now)
    desk.hear(MemberChanged(peer_info(1, incarnation=1), MemberStatus.ALIVE))
    assert desk.machine.providers(info.blob, desk.now) == [node_id(1)]
    desk.hear(MemberChanged(peer_info(1, incarnation=1), MemberStatus.DEAD))
    desk.now += 301
    desk.fire("expire")
    assert desk.machine.records == 0


def test_records_of_those_who_left_go_at_once() -> None:
    desk = lone()
    desk.meet(1)
    desk.receive(1, Announce((claim(blob_info(1), 1),)))
    desk.hear(MemberChanged(peer_info(1), MemberStatus.LEFT))
    assert desk.machine.records == 0


def test_records_of_an_earlier_boot_go_when_the_next_is_met() -> None:
    desk = lone()
    desk.meet(1)
    desk.receive(1, Announce((claim(blob_info(1), 1),)))
    desk.hear(LinkDown(node_id(1), planned=False))
    desk.hear(LinkUp(node_id(1), hello(1), 1, 0.001))
    assert desk.machine.records == 1
    desk.hear(LinkUp(node_id(1), hello(1, epoch=2), 1, 0.001))
    assert desk.machine.records == 0


def test_every_table_that_announcers_fill_is_bounded() -> None:
    config = DirectoryConfig(blobs_max=20, records_max=40, claims_per_blob=3, claims_per_node=8)
    desk = lone(config)
    desk.meet(*range(1, 30))
    for number in range(1, 30):
        desk.receive(number, Announce(tuple(claim(blob_info(n), number) for n in range(50))))
    assert desk.machine.records <= 40
    per_blob = [len(desk.machine.providers(blob_info(n).blob, desk.now)) for n in range(50)]
    assert max(per_blob) == 3
    assert sum(count > 0 for count in per_blob) <= 20
    mine = [n for n in range(50) if node_id(1) in desk.machine.providers(blob_info(n).blob, desk.now)]
    assert len(mine) == 8


def test_lookups_are_answered_with_claims_and_addresses() -> None:
    desk = lone()
    desk.meet(1, 2)
    info = blob_info(1)
    desk.hear(HoldingChanged(info, 2))
    desk.receive(1, Announce((claim(info, 1, 3),)))
    ((to, answer),) = sent(desk.receive(2, Lookup(9, info.blob)), Providers)
    assert to == node_id(2)
    assert answer == Providers(9, (claim(info, ME, 2), claim(info, 1, 3)), (peer_info(1),))
    ((_, answer),) = sent(desk.receive(1, Lookup(10, info.blob)), Providers)
    assert answer.claims == (claim(info, ME, 2),)
    ((_, answer),) = sent(desk.receive(1, Lookup(11, blob_info(2).blob)), Providers)
    assert answer == Providers(11, ())


def test_answers_fit_a_message_and_spread_the_load() -> None:
    desk = lone()
    desk.meet(*range(1, 101))
    info = blob_info(1)
    for number in range(1, 101):
        desk.receive(number, Announce((claim(info, number),)))
    ((_, first),) = sent(desk.receive(1, Lookup(1, info.blob)), Providers)
    ((_, second),) = sent(desk.receive(1, Lookup(2, info.blob)), Providers)
    assert 60 < len(first.claims) <= 64
    assert len(first.peers) == 16
    assert first.claims != second.claims


def test_lookups_have_a_budget() -> None:
    desk = lone(DirectoryConfig(lookup_rate=1.0, lookup_burst=5.0))
    desk.meet(1, 2)

    def answered(number: int) -> int:
        return sum(len(sent(desk.receive(number, Lookup(n, blob_info(n).blob)), Providers)) for n in range(20))

    assert answered(1) == 5
    assert answered(2) == 5
    desk.now += 3.0
    assert answered(1) == 3
    assert desk.machine.cost.refused == 15 + 15 + 17
