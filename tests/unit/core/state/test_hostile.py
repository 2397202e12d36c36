"""What hostile neighbours and owners can do to replicated state: forge nothing, hold nothing back, cost little."""

from __future__ import annotations

import pytest

from edgecache.core import vocabulary as v
from edgecache.core.state import StateConfig
from edgecache.core.state.wanted import Wanted
from edgecache.model.ids import Digest, NodeId
from edgecache.wire import codec
from edgecache.wire.codec import map_hash
from edgecache.wire.limits import COUNTER_MAX, ENTRIES_MAX, HEADS_MAX, OWNER_BYTES_MAX, VALUE_BYTES_MAX
from edgecache.wire.messages import (
    Entry,
    Head,
    MemberStatus,
    Message,
    StateDigest,
    StatePull,
    StatePush,
    StateSummary,
)
from tests.unit.core.state.mesh import CONFIG, Mesh, full_mesh, node

ME, LIAR, HONEST = 0, 1, 2


def push(owner: int, version: int = 1, *, epoch: int = 1, values: dict[str, bytes] | None = None) -> StatePush:
    """A whole map that its owner has signed."""
    entries = tuple(Entry(key, version, value) for key, value in (values or {"r/a": b"1"}).items())
    return StatePush(node(owner), epoch, 0, version, entries, map_hash(entries), b"s" * 64, b"certificate")


def warnings(mesh: Mesh) -> list[str]:
    return [report.cause for report in mesh.reports if isinstance(report, v.Warned)]


def size(messages: list[Message]) -> int:
    return sum(len(codec.encode(message)) for message in messages)


def keys_at(mesh: Mesh, at: int, owner: int) -> set[str]:
    return {entry.key for entry in mesh.machines[node(at)].entries() if entry.owner == node(owner)}


# ---- forging


@pytest.mark.parametrize("head", [Head(node(ME), 1, 1000), Head(node(ME), 900, 1), Head(node(ME), COUNTER_MAX, 1)])
@pytest.mark.parametrize("complete", [True, False])
def test_our_map_is_not_moved_by_what_nobody_signed(head: Head, complete: bool) -> None:
    mesh = full_mesh(3)
    mesh.set(ME, r_a=b"1")
    mesh.flush(ME)
    mesh.deliver()
    answers = mesh.say(LIAR, ME, StateDigest((head,), complete))
    assert [answer for answer in answers if not isinstance(answer, StatePush)] == [StatePull((Head(node(ME), 0, 0),))]
    mesh.set(ME, r_a=b"2")
    mesh.flush(ME)
    mesh.deliver()
    assert mesh.value(HONEST, ME, "r/a") == b"2"
    assert (mesh.machines[node(ME)].epoch, warnings(mesh)) == (1, [])


def test_our_own_signature_from_the_future_leaves_us_able_to_speak() -> None:
    mesh = full_mesh(2)
    mesh.set(ME, r_a=b"1")
    mesh.flush(ME)
    mesh.deliver()
    mesh.say(LIAR, ME, push(ME, epoch=COUNTER_MAX))
    mesh.set(ME, r_a=b"2")
    mesh.flush(ME)
    assert mesh.value(ME, ME, "r/a") == b"2"


def test_two_devices_with_one_key_do_not_outbid_each_other_without_a_pause() -> None:
    mesh = full_mesh(2)
    mesh.set(ME, r_a=b"1")
    mesh.flush(ME)
    for _ in range(100):
        mesh.now += 0.5
        mesh.say(LIAR, ME, push(ME, epoch=mesh.machines[node(ME)].epoch + 1))
        mesh.flush(ME)
    assert mesh.machines[node(ME)].epoch < 10
    assert set(warnings(mesh)) == {"cloned"}


# ---- amplification


def crowded(values: int = 15) -> Mesh:
    """Everybody but the liar has the maps of many owners, 15 kB each."""
    mesh = full_mesh(3)
    for owner in range(100, 200):
        mesh.say(HONEST, ME, push(owner, values={f"r/{n}": b"x" * 1000 for n in range(values)}))
    mesh.wire.clear()
    return mesh


@pytest.mark.parametrize(
    "question",
    [
        StateDigest((), complete=True), StateSummary(b"x"),
        StatePull(tuple(Head(node(owner), 0, 0) for owner in range(100, 200))),
    ],
)  # fmt: skip
def test_small_questions_do_not_get_unlimited_answers(question: Message) -> None:
    mesh = crowded()
    answers = [answer for _ in range(1000) for answer in mesh.say(LIAR, ME, question)]
    assert size(answers) <= CONFIG.answer_burst + OWNER_BYTES_MAX + 1000
    later: list[Message] = []
    for _ in range(100):
        mesh.now += 1.0
        later += mesh.say(LIAR, ME, question)
    assert size(later) <= 110 * CONFIG.answer_rate


def test_a_newcomer_gets_a_large_site_in_parts() -> None:
    mesh = crowded()
    mesh.boot(3, 1)
    mesh.hear(3, v.Started())
    mesh.hear(ME, v.Started())
    mesh.link(ME, 3)
    mesh.deliver()
    for _ in range(20):
        mesh.fire(3, "summary")
        mesh.deliver()
    assert len(mesh.machines[node(3)].heads()) == len(mesh.machines[node(ME)].heads())


def test_what_was_missed_is_not_flooded_by_everybody_who_gets_it() -> None:
    mesh = full_mesh(3)
    for owner in range(100, 150):
        mesh.say(HONEST, ME, push(owner, version=7))
    assert not [message for _, target, message in mesh.wire if isinstance(message, StatePush)]
    mesh.fire(ME, "lazy")
    mesh.deliver()
    mesh.fire(LIAR, "missing")
    mesh.deliver()
    assert len(mesh.machines[node(LIAR)].heads()) == 51, "it is announced, and whoever lacks it asks"


def test_an_owner_that_never_rests_is_slowed_down() -> None:
    mesh = full_mesh(3)
    for version in range(1, 200):
        mesh.say(LIAR, ME, push(LIAR, version, values={f"r/{n}": b"%d" % version + b"x" * 990 for n in range(15)}))
    relayed = [message for _, target, message in mesh.wire if isinstance(message, StatePush) and target == node(HONEST)]
    assert size(list(relayed)) <= CONFIG.owner_burst + 2 * OWNER_BYTES_MAX
    mesh.now += 60.0
    mesh.say(LIAR, ME, push(LIAR, 500))
    assert mesh.value(ME, LIAR, "r/a") == b"1"


# ---- holding back


def test_announcements_of_nothing_do_not_crowd_out_real_ones() -> None:
    mesh = full_mesh(3)
    inventions = [Head(node(owner), 1, 1) for owner in range(1000, 1000 + 4 * HEADS_MAX)]
    for start in range(0, len(inventions), HEADS_MAX):
        mesh.say(LIAR, ME, StateDigest(tuple(inventions[start : start + HEADS_MAX])))
    mesh.say(HONEST, ME, StateDigest((Head(node(9), 1, 1),)))
    mesh.wire.clear()
    mesh.fire(ME, "missing")
    assert StatePull((Head(node(9), 0, 0),), graft=True) in [m for _, to, m in mesh.wire if to == node(HONEST)]


def test_whoever_announces_and_does_not_deliver_is_passed_over() -> None:
    mesh = full_mesh(3)
    mesh.say(LIAR, ME, StateDigest((Head(node(9), 1, COUNTER_MAX),)))
    mesh.say(HONEST, ME, StateDigest((Head(node(9), 1, 1),)))
    mesh.wire.clear()
    asked = []
    for _ in range(2):
        mesh.fire(ME, "missing")
        asked += [target for _, target, message in mesh.wire if isinstance(message, StatePull)]
        mesh.wire.clear()
    assert asked == [node(LIAR), node(HONEST)]
    mesh.fire(ME, "missing")
    assert not mesh.wire


def test_the_table_of_announcements_counts_right() -> None:
    wanted, peers = Wanted(StateConfig(owners_max=8)), [node(number) for number in range(20, 24)]
    for owner in range(100, 104):
        for peer in peers:
            wanted.announced(Head(node(owner), 1, 5), peer)
    assert [wanted.next(node(100), (1, 0)) for _ in range(4)] == [*peers[:3], None], "three are remembered"
    wanted.came(Head(node(101), 1, 5))
    assert node(101) not in wanted
    for peer in peers:
        wanted.lost(peer)
    assert not any(node(owner) in wanted for owner in range(100, 104))
    assert [wanted.announced(Head(node(owner), 1, 1), peers[0]) for owner in (1, 2, 3)] == [True, True, False]


# ---- tables, the dead, the many


def believed(mesh: Mesh, about: int, status: MemberStatus, *, by: tuple[int, ...]) -> None:
    for at in by:
        mesh.believe(at, about, status)


def upkeep(mesh: Mesh, until: float) -> None:
    """Everybody compares and sweeps, as in so many seconds of peace."""
    while mesh.now < until:
        for number in range(len(mesh.machines)):
            mesh.hear(number, v.Started())
            mesh.fire(number, "summary")
        mesh.deliver()


def test_the_map_of_a_dead_node_does_not_wander_for_ever() -> None:
    mesh = full_mesh(4)
    for number in range(4):
        believed(mesh, number, MemberStatus.ALIVE, by=tuple(at for at in (0, 1, 2) if at != number))
    mesh.set(3, r_a=b"1")
    mesh.flush(3)
    mesh.deliver()
    for at in (0, 1, 2):
        mesh.unlink(at, 3)
    believed(mesh, 3, MemberStatus.DEAD, by=(0, 1))
    mesh.unlink(0, 2)
    mesh.unlink(1, 2)
    mesh.boot(2, 2)
    upkeep(mesh, CONFIG.silent_after - 60.0)
    mesh.link(0, 2)  # it has restarted, and knows nobody any more
    mesh.link(1, 2)
    mesh.deliver()
    assert mesh.value(2, 3, "r/a") == b"1", "what a dead node measured last outlives it"
    upkeep(mesh, 3 * CONFIG.forget_after)
    assert [mesh.value(at, 3, "r/a") for at in (0, 1, 2)] == [None, None, None]
    mesh.wire.clear()
    mesh.fire(0, "summary")
    assert not [message for message in mesh.deliver() if isinstance(message, StateDigest)], "all are in sync"


def test_whoever_returns_from_the_dead_is_heard_again() -> None:
    mesh = full_mesh(2)
    mesh.believe(0, 1, MemberStatus.ALIVE)
    mesh.set(1, r_a=b"1")
    mesh.flush(1)
    mesh.deliver()
    mesh.unlink(0, 1)
    mesh.believe(0, 1, MemberStatus.DEAD)
    upkeep(mesh, CONFIG.forget_after + 100.0)
    assert mesh.value(0, 1, "r/a") is None
    mesh.link(0, 1)
    mesh.believe(0, 1, MemberStatus.ALIVE)
    upkeep(mesh, mesh.now + 60.0)
    assert mesh.value(0, 1, "r/a") == b"1", "although its map has not changed meanwhile"


def test_facts_go_with_their_owner() -> None:
    mesh = full_mesh(2)
    mesh.hear(1, v.OwnEntriesWanted({"n/mqtt": b"1", "r/a": b"1"}))
    mesh.flush(1)
    mesh.deliver()
    mesh.unlink(0, 1)
    mesh.believe(0, 1, MemberStatus.DEAD)
    mesh.notices.clear()
    mesh.now += CONFIG.forget_after + 1.0
    mesh.hear(0, v.Started())
    mesh.fire(0, "summary")
    assert mesh.notices == [v.EntryChanged(node(1), "n/mqtt", None)]


def test_more_owners_than_can_be_kept_are_no_endless_conversation() -> None:
    mesh = full_mesh(2, StateConfig(owners_max=16))
    for number in (0, 1):
        for owner in range(100 * (number + 1), 100 * (number + 1) + 30):
            mesh.say(1 - number, number, push(owner))
        mesh.wire.clear()
        assert len(mesh.machines[node(number)].heads()) == 17
    for _ in range(10):
        mesh.hear(0, v.Started())
        mesh.fire(0, "summary")
        carried = mesh.deliver()
        assert not [message for message in carried if isinstance(message, StatePush | StatePull)]
    assert "state-owners" in warnings(mesh)


# ---- quotas


def test_a_series_too_many_costs_the_others_nothing() -> None:
    mesh = full_mesh(2)
    for round_number in range(2):
        mesh.hear(0, v.OwnEntriesChanged({f"r/{n}": b"%d" % round_number for n in range(300)}))
        mesh.flush(0)
        mesh.deliver()
    shared = keys_at(mesh, 1, 0)
    assert 200 < len(shared) <= ENTRIES_MAX
    assert {mesh.value(1, 0, key) for key in shared} == {b"1"}
    assert set(warnings(mesh)) == {"state-quota"}


@pytest.mark.parametrize("value", [b"1", b"x" * 400])
def test_a_node_with_too_many_series_can_still_bridge(value: bytes) -> None:
    mesh = full_mesh(2)
    mesh.hear(0, v.OwnEntriesChanged({f"r/{n}": value for n in range(300)}))
    mesh.flush(0)
    mesh.hear(0, v.OwnEntriesWanted({"n/mqtt": b"1" * 20, "n/capacity": b"1" * 20}))
    mesh.flush(0)
    mesh.deliver()
    assert mesh.value(1, 0, "n/mqtt") == b"1" * 20


def test_room_that_becomes_free_is_used() -> None:
    mesh = full_mesh(2)
    mesh.hear(0, v.OwnEntriesChanged({f"r/{n}": b"1" for n in range(300)}))
    mesh.flush(0)
    gone: dict[str, bytes | None] = {f"r/{n}": None for n in range(100)}
    mesh.hear(0, v.OwnEntriesChanged(gone | {"r/new": b"1"}))
    mesh.flush(0)
    mesh.deliver()
    assert mesh.value(1, 0, "r/new") == b"1"


def test_what_no_push_can_carry_is_refused() -> None:
    mesh = full_mesh(2)
    mesh.hear(0, v.OwnEntriesChanged({"r/a": b"x" * (VALUE_BYTES_MAX + 1), "r/" + "k" * 100: b"1", "r/b": b"1"}))
    mesh.flush(0)
    mesh.deliver()
    assert keys_at(mesh, 1, 0) == {"r/b"}


def test_a_map_whose_keys_all_change_stays_in_sync() -> None:
    """Removed and new keys together are more than one push may carry."""
    mesh = full_mesh(3)
    for generation in range(6):
        gone: dict[str, bytes | None] = {f"r/{generation - 1}.{n}": None for n in range(200) if generation}
        mesh.hear(0, v.OwnEntriesChanged(gone | {f"r/{generation}.{n}": b"1" for n in range(200)}))
        mesh.flush(0)
        mesh.deliver()
        for at in range(3):
            assert keys_at(mesh, at, 0) == {f"r/{generation}.{n}" for n in range(200)}
    assert not any(isinstance(notice, v.Misbehaved) for notice in mesh.notices)


def test_staging_while_a_signature_is_awaited_counts_what_is_being_signed() -> None:
    mesh = full_mesh(2)
    machine, out = mesh.machines[node(0)], v.Outbox()
    machine.handle(v.OwnEntriesChanged({f"r/{n}": b"1" for n in range(150)}), 0.0, out)
    machine.handle(v.TimerFired(v.TimerKey(v.MachineName.STATE, "flush")), 0.2, out)
    machine.handle(v.OwnEntriesChanged({f"r/x{n}": b"1" for n in range(150)}), 0.3, out)
    assert any(isinstance(effect, v.Warned) for effect in out.effects)


def test_a_relay_of_a_map_that_does_not_fit_its_hash_is_to_blame() -> None:
    mesh = full_mesh(3)
    forged = push(9)
    mesh.say(LIAR, ME, StatePush(forged.owner, 1, 0, 1, (), Digest(b"x" * 32), b"s" * 64, b"certificate"))
    blamed: list[NodeId] = [notice.peer for notice in mesh.notices if isinstance(notice, v.Misbehaved)]
    assert blamed == [node(LIAR)]
