"""Replicated state among a handful of machines whose messages the test delivers, loses or forges."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgecache.core import vocabulary as v
from edgecache.model.ids import Digest
from edgecache.model.peer import PeerInfo
from edgecache.wire.limits import ENTRIES_MAX
from edgecache.wire.messages import MemberStatus, StatePrune, StatePull, StatePush, StateSummary
from tests.unit.core.state.mesh import CONFIG, Mesh, full_mesh, node


def test_a_change_reaches_everybody_once_the_tree_is_known() -> None:
    mesh = full_mesh(5)
    for round_number in range(3):
        mesh.set(0, r_load=b"%d" % round_number)
        mesh.flush(0)
        pushes = [m for m in mesh.deliver() if isinstance(m, StatePush)]
        assert all(mesh.value(n, 0, "r/load") == b"%d" % round_number for n in range(5))
    assert len(pushes) == 4, "after pruning nobody gets a push twice"


def test_changes_of_one_flush_are_one_push() -> None:
    mesh = full_mesh(2)
    mesh.set(0, r_a=b"1")
    mesh.set(0, r_b=b"2")
    mesh.flush(0)
    (push,) = [m for m in mesh.deliver() if isinstance(m, StatePush)]
    assert {entry.key for entry in push.entries} == {"r/a", "r/b"}
    assert (push.since, push.version) == (0, 1)


def test_setting_the_same_value_says_nothing() -> None:
    mesh = full_mesh(2)
    mesh.set(0, r_a=b"1")
    mesh.flush(0)
    mesh.deliver()
    mesh.set(0, r_a=b"1")
    assert not mesh.timers[node(0)].get(v.TimerKey(v.MachineName.STATE, "flush"))


def test_a_gap_is_pulled_and_no_version_is_skipped() -> None:
    mesh = full_mesh(2)
    mesh.set(0, r_a=b"1")
    mesh.flush(0)
    mesh.deliver()
    mesh.set(0, r_b=b"2")
    mesh.flush(0)
    mesh.deliver(lose=StatePush)
    mesh.set(0, r_c=b"3")
    mesh.flush(0)
    carried = mesh.deliver()
    assert any(isinstance(message, StatePull) for message in carried)
    assert [mesh.value(1, 0, key) for key in ("r/a", "r/b", "r/c")] == [b"1", b"2", b"3"]


def test_a_newcomer_gets_everything_by_digest() -> None:
    mesh = Mesh(3)
    mesh.link(0, 1)
    for number in (0, 1):
        mesh.set(number, r_x=b"%d" % number)
        mesh.flush(number)
    mesh.deliver()
    mesh.link(1, 2)
    mesh.deliver()
    assert mesh.value(2, 0, "r/x") == b"0"
    assert mesh.value(2, 1, "r/x") == b"1"


def test_removed_keys_go_everywhere_and_their_tombstones_later() -> None:
    mesh = full_mesh(2)
    mesh.set(0, r_a=b"1", r_b=b"2")
    mesh.flush(0)
    mesh.set(0, r_a=None)
    mesh.flush(0)
    mesh.deliver()
    assert mesh.value(1, 0, "r/a") is None
    mesh.now += CONFIG.tombstone_time + 1
    mesh.hear(1, v.Started())
    mesh.fire(1, "summary")
    replica = mesh.machines[node(1)]._owners.replicas[node(0)]
    assert list(replica.entries) == ["r/b"]
    mesh.set(0, r_c=b"3")
    mesh.flush(0)
    mesh.deliver()
    assert mesh.value(1, 0, "r/c") == b"3", "the hash of the map does not depend on tombstones"


def test_who_was_away_longer_than_tombstones_last_gets_the_whole_map() -> None:
    mesh = full_mesh(2)
    mesh.set(0, r_a=b"1", r_b=b"2")
    mesh.flush(0)
    mesh.deliver()
    for one, other in ((0, 1), (1, 0)):
        mesh.hear(one, v.LinkDown(node(other), planned=True))
    mesh.set(0, r_a=None)
    mesh.flush(0)
    mesh.now += CONFIG.tombstone_time + 1
    mesh.hear(0, v.Started())
    mesh.fire(0, "summary")
    mesh.deliver()
    mesh.link(0, 1)
    carried = mesh.deliver()
    assert any(isinstance(m, StatePush) and m.since == 0 for m in carried)
    assert mesh.value(1, 0, "r/a") is None
    assert mesh.value(1, 0, "r/b") == b"2"


def test_a_map_that_is_not_the_signed_one_is_refused() -> None:
    mesh = full_mesh(2)
    mesh.set(0, r_a=b"1")
    mesh.flush(0)
    source, _, push = mesh.wire.popleft()
    assert isinstance(push, StatePush)
    forged = replace(push, entries=(replace(push.entries[0], value=b"2"),))
    mesh.hear(1, v.MessageReceived(source, forged))
    assert mesh.value(1, 0, "r/a") is None
    assert any(isinstance(notice, v.Misbehaved) for notice in mesh.notices)
    held_back = replace(push, map_hash=Digest(b"x" * 32))
    mesh.hear(1, v.MessageReceived(source, held_back))
    assert mesh.value(1, 0, "r/a") is None


def test_an_announcement_that_no_push_follows_grafts() -> None:
    mesh = full_mesh(3)
    mesh.set(0, r_a=b"1")
    mesh.flush(0)
    mesh.deliver()
    mesh.hear(1, v.MessageReceived(node(0), StatePrune()))
    mesh.hear(0, v.MessageReceived(node(2), StatePrune()))
    mesh.hear(1, v.MessageReceived(node(2), StatePrune()))
    mesh.set(0, r_a=b"2")
    mesh.flush(0)
    mesh.deliver()
    assert mesh.value(2, 0, "r/a") == b"1", "both neighbours are lazy towards 2"
    mesh.fire(0, "lazy")
    mesh.deliver()
    mesh.fire(2, "missing")
    assert any(isinstance(m, StatePull) and m.graft for m in mesh.deliver())
    assert mesh.value(2, 0, "r/a") == b"2"


def test_a_summary_that_differs_repairs() -> None:
    mesh = full_mesh(2)
    mesh.hear(1, v.Started())
    mesh.set(0, r_a=b"1")
    mesh.flush(0)
    mesh.deliver(lose=StatePush)
    mesh.fire(1, "summary")
    assert any(isinstance(message, StateSummary) for message in mesh.deliver())
    assert mesh.value(1, 0, "r/a") == b"1"


def test_a_restored_card_continues_above_its_former_life() -> None:
    mesh = full_mesh(2)
    mesh.boot(0, 7)
    mesh.link(0, 1)
    mesh.set(0, r_a=b"new")
    mesh.flush(0)
    mesh.deliver()
    mesh.hear(1, v.LinkDown(node(0), planned=False))
    mesh.boot(0, 3)
    mesh.set(0, r_a=b"restored")
    mesh.flush(0)
    mesh.wire.clear()
    mesh.link(0, 1)
    mesh.deliver()
    mesh.flush(0)
    mesh.deliver()
    assert mesh.value(1, 0, "r/a") == b"restored"
    assert not any(isinstance(report, v.Warned) for report in mesh.reports)


def test_a_second_device_with_our_key_is_reported() -> None:
    mesh = full_mesh(2)
    for epoch in (5, 9):
        echo = StatePush(node(0), epoch, 0, 4, (), Digest(b"x" * 32), b"s" * 64, b"certificate")
        mesh.hear(0, v.MessageReceived(node(1), echo))
    assert [report.cause for report in mesh.reports if isinstance(report, v.Warned)] == ["cloned"]


def test_more_than_the_quota_is_refused_at_the_sender() -> None:
    mesh = full_mesh(2)
    mesh.hear(0, v.OwnEntriesChanged({f"r/{n}": b"1" for n in range(ENTRIES_MAX + 1)}))
    assert [report.cause for report in mesh.reports if isinstance(report, v.Warned)] == ["state-quota"]


def test_facts_of_nodes_are_told_to_the_other_machines() -> None:
    mesh = full_mesh(2)
    mesh.hear(0, v.OwnEntriesWanted({"n/mqtt": b"1", "r/a": b"2"}))
    mesh.flush(0)
    mesh.deliver()
    told = [notice for notice in mesh.notices if isinstance(notice, v.EntryChanged)]
    assert told == [v.EntryChanged(node(0), "n/mqtt", b"1")] * 2


@pytest.mark.parametrize("status", [MemberStatus.DEAD, MemberStatus.LEFT])
def test_the_dead_are_forgotten_in_the_end(status: MemberStatus) -> None:
    mesh = full_mesh(2)
    mesh.set(0, r_a=b"1")
    mesh.flush(0)
    mesh.deliver()
    mesh.hear(1, v.Started())
    mesh.hear(1, v.MemberChanged(PeerInfo(node(0), (), "home"), status))
    assert mesh.value(1, 0, "r/a") == b"1", "the latest value survives its node"
    mesh.now += CONFIG.forget_after + 1
    mesh.fire(1, "summary")
    assert mesh.value(1, 0, "r/a") is None
    assert v.MapChanged(node(0), (), gone=True) in mesh.reports
