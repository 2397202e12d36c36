"""What a hostile member says, and what comes of it: little, not for long, and never for those who did nothing."""

from __future__ import annotations

import pytest

from edgecache.core import vocabulary as v
from edgecache.core.membership import MembershipConfig
from edgecache.core.membership.members import INCARNATION_LEAP
from edgecache.model.peer import Address, CloseReason, PeerInfo, SeenVia
from edgecache.wire.limits import COUNTER_MAX, PEERS_MAX, RUMOURS_MAX
from edgecache.wire.messages import Goodbye, Gossip, MemberStatus, Rumour
from tests.unit.core.membership.conversation import (
    BOOT,
    CONFIG,
    Conversation,
    address,
    death,
    hello,
    info,
    node,
    of,
    suspicion,
)

LIAR = 66
"""A member in good standing, to whom everybody is linked."""


def liar_linked(config: MembershipConfig = CONFIG) -> Conversation:
    talk = Conversation(config)
    talk.hear(v.Started())
    talk.link(LIAR)
    return talk


def invented(first: int, count: int) -> tuple[PeerInfo, ...]:
    return tuple(info(number) for number in range(first, first + count))


def peers_told(effects: list[v.Effect]) -> int:
    messages = [send.message for send in of(v.Send, effects)]
    return sum(len(message.peers) for message in messages if isinstance(message, Gossip))


def addresses_of(talk: Conversation, number: int) -> tuple[Address, ...]:
    contact = talk.machine._dialler.book.get(node(number))
    assert contact is not None
    return contact.addresses


# ---- addresses


def test_gossip_does_not_push_out_the_addresses_that_work() -> None:
    talk = liar_linked()
    talk.link(1)
    wrong = tuple(Address(f"192.0.2.{n}", 5684) for n in range(1, 17))
    for incarnation in range(BOOT + 1, BOOT + 9):
        talk.gossip(LIAR, peers=(info(1, incarnation=incarnation, addresses=wrong),))
    assert addresses_of(talk, 1)[0] == address(1)
    talk.now = CONFIG.stable_after
    (dial,) = of(v.Dial, talk.cut(1))
    assert dial.addresses[0] == address(1)


@pytest.mark.parametrize(
    "where",
    [
        address(100), Address("127.0.0.1", 22), Address("::1", 22), Address("::ffff:127.0.0.1", 22),
        Address("0.0.0.0", 5684), Address("224.0.0.251", 5353), Address("ff02::fb", 5353),
        Address("fe80::1%eth0", 5684), Address("no address", 5684), Address("10.0.0.9", 0),
    ],
)  # fmt: skip
def test_nobody_sends_us_to_ourselves_or_to_nowhere(where: Address) -> None:
    talk = liar_linked()
    talk.gossip(LIAR, peers=(info(1, addresses=(where,)),))
    assert not of(v.Dial, talk.pass_time(60.0, "dial"))


def test_agents_of_one_device_may_meet_on_loopback() -> None:
    loopback = Address("127.0.0.1", 7001)
    talk = Conversation(own=(Address("127.0.0.1", 7000),))
    talk.hear(v.Started())
    talk.link(LIAR)
    talk.gossip(LIAR, peers=(info(1, addresses=(loopback,)),))
    assert [dial.addresses for dial in of(v.Dial, talk.pass_time(1.0, "dial"))] == [(loopback,)]


def test_a_seed_that_is_this_node_is_not_dialled() -> None:
    talk = Conversation()
    talk.hear(v.Started(seeds=(address(100), address(7))))
    assert [dial.addresses for dial in of(v.Dial, talk.pass_time(1.0, "dial"))] == [(address(7),)]
    talk.hear(v.OwnAddressesChanged((address(7),)))
    talk.hear(v.DialFailed(None, (address(7),), "it is this node"))
    assert not of(v.Dial, talk.pass_time(100.0, "dial"))


def test_ever_new_addresses_of_seeds_are_bounded() -> None:
    talk = Conversation()
    for number in range(1, 1000):
        talk.hear(v.PeerSighted(None, (address(number),), SeenVia.SEED))
    assert len(list(talk.machine._dialler.book.seeds())) == CONFIG.seeds_max


def test_inventions_leave_room_for_those_who_are_there() -> None:
    talk = liar_linked()
    for first in range(1000, 1000 + 2 * CONFIG.book_max, PEERS_MAX):
        talk.gossip(LIAR, peers=invented(first, PEERS_MAX))
    talk.hear(v.PeerSighted(node(1), (address(1),), SeenVia.MDNS))
    dialled = [dial.node for dial in of(v.Dial, talk.pass_time(0.5, "dial"))]
    assert node(1) in dialled
    assert len(dialled) - 1 == CONFIG.hearsay_dials
    assert len(talk.machine._dialler.book) <= CONFIG.book_max


def test_hearsay_does_not_push_out_what_we_found_ourselves() -> None:
    talk = liar_linked(MembershipConfig(book_max=32))
    talk.hear(v.PeerSighted(node(1), (address(1),), SeenVia.MDNS))
    for first in range(1000, 1500, PEERS_MAX):
        talk.gossip(LIAR, peers=invented(first, PEERS_MAX))
    assert addresses_of(talk, 1) == (address(1),)
    assert addresses_of(talk, LIAR) == (address(LIAR),)


def test_a_stream_of_hints_does_not_hasten_the_dials() -> None:
    talk = liar_linked()
    dials = 0
    for number in range(400):
        talk.gossip(LIAR, peers=invented(1000 + 4 * number, 4))
        for dial in of(v.Dial, talk.pass_time(talk.now + 0.01, "dial")):
            dials += 1
            talk.hear(v.DialFailed(dial.node, dial.addresses, "refused"))
    assert dials <= (talk.now / CONFIG.dial_tick + 1) * CONFIG.hearsay_dials


def test_repeated_hearsay_does_not_end_the_back_off() -> None:
    talk = liar_linked()
    dials = 0
    for second in range(300):
        other = Address(f"192.0.2.{second % 250}", 5684)
        talk.gossip(LIAR, peers=(info(1, incarnation=BOOT + second, addresses=(other,)),))
        for dial in of(v.Dial, talk.pass_time(talk.now + 1.0, "dial")):
            dials += 1
            talk.hear(v.DialFailed(dial.node, dial.addresses, "refused"))
    assert dials < 30


def test_two_that_do_not_get_on_do_not_shake_hands_without_a_pause() -> None:
    talk = Conversation()
    talk.hear(v.Started(seeds=(address(1),)))
    links = 0
    for tick in range(600):
        for dial in of(v.Dial, talk.pass_time(tick / 10, "dial")):
            links += 1
            where = dial.addresses[0]
            talk.hear(v.LinkOpened(v.LinkId(links), node(1), hello(1, incarnation=BOOT + links), True, where))
            if dial.node is None:
                talk.hear(v.DialFailed(node(1), (where,), "a duplicate"))
            talk.cut(1, link=links)
    assert links < 30


def test_claims_of_providers_do_not_make_us_dial_without_end() -> None:
    talk = Conversation()
    dials = []
    for number in range(200):
        dials += of(v.Dial, talk.hear(v.LinkWanted(node(number), info(number))))
    assert len(dials) == CONFIG.wanted_dials_max
    assert talk.notices == [v.LinkUnavailable(node(199))]


def test_a_wanted_peer_that_has_just_failed_is_not_tried_at_once_again() -> None:
    talk = Conversation()
    talk.hear(v.LinkWanted(node(1), info(1)))
    talk.hear(v.DialFailed(node(1), (address(1),), "refused"))
    assert not of(v.Dial, talk.hear(v.LinkWanted(node(1))))
    assert talk.notices == [v.LinkUnavailable(node(1))]
    talk.now += 2 * CONFIG.redial_min
    assert of(v.Dial, talk.hear(v.LinkWanted(node(1))))


# ---- life and death


@pytest.mark.parametrize("status", list(MemberStatus))
@pytest.mark.parametrize("incarnation", [COUNTER_MAX, COUNTER_MAX - 1, 1 << 62, 1 << 50])
def test_no_incarnation_makes_us_speechless(status: MemberStatus, incarnation: int) -> None:
    talk = liar_linked()
    talk.gossip(LIAR, Rumour(node(100), status, incarnation, node(1)), peers=(info(100, incarnation=incarnation),))
    talk.pass_time(60.0)
    assert talk.machine.hello().incarnation == BOOT, "nobody would believe more, and nobody believes that"


def test_a_member_at_the_end_of_the_range_does_not_spoil_the_gossip_about_others() -> None:
    talk = Conversation()
    talk.hear(v.Started())
    talk.link(1, incarnation=COUNTER_MAX)
    talk.say(1, Goodbye(CloseReason.GOODBYE, COUNTER_MAX))
    talk.cut(1, reason=CloseReason.GOODBYE)
    talk.link(1, link=7, incarnation=COUNTER_MAX)
    assert talk.status(1) is MemberStatus.ALIVE
    told = talk.link(2)
    assert any(isinstance(send.message, Gossip) and send.message.peers for send in of(v.Send, told))


@pytest.mark.parametrize("seconds", [1, 10])
def test_whoever_is_lifted_by_rumours_can_still_refute(seconds: int) -> None:
    """The liar's rumours reach everybody at once; the victim hears of them like all others."""
    crowd, victim = liar_linked(), Conversation(me=1)
    crowd.gossip(LIAR, peers=(info(1),))
    victim.link(LIAR)
    row = crowd.machine.members.get(node(1))
    assert row is not None
    for second in range(seconds + 6):
        if second < seconds:
            lies = [death(1, row.info.incarnation + n * INCARNATION_LEAP // 4) for n in range(RUMOURS_MAX)]
            for talk in (crowd, victim):
                talk.now = float(second)
                talk.gossip(LIAR, *lies)
            assert crowd.status(1) is MemberStatus.DEAD
        for answer in of(v.Send, victim.pass_time(second + 0.9, "refute")):
            assert isinstance(answer.message, Gossip)
            crowd.now = victim.now
            crowd.say(LIAR, answer.message)
    assert crowd.status(1) is MemberStatus.ALIVE


def test_a_hail_of_rumours_about_us_is_answered_once() -> None:
    talk = liar_linked()
    for number in range(1, 9):
        talk.link(number)
    hail = [suspicion(100, BOOT + n) for n in range(RUMOURS_MAX)]
    effects = [effect for _ in range(50) for effect in talk.gossip(LIAR, *hail)]
    effects += talk.pass_time(CONFIG.gossip_delay, "refute")
    assert len(of(v.Send, effects)) == 9
    assert talk.machine.hello().incarnation == BOOT + RUMOURS_MAX


def test_a_linked_member_speaks_for_itself() -> None:
    talk = liar_linked()
    talk.link(1)
    lie = info(1, incarnation=BOOT + 5, addresses=(Address("192.0.2.1", 80),))
    assert of(v.Send, talk.gossip(LIAR, peers=(lie,))) == [v.Send(node(1), Gossip(peers=(lie,)))]
    row = talk.machine.members.get(node(1))
    assert row is not None
    assert (row.info.incarnation, row.info.addresses) == (BOOT, (address(1),))
    truth = info(1, incarnation=BOOT + 6, addresses=(address(2),))
    talk.gossip(1, peers=(truth,))
    assert row.info == truth


def test_what_is_said_of_a_linked_member_reaches_it_in_one_message() -> None:
    talk = liar_linked()
    talk.link(1)
    effects = talk.gossip(LIAR, *(suspicion(1, BOOT + n) for n in range(RUMOURS_MAX)))
    assert len(of(v.Send, effects)) == 1


def test_a_goodbye_counts_whatever_was_said_before() -> None:
    talk = liar_linked()
    talk.gossip(LIAR, peers=(info(1, incarnation=BOOT + 50),))
    talk.link(1)
    talk.say(1, Goodbye(CloseReason.GOODBYE, BOOT))
    assert talk.status(1) is MemberStatus.LEFT


def test_the_dead_do_not_come_back_by_old_gossip() -> None:
    talk = liar_linked()
    talk.link(1)
    talk.cut(1)
    talk.pass_time(CONFIG.forget_after + 100.0, "suspicion", "tick")
    assert talk.status(1) is MemberStatus.DEAD
    talk.gossip(LIAR, peers=(info(1),))
    assert talk.status(1) is MemberStatus.DEAD
    shown = [told for told in of(v.Send, talk.link(2)) if told.peer == node(2)]
    assert all(rumour.node != node(1) for told in shown for rumour in told.message.rumours)  # type: ignore[union-attr]
    talk.pass_time(2 * CONFIG.forget_after + 200.0, "tick")
    assert node(1) not in talk.machine.members


def test_a_member_that_nobody_is_linked_to_is_dialled_and_then_suspected() -> None:
    talk = liar_linked(MembershipConfig(verify_every=30.0, overlay_min=1))
    talk.gossip(LIAR, peers=(info(1),))
    (dial,) = of(v.Dial, talk.pass_time(100.0, "tick"))
    assert dial.node == node(1)
    assert talk.status(1) is MemberStatus.ALIVE
    talk.hear(v.DialFailed(node(1), dial.addresses, "no answer"))
    assert talk.status(1) is MemberStatus.SUSPECT
    talk.pass_time(talk.now + CONFIG.suspicion_max, "suspicion")
    assert talk.status(1) is MemberStatus.DEAD


def test_a_member_that_cannot_be_dialled_is_asked_through_the_others() -> None:
    talk = liar_linked(MembershipConfig(verify_every=30.0, overlay_min=1))
    talk.gossip(LIAR, peers=(info(1, addresses=()),))
    talk.pass_time(100.0, "tick")
    assert talk.status(1) is MemberStatus.SUSPECT
    talk.gossip(LIAR, peers=(info(1, addresses=(), incarnation=BOOT + 1),))
    assert talk.status(1) is MemberStatus.ALIVE


def test_the_dead_are_dialled_now_and_then_although_nobody_else_is_needed() -> None:
    """Two halves of a mesh, each content with itself, meet again."""
    talk = Conversation(MembershipConfig(overlay_min=1))
    talk.hear(v.Started())
    for number in (1, 2):
        talk.link(number)
    talk.now = CONFIG.stable_after
    (dial,) = of(v.Dial, talk.cut(2))
    talk.hear(v.DialFailed(node(2), dial.addresses, "no answer"))
    dials = dict.fromkeys(range(26), 0)
    for hour in dials:
        while talk.now < (hour + 1) * 3600.0:
            for dial in of(v.Dial, talk.pass_time(talk.now + 10.0, "tick", "suspicion")):
                assert dial.node == node(2)
                dials[hour] += 1
                talk.hear(v.DialFailed(node(2), (address(2),), "no answer"))
    assert all(dials[hour] > 60 for hour in range(24)), "less than a minute after the split ends"
    assert dials[25] == 0
    assert talk.machine._dialler.book.get(node(2)) is None
    remembered = of(v.RememberPeers, talk.hear(v.ShutdownWanted()))[0].peers
    assert [info.node for info in remembered] == [node(1)]


# ---- tables


def test_whoever_is_met_has_a_place_in_a_table_full_of_inventions() -> None:
    talk = liar_linked(MembershipConfig(members_max=32))
    talk.gossip(LIAR, peers=invented(1000, PEERS_MAX))
    talk.link(1)
    assert talk.status(1) is MemberStatus.ALIVE
    assert len(talk.machine.members) == 32
    gone = next(notice for notice in talk.notices if isinstance(notice, v.MemberChanged))
    assert gone.status is MemberStatus.DEAD, "the other machines forget it too"
    assert talk.status(LIAR) is MemberStatus.ALIVE


def test_one_source_does_not_have_us_flood_the_mesh() -> None:
    talk = liar_linked()
    talk.link(1)
    talk.pass_time(1.0, "news")
    for round_number in range(20):
        talk.gossip(LIAR, peers=invented(1000 + PEERS_MAX * round_number, PEERS_MAX))
    assert peers_told(talk.fire("news")) == CONFIG.news_per_source
    assert peers_told(talk.pass_time(60.0, "news")) == 20 * PEERS_MAX - CONFIG.news_per_source


def test_our_own_news_do_not_wait_behind_those_of_others() -> None:
    talk = liar_linked()
    talk.link(1)
    talk.link(2)
    talk.pass_time(1.0, "news")
    for round_number in range(20):
        talk.gossip(LIAR, peers=invented(1000 + PEERS_MAX * round_number, PEERS_MAX))
    talk.cut(2)
    rumours = [r for s in of(v.Send, talk.fire("news")) for r in s.message.rumours]  # type: ignore[union-attr]
    assert node(2) in [rumour.node for rumour in rumours]


def test_a_busy_link_that_is_replaced_stays_busy() -> None:
    talk = Conversation(MembershipConfig(overlay_max=2, overlay_min=1))
    talk.hear(v.Started())
    for number in (1, 2, 3):
        talk.link(number, dialled=False)
    (demoted,) = talk.machine.links.working()
    talk.hear(v.LinkBusy(demoted.peer, True))
    number = int.from_bytes(demoted.hello.addresses[0].host.rpartition(".")[2].encode()) - ord("0")
    talk.link(number, link=77, dialled=False)
    talk.cut(number, link=demoted.link, reason=CloseReason.DUPLICATE)
    talk.now = 1000.0
    assert not of(v.CloseLink, talk.fire("tick"))
