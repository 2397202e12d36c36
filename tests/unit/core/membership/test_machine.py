"""Membership as a conversation: events in, effects and notices out."""

from __future__ import annotations

import pytest

from edgecache.core import vocabulary as v
from edgecache.core.membership import MembershipConfig
from edgecache.core.membership.suspicion import suspicion_timeout
from edgecache.model.peer import CloseReason, PeerInfo, SeenVia
from edgecache.wire.messages import Goodbye, Gossip, MemberStatus, Rumour
from tests.unit.core.membership.conversation import CONFIG, Conversation, address, node, of


def test_seeds_and_sightings_are_dialled() -> None:
    talk = Conversation()
    talk.hear(v.Started(seeds=(address(7),)))
    talk.hear(v.PeerSighted(node(1), (address(1),), SeenVia.MDNS))
    dials = of(v.Dial, talk.fire("dial"))
    assert [(dial.node, dial.addresses) for dial in dials] == [(None, (address(7),)), (node(1), (address(1),))]


def test_own_sighting_is_ignored() -> None:
    talk = Conversation()
    talk.hear(v.PeerSighted(node(100), (address(100),), SeenVia.MDNS))
    talk.hear(v.Started())
    assert not of(v.Dial, talk.fire("dial"))


def test_failed_dials_back_off() -> None:
    talk = Conversation()
    talk.hear(v.PeerSighted(node(1), (address(1),), SeenVia.SEED))
    gaps, last = [], 0.0
    for _ in range(6):
        assert of(v.Dial, talk.fire("dial"))
        gaps.append(talk.now - last)
        last = talk.now
        talk.hear(v.DialFailed(node(1), (address(1),), "refused"))
        talk.timers[v.TimerKey(v.MachineName.MEMBERSHIP, "dial")] = talk.now + 100.0
        contact = talk.machine._dialler.book.get(node(1))
        assert contact is not None
        talk.timers[v.TimerKey(v.MachineName.MEMBERSHIP, "dial")] = contact.not_before
    assert gaps[2] > gaps[1]
    assert max(gaps) <= CONFIG.redial_max * 1.25


def test_a_link_makes_a_member_and_introduces_the_others() -> None:
    talk = Conversation()
    talk.link(1)
    effects = talk.link(2)
    assert talk.status(2) is MemberStatus.ALIVE
    (introduction,) = [s.message for s in of(v.Send, effects) if s.peer == node(2) and isinstance(s.message, Gossip)]
    assert [info.node for info in introduction.peers] == [node(1)]
    assert any(isinstance(notice, v.LinkUp) and notice.tier == 1 for notice in talk.notices)


def test_tier_follows_device_and_site() -> None:
    talk = Conversation()
    talk.machine._me = v.Identity(node(100), "mesh", "home", "me", 1, (), host=b"device-1")
    tiers = []
    for number, facts in ((1, {"host": b"device-1"}), (2, {"host": b"device-2"}), (3, {"site": "shop"})):
        talk.link(number, **facts)
        tiers += [notice.tier for notice in talk.notices if isinstance(notice, v.LinkUp)]
    assert tiers == [0, 1, 2]


@pytest.mark.parametrize("first_dialled", [True, False])
def test_of_two_links_the_one_dialled_by_the_smaller_id_stays(first_dialled: bool) -> None:
    talk = Conversation()
    talk.link(1, link=11, dialled=first_dialled)
    closed = of(v.CloseLink, talk.link(1, link=12, dialled=not first_dialled))
    by_peer = 12 if first_dialled else 11
    assert node(1) < node(100)
    assert [(close.link, close.reason) for close in closed] == [(23 - by_peer, CloseReason.DUPLICATE)]
    talk.hear(v.LinkClosed(v.LinkId(23 - by_peer), node(1), CloseReason.DUPLICATE))
    assert not any(isinstance(notice, v.LinkDown) for notice in talk.notices)


def test_silence_closes_the_link() -> None:
    talk = Conversation()
    talk.link(1)
    (probe,) = of(v.Probe, talk.fire("probe"))
    assert probe.timeout + talk.now < 10.0
    assert of(v.CloseLink, talk.hear(v.ProbeFailed(probe.link))) == [v.CloseLink(probe.link, CloseReason.SILENT)]


def test_a_broken_link_is_suspicion_then_death() -> None:
    talk = Conversation()
    talk.link(1)
    talk.now = CONFIG.stable_after
    effects = talk.hear(v.LinkClosed(v.LinkId(1), node(1), CloseReason.BROKEN))
    assert talk.status(1) is MemberStatus.SUSPECT
    assert of(v.Dial, effects), "tried at once"
    started = talk.now
    talk.fire("suspicion")
    assert talk.status(1) is MemberStatus.DEAD
    assert talk.now - started == pytest.approx(CONFIG.suspicion_max)


def test_a_goodbye_raises_no_suspicion() -> None:
    talk = Conversation()
    talk.link(1)
    talk.hear(v.MessageReceived(node(1), Goodbye(CloseReason.GOODBYE, incarnation=1 << 16)))
    effects = talk.hear(v.LinkClosed(v.LinkId(1), node(1), CloseReason.GOODBYE))
    assert talk.status(1) is MemberStatus.LEFT
    assert not of(v.Dial, effects)


def test_independent_accusers_shorten_the_suspicion() -> None:
    times = [suspicion_timeout(CONFIG, accusers) for accusers in range(1, 6)]
    assert times[0] == CONFIG.suspicion_max
    assert times == sorted(times, reverse=True)
    assert times[-1] == CONFIG.suspicion_min

    talk = Conversation()
    talk.link(2)
    talk.gossip(2, peers=(PeerInfo(node(1), (), "home", incarnation=5),))
    talk.gossip(2, Rumour(node(1), MemberStatus.SUSPECT, 5, node(2)))
    key = v.TimerKey(v.MachineName.MEMBERSHIP, "suspicion", node(1))
    alone = talk.timers[key]
    talk.gossip(2, Rumour(node(1), MemberStatus.SUSPECT, 5, node(2)))
    assert talk.timers[key] == alone, "the same accuser again counts nothing"
    talk.gossip(2, Rumour(node(1), MemberStatus.SUSPECT, 5, node(3)))
    assert talk.timers[key] < alone


def test_a_higher_incarnation_refutes() -> None:
    talk = Conversation()
    talk.link(2)
    talk.gossip(2, peers=(PeerInfo(node(1), (), "home", incarnation=5),))
    talk.gossip(2, Rumour(node(1), MemberStatus.SUSPECT, 5, node(2)))
    talk.gossip(2, peers=(PeerInfo(node(1), (), "home", incarnation=5),))
    assert talk.status(1) is MemberStatus.SUSPECT, "its old incarnation refutes nothing"
    talk.gossip(2, peers=(PeerInfo(node(1), (), "home", incarnation=6),))
    assert talk.status(1) is MemberStatus.ALIVE


def test_we_refute_what_is_said_of_us() -> None:
    talk = Conversation()
    talk.link(2)
    before = talk.machine.hello().incarnation
    talk.gossip(2, Rumour(node(100), MemberStatus.DEAD, before + 3, node(2)))
    effects = talk.fire("refute")
    assert talk.machine.hello().incarnation == before + 4
    (told,) = [send.message for send in of(v.Send, effects)]
    assert isinstance(told, Gossip)
    assert told.peers[0].incarnation == before + 4


def test_rumours_of_a_linked_member_are_not_believed_but_passed_to_it() -> None:
    talk = Conversation()
    talk.link(1)
    talk.link(2)
    rumour = Rumour(node(1), MemberStatus.DEAD, 1 << 16, node(3))
    effects = talk.gossip(2, rumour)
    assert talk.status(1) is MemberStatus.ALIVE
    assert of(v.Send, effects) == [v.Send(node(1), Gossip(rumours=(rumour,)))]


def test_a_member_back_from_the_dead_hears_of_it() -> None:
    talk = Conversation()
    talk.link(1)
    talk.hear(v.LinkClosed(v.LinkId(1), node(1), CloseReason.BROKEN))
    talk.fire("suspicion")
    effects = talk.link(1, link=9)
    assert talk.status(1) is MemberStatus.ALIVE
    said = [s.message for s in of(v.Send, effects) if isinstance(s.message, Gossip) and s.message.rumours]
    assert said[0].rumours[0].status is MemberStatus.DEAD


def test_a_full_node_admits_a_newcomer_and_sheds_one() -> None:
    talk = Conversation(MembershipConfig(overlay_max=4, overlay_min=2))
    talk.hear(v.Started())
    for number in range(1, 6):
        talk.link(number, dialled=False)
    overlay = talk.machine.links.overlay()
    assert len(overlay) == 4
    assert node(5) in [link.peer for link in overlay]
    (demoted,) = talk.machine.links.working()
    talk.now = CONFIG.idle_close + 1
    closed = of(v.CloseLink, talk.fire("tick"))
    assert closed == [v.CloseLink(demoted.link, CloseReason.IDLE)]


def test_busy_links_are_not_closed_for_idleness() -> None:
    talk = Conversation(MembershipConfig(overlay_max=2, overlay_min=1))
    talk.hear(v.Started())
    for number in range(1, 4):
        talk.link(number, dialled=False)
    (demoted,) = talk.machine.links.working()
    talk.hear(v.LinkBusy(demoted.peer, True))
    talk.now = 1000.0
    assert not of(v.CloseLink, talk.fire("tick"))


def test_a_wanted_link_is_dialled_or_declared_unavailable() -> None:
    talk = Conversation()
    talk.hear(v.LinkWanted(node(9)))
    assert talk.notices == [v.LinkUnavailable(node(9))]
    (dial,) = of(v.Dial, talk.hear(v.LinkWanted(node(9), PeerInfo(node(9), (address(9),), "home"))))
    assert dial.node == node(9)
    talk.hear(v.DialFailed(node(9), (address(9),), "refused"))
    assert v.LinkUnavailable(node(9)) in talk.notices


def test_misbehaviour_bans_for_a_time() -> None:
    talk = Conversation()
    talk.link(1)
    talk.hear(v.Misbehaved(node(1), 5, "sent rubbish"))
    assert talk.machine.may_link(node(1), talk.now)
    closed = of(v.CloseLink, talk.hear(v.Misbehaved(node(1), 5, "sent rubbish")))
    assert closed == [v.CloseLink(v.LinkId(1), CloseReason.BANNED)]
    assert not talk.machine.may_link(node(1), talk.now)
    assert talk.machine.may_link(node(1), talk.now + CONFIG.ban_time + 1)


def test_the_member_table_is_bounded() -> None:
    talk = Conversation(MembershipConfig(members_max=16))
    talk.link(1)
    for start in range(2, 200, 30):
        invented = tuple(PeerInfo(node(n), (address(n % 250),), "home") for n in range(start, start + 30))
        talk.gossip(1, peers=invented)
    assert len(talk.machine.members) == 16
    assert talk.status(1) is MemberStatus.ALIVE


def test_shutdown_says_goodbye_and_remembers() -> None:
    talk = Conversation()
    talk.link(1)
    effects = talk.hear(v.ShutdownWanted())
    assert of(v.CloseLink, effects) == [v.CloseLink(v.LinkId(1), CloseReason.GOODBYE)]
    assert [info.node for info in of(v.RememberPeers, effects)[0].peers] == [node(1)]
    assert not talk.machine.may_link(node(2), talk.now)
