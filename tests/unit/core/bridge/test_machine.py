"""Who bridges: conversations among the machines of one site."""

from __future__ import annotations

from random import Random

import pytest

from edgecache.core import vocabulary as v
from edgecache.core.bridge import Bridge, BridgeConfig
from edgecache.core.bridge.election import Candidate, holder, place, seniority
from edgecache.model.peer import PeerInfo
from edgecache.wire.facts import MQTT_KEY, TERM_MAX, BridgeFact, decode_bridge, encode_bridge
from edgecache.wire.messages import MemberStatus
from tests.unit.core.bridge.site import HOME, Site, by_rank, identity, node_id


def started(count: int = 5) -> Site:
    """A site that has its bridge: the senior."""
    site = Site(count)
    site.broker(site.nodes)
    site.run(10.0)
    assert site.bridges == {site.nodes[0]: 1}
    return site


def test_the_senior_bridges_after_it_could_have_heard_of_another() -> None:
    site = started()
    assert site.started() == [site.nodes[0]]
    at = site.history[0][0] - 100.0
    assert site.config.settle <= at <= site.config.settle + site.config.claim_jitter
    assert {one.machine.holder(site.now) for one in site.members.values()} == {site.nodes[0]}


def test_only_who_reaches_the_broker_is_a_candidate() -> None:
    site = Site(5)
    site.run(20.0)
    assert not site.history
    site.broker(site.nodes[3:])
    site.run(20.0)
    assert site.started() == [site.nodes[3]]


def test_a_more_senior_candidate_does_not_take_over() -> None:
    site = Site(3)
    site.broker(site.nodes[2:])
    site.run(10.0)
    site.broker(site.nodes)
    site.run(60.0)
    assert site.started() == [site.nodes[2]]


def test_a_killed_bridge_is_followed_by_the_next_within_the_promise() -> None:
    site = started()
    before = site.now
    site.kill(site.nodes[0])
    site.run(30.0)
    assert site.bridges == {site.nodes[1]: 2}
    detection = 7.5
    assert site.history[-1][0] - before + detection < 11.0


def test_when_the_next_does_not_take_its_turn_the_one_after_does() -> None:
    site = started()
    next_in_rank = site.nodes[1]
    site.kill(site.nodes[0])
    del site.members[next_in_rank]
    site.run(30.0)
    assert site.bridges == {site.nodes[2]: 2}


def test_more_accusers_do_not_prolong_the_grace() -> None:
    site = started()
    before = site.now
    site.kill(site.nodes[0])
    for _ in range(6):
        site.run(0.5)
        site.everybody_told(site.nodes[0], MemberStatus.SUSPECT)
    assert site.bridges == {site.nodes[1]: 2}
    assert site.history[-1][0] - before <= site.config.suspect_grace + site.config.claim_jitter


@pytest.mark.parametrize("status", [MemberStatus.DEAD, MemberStatus.LEFT])
def test_who_is_surely_gone_is_not_waited_for(status: MemberStatus) -> None:
    site = started()
    before = site.now
    del site.members[site.nodes[0]]
    site.everybody_told(site.nodes[0], status)
    site.run(30.0)
    assert site.bridges == {site.nodes[1]: 2}
    assert site.history[-1][0] - before <= site.config.claim_jitter


def test_a_hiccup_does_not_move_the_bridge() -> None:
    site = started()
    for _ in range(5):
        site.everybody_told(site.nodes[0], MemberStatus.SUSPECT)
        site.run(1.0)
        site.everybody_told(site.nodes[0], MemberStatus.SUSPECT)
        site.run(0.8)
        site.everybody_told(site.nodes[0], MemberStatus.ALIVE)
        site.run(3.0)
    assert site.started() == [site.nodes[0]]


def test_a_flapping_bridge_is_replaced_once() -> None:
    site = started()
    for _ in range(5):
        site.everybody_told(site.nodes[0], MemberStatus.SUSPECT)
        site.run(5.0)
        site.everybody_told(site.nodes[0], MemberStatus.ALIVE)
        site.run(5.0)
    assert site.started() == site.nodes[:2]
    assert site.bridges == {site.nodes[1]: 2}


def test_a_broker_restart_leaves_the_bridge_where_it_is() -> None:
    site = started()
    for delay, node in enumerate(reversed(site.nodes)):
        site.broker([node], reachable=False)
        site.run(0.3 * delay)
    site.run(120.0)
    for node in reversed(site.nodes):
        site.broker([node], term=1)
        site.run(1.0)
    site.run(60.0)
    assert site.started() == [site.nodes[0]]
    assert site.bridges == {site.nodes[0]: 1}


def test_a_bridge_that_alone_loses_the_broker_steps_back_after_a_while() -> None:
    site = started()
    before = site.now
    site.broker([site.nodes[0]], reachable=False)
    site.run(site.config.broker_grace - 0.1)
    assert site.bridges == {site.nodes[0]: 1}
    site.run(10.0)
    assert site.bridges == {site.nodes[1]: 2}
    assert site.history[-1][0] - before < site.config.broker_grace + 1.0
    assert site.members[site.nodes[0]].fact is None
    site.broker([site.nodes[0]], term=2)
    site.run(60.0)
    assert site.bridges == {site.nodes[1]: 2}


def test_a_short_loss_of_the_broker_changes_nothing() -> None:
    site = started()
    for _ in range(4):
        site.broker([site.nodes[0]], reachable=False)
        site.run(5.0)
        site.broker([site.nodes[0]], term=1)
        site.run(2.0)
    assert site.started() == [site.nodes[0]]


def test_a_standby_that_loses_the_broker_is_no_candidate() -> None:
    site = started()
    site.broker([site.nodes[1]], reachable=False)
    site.run(1.0)
    assert site.members[site.nodes[1]].fact is None
    site.kill(site.nodes[0])
    site.run(30.0)
    assert site.bridges == {site.nodes[2]: 2}


def test_both_halves_of_a_split_bridge_and_the_higher_term_stays_after_it() -> None:
    site = started()
    left, right = [site.nodes[0], site.nodes[3]], [site.nodes[1], site.nodes[2], site.nodes[4]]
    site.split(left, right)
    site.run(30.0)
    assert site.bridges == {site.nodes[0]: 1, site.nodes[1]: 2}
    site.heal()
    site.run(30.0)
    assert site.bridges == {site.nodes[1]: 2}
    assert site.started() == site.nodes[:2]


def test_a_cut_off_bridge_steps_back_when_it_returns() -> None:
    site = started()
    site.split(site.nodes[:1], site.nodes[1:])
    site.broker(site.nodes[:1], reachable=False)
    site.run(60.0)
    assert site.bridges == {site.nodes[0]: 1, site.nodes[1]: 2}
    site.heal()
    site.broker(site.nodes[:1], term=2)
    site.run(30.0)
    assert site.bridges == {site.nodes[1]: 2}
    assert len(site.started()) == 2


def test_two_claims_with_one_term_leave_the_senior() -> None:
    site = Site(2)
    site.split(site.nodes[:1], site.nodes[1:])
    site.broker(site.nodes)
    site.run(10.0)
    assert sorted(site.bridges.values()) == [1, 1]
    site.heal()
    site.run(10.0)
    assert site.bridges == {site.nodes[0]: 1}


def test_the_fenced_bridge_stops_and_a_new_one_uses_a_higher_term() -> None:
    site = started()
    site.hear(site.nodes[0], v.BridgeFenced(5))
    assert site.bridges == {}
    site.run(60.0)
    assert site.bridges == {site.nodes[1]: 2} or max(site.bridges.values()) == 6
    site.broker([next(iter(site.bridges))], term=7)
    assert site.bridges == {}
    site.run(60.0)
    assert len(site.bridges) == 1


def test_a_lonely_bridge_that_is_fenced_again_and_again_gets_slower() -> None:
    site = Site(1)
    site.broker(site.nodes)
    pauses = []
    for round_ in range(8):
        site.run(100.0)
        fenced = site.now
        site.hear(site.nodes[0], v.BridgeFenced(10 * round_ + 10))
        assert site.bridges == {}
        while not site.bridges:
            site.run(0.5)
        pauses.append(site.now - fenced)
        site.hear(site.nodes[0], v.BridgeFenced(10 * round_ + 15))
        while not site.bridges:
            site.run(0.5)
    quick = site.config.fence_backoff * 1.5 + 1
    assert all(pause <= quick for pause in pauses), "a stable term ends the doubling"
    later = []
    for round_ in range(8):
        fenced = site.now
        site.hear(site.nodes[0], v.BridgeFenced(1000 + round_))
        while not site.bridges:
            site.run(0.5)
        later.append(site.now - fenced)
    assert later[-1] >= site.config.fence_backoff_max
    assert later[-1] <= site.config.fence_backoff_max * 1.5 + 1


def test_being_fenced_as_a_standby_only_teaches_the_term() -> None:
    site = started()
    site.hear(site.nodes[1], v.BridgeFenced(9))
    site.kill(site.nodes[0])
    site.run(30.0)
    assert site.bridges == {site.nodes[1]: 10}


def test_a_new_term_is_higher_than_what_the_broker_remembers() -> None:
    site = Site(2)
    site.broker(site.nodes, term=41)
    site.run(10.0)
    assert site.bridges == {site.nodes[0]: 42}


def test_a_term_that_appears_at_the_broker_holds_a_claim_back() -> None:
    site = Site(1)
    site.broker(site.nodes)
    site.run(site.config.settle - 0.1)
    site.broker(site.nodes, term=3)
    site.run(0.1)
    assert not site.history
    site.run(2.0)
    assert site.bridges == {site.nodes[0]: 4}


def test_a_claim_seen_at_the_broker_before_its_fact_is_waited_for() -> None:
    site = started()
    third = site.nodes[2]
    del site.members[site.nodes[1]]
    site.kill(site.nodes[0])
    site.run(site.config.suspect_grace + 1.4)
    before = site.now
    site.broker([third], term=2)
    site.run(1.4)
    assert site.bridges == {}
    site.run(1.0)
    assert site.bridges == {third: 3}
    assert site.history[-1][0] - before >= site.config.claim_step


def test_seeing_another_bridge_ends_the_doubling() -> None:
    site = Site(2)
    senior, junior = site.nodes
    site.broker([senior])
    for fence in range(10, 16):
        while not site.bridges:
            site.run(0.5)
        site.hear(senior, v.BridgeFenced(fence))
    site.broker([junior], term=20)
    site.run(20.0)
    assert site.bridges == {junior: 21}
    site.kill(junior)
    while not site.bridges:
        site.run(0.5)
    fenced = site.now
    site.hear(senior, v.BridgeFenced(30))
    while not site.bridges:
        site.run(0.5)
    assert site.now - fenced <= site.config.fence_backoff * 1.5 + 1


def test_a_bridge_that_restarts_quickly_is_replaced_without_suspicion() -> None:
    site = started()
    senior = site.nodes[0]
    del site.members[senior]
    site.restart(senior)
    site.run(20.0)
    assert site.bridges == {site.nodes[1]: 2}
    site.broker([senior], term=2)
    site.run(30.0)
    assert site.bridges == {site.nodes[1]: 2}


def test_shutdown_hands_over_in_an_orderly_way() -> None:
    site = started()
    site.hear(site.nodes[0], v.ShutdownWanted())
    assert site.bridges == {}
    assert site.members[site.nodes[0]].fact is None
    site.hear(site.nodes[0], v.BrokerChanged(True, 1))
    site.run(20.0)
    assert site.bridges == {site.nodes[1]: 2}
    site.hear(site.nodes[4], v.ShutdownWanted())
    assert site.bridges == {site.nodes[1]: 2}


def test_who_sees_a_claim_at_the_broker_waits_for_the_fact_of_it() -> None:
    decide = v.TimerFired(v.TimerKey(v.MachineName.BRIDGE, "decide"))
    for seed in range(20):
        machine, config = Bridge(identity(node_id(1)), BridgeConfig(), Random(seed)), BridgeConfig()
        machine.handle(v.BrokerChanged(True), 0.0, v.Outbox())
        machine.handle(v.BrokerChanged(True, 2), 10.0, v.Outbox())
        machine.handle(decide, 10.0 + 0.9 * config.claim_step, v.Outbox())
        assert machine.term is None, "its fact may still be on the way"
        machine.handle(decide, 10.0 + config.claim_step + config.claim_jitter, v.Outbox())
        assert machine.term == 3, "it never came"


def test_other_sites_have_their_own_bridge() -> None:
    machine = Bridge(identity(node_id(1)), BridgeConfig(), Random(1))
    out = v.Outbox()
    machine.handle(v.MemberChanged(PeerInfo(node_id(2), (), "away"), MemberStatus.ALIVE), 0.0, out)
    machine.handle(v.EntryChanged(node_id(2), MQTT_KEY, encode_bridge(BridgeFact(7, True))), 0.0, out)
    machine.handle(v.BrokerChanged(True), 0.0, out)
    machine.handle(v.TimerFired(v.TimerKey(v.MachineName.BRIDGE, "decide")), 4.0, out)
    assert v.StartBridge(8) in out.effects
    assert machine.term == 8
    assert machine.holder(4.0) == node_id(1)


def test_a_fact_may_come_before_its_node_and_stays_when_that_is_away() -> None:
    machine = Bridge(identity(node_id(1)), BridgeConfig(), Random(1))
    out = v.Outbox()
    machine.handle(v.EntryChanged(node_id(2), MQTT_KEY, encode_bridge(BridgeFact(7, True))), 0.0, out)
    assert machine.holder(0.0) is None
    for status, seen in ((MemberStatus.ALIVE, node_id(2)), (MemberStatus.DEAD, None), (MemberStatus.ALIVE, node_id(2))):
        machine.handle(v.MemberChanged(PeerInfo(node_id(2), (), HOME), status), 1.0, out)
        assert machine.holder(1.0) == seen


@pytest.mark.parametrize("value", [b"", b"\xff", encode_bridge(BridgeFact(7, True)) + b"\0", b"\xa1\x01\x07"])
def test_nonsense_is_no_fact(value: bytes) -> None:
    machine = Bridge(identity(node_id(1)), BridgeConfig(), Random(1))
    out = v.Outbox()
    machine.handle(v.MemberChanged(PeerInfo(node_id(2), (), HOME), MemberStatus.ALIVE), 0.0, out)
    machine.handle(v.EntryChanged(node_id(2), MQTT_KEY, encode_bridge(BridgeFact(7, True))), 0.0, out)
    machine.handle(v.EntryChanged(node_id(2), "n/other", value), 0.0, out)
    assert machine.holder(0.0) == node_id(2)
    machine.handle(v.EntryChanged(node_id(2), MQTT_KEY, value), 0.0, out)
    assert machine.holder(0.0) is None


def test_the_highest_term_is_not_passed() -> None:
    site = Site(2)
    site.broker(site.nodes, term=2**60)
    site.run(10.0)
    assert site.bridges == {site.nodes[0]: TERM_MAX}
    site.kill(site.nodes[0])
    site.run(10.0)
    assert site.bridges == {site.nodes[1]: TERM_MAX}


def test_facts_are_bounded_and_members_go_last() -> None:
    machine = Bridge(identity(node_id(1)), BridgeConfig(owners_max=10), Random(1))
    out = v.Outbox()
    machine.handle(v.MemberChanged(PeerInfo(node_id(2), (), HOME), MemberStatus.ALIVE), 0.0, out)
    for number in range(2, 60):
        machine.handle(v.EntryChanged(node_id(number), MQTT_KEY, encode_bridge(BridgeFact(1, True))), 0.0, out)
    assert len(machine._facts) == 10
    assert machine.holder(0.0) == node_id(2)
    for number in range(100, 160):
        machine.handle(v.MemberChanged(PeerInfo(node_id(number), (), HOME), MemberStatus.ALIVE), 0.0, out)
        machine.handle(v.EntryChanged(node_id(number), MQTT_KEY, encode_bridge(BridgeFact(1, False))), 0.0, out)
    assert len(machine._facts) == 10


def test_a_standby_says_that_it_is_one_and_says_it_once() -> None:
    site = started(3)
    facts = [site.members[node].fact for node in site.nodes]
    assert [decode_bridge(fact) for fact in facts if fact] == [
        BridgeFact(1, True), BridgeFact(0, False), BridgeFact(0, False),
    ]  # fmt: skip


def test_the_rules_of_the_election() -> None:
    first, second, third = by_rank(3)
    assert seniority(HOME, first) > seniority(HOME, second)
    assert holder(HOME, [Candidate(first), Candidate(second)]) is None
    assert holder(HOME, [Candidate(first, 1), Candidate(second, 2)]) == Candidate(second, 2)
    assert holder(HOME, [Candidate(second, 2), Candidate(first, 2)]) == Candidate(first, 2)
    everybody = [Candidate(node) for node in (third, first, second)]
    places = [place(HOME, node, [one for one in everybody if one.node != node]) for node in (first, second, third)]
    assert places == [0, 1, 2]


@pytest.mark.parametrize("seed", range(30))
def test_after_any_trouble_there_is_exactly_one(seed: int) -> None:
    rng = Random(seed)
    site = Site(6, seed)
    site.broker(site.nodes)
    reachable = dict.fromkeys(site.nodes, True)
    for _ in range(40):
        node = rng.choice(site.nodes)
        match rng.randrange(5):
            case 0:
                reachable[node] = not reachable[node]
                site.broker([node], reachable=reachable[node], term=max(site.bridges.values(), default=0))
            case 1:
                site.everybody_told(node, rng.choice([MemberStatus.SUSPECT, MemberStatus.DEAD]))
            case 2:
                site.everybody_told(node, MemberStatus.ALIVE)
            case 3:
                cut = rng.randrange(1, 6)
                site.split(site.nodes[:cut], site.nodes[cut:])
            case 4:
                site.heal()
        site.run(rng.uniform(0.0, 8.0))
    site.heal()
    for node in site.nodes:
        site.everybody_told(node, MemberStatus.ALIVE)
    site.broker(site.nodes, term=max(site.bridges.values(), default=0))
    site.run(100.0)
    assert len(site.bridges) == 1
    quiet = len(site.history)
    site.run(600.0)
    assert len(site.history) == quiet
