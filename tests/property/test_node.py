"""A whole node among hostile members: whatever they say, nothing raises, and all that it answers fits the wire."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edgecache.core import vocabulary as v
from edgecache.core.node import Node, NodeConfig
from edgecache.model.ids import NodeId, node_id_from_bytes
from edgecache.model.peer import Address, CloseReason, PeerInfo
from edgecache.wire import codec
from edgecache.wire import messages as m
from edgecache.wire.limits import COUNTER_MAX
from tests.property import arbitrary


def node(number: int) -> NodeId:
    return node_id_from_bytes(number.to_bytes(16, "big"))


ME = node(3)
ADDRESS = Address("10.0.0.9", 5684)
numbers = st.integers(1, 6)
nodes = numbers.map(node)
"""Few of them, so that they speak of each other, of us, and of themselves."""

steps = st.one_of(st.integers(0, 3), st.integers(1 << 16, (1 << 16) + 3), st.sampled_from([1 << 47, COUNTER_MAX]))
addresses = st.lists(arbitrary.addresses | st.just(Address("10.0.0.3", 5684)), max_size=3).map(tuple)
sites = st.sampled_from(["home", "shop"])
infos = st.builds(PeerInfo, nodes, addresses, sites, st.just("x"), steps)
rumours = st.builds(m.Rumour, nodes, st.sampled_from(m.MemberStatus), steps, nodes)
heads = st.lists(st.builds(m.Head, nodes, steps, steps), max_size=4).map(tuple)
pushes = st.builds(lambda push, owner: replace(push, owner=owner), arbitrary.pushes(), nodes)
messages = st.one_of(
    st.builds(m.Gossip, st.lists(infos, max_size=4).map(tuple), st.lists(rumours, max_size=4).map(tuple)),
    st.builds(m.Goodbye, st.sampled_from(CloseReason), steps),
    st.builds(m.StateDigest, heads, st.booleans()),
    st.builds(m.StatePull, heads, st.booleans()),
    pushes,
    arbitrary.messages.filter(lambda message: not isinstance(message, m.Hello)),
)
hellos = st.builds(m.Hello, nodes, st.just("mesh"), sites, st.just("x"), steps, steps, addresses)

said = st.tuples(st.just("say"), st.integers(0, 5), messages)
actions = st.one_of(
    said,
    said,
    said,
    st.tuples(st.just("link"), hellos, st.booleans()),
    st.tuples(st.just("cut"), st.integers(0, 5), st.sampled_from(CloseReason)),
    st.tuples(st.just("fire"), st.integers(0, 50), st.floats(0, 700)),
)


class Host:
    """Carries out what a node orders, as far as this test needs it."""

    def __init__(self) -> None:
        me = v.Identity(ME, "mesh", "home", "me", 1, (Address("10.0.0.3", 5684),))
        self.node = Node(me, NodeConfig(), Random(1))
        self.now = 1000.0
        self.timers: dict[v.TimerKey, float] = {}
        self.links: dict[v.LinkId, NodeId] = {}
        self.opened = 0
        self.hear(v.Started())
        self.hear(v.StoreSpace(1 << 30))
        for number in (1, 2, 4):
            self.act(("link", m.Hello(node(number), "mesh", "home", "x", 1, 1 << 16, (ADDRESS,)), True))

    def hear(self, event: v.Event) -> None:
        """Handle it, and what follows at once."""
        for effect in self.node.handle(event, self.now):
            match effect:
                case v.Send(_, message):
                    codec.encode(message)
                case v.SetTimer(key, at):
                    self.timers[key] = at
                case v.ClearTimer(key):
                    self.timers.pop(key, None)
                case v.Dial(wanted, where):
                    self.hear(v.DialFailed(wanted, where, "nobody"))
                case v.SignHead(epoch, version, map_hash):
                    self.hear(v.HeadSigned(epoch, version, map_hash, b"s" * 64, b"certificate"))
                case _:
                    pass
        codec.encode(self.node.membership.hello())

    def act(self, action: tuple[Any, ...]) -> None:
        """One thing that happens to a node."""
        match action:
            case ("link", m.Hello() as hello, bool(dialled)):
                if hello.node != ME and len(self.links) < 6:
                    self.opened += 1
                    link = v.LinkId(self.opened)
                    self.links[link] = hello.node
                    where = hello.addresses[0] if dialled and hello.addresses else None
                    self.hear(v.LinkOpened(link, hello.node, hello, where is not None, where))
            case ("say", int(which), message) if self.links:
                peer = list(self.links.values())[which % len(self.links)]
                self.hear(v.MessageReceived(peer, message))
            case ("cut", int(which), CloseReason() as reason) if self.links:
                link = list(self.links)[which % len(self.links)]
                self.hear(v.LinkClosed(link, self.links.pop(link), reason))
            case ("fire", int(which), float(later)) if self.timers:
                key = list(self.timers)[which % len(self.timers)]
                self.now = max(self.now + later, self.timers.pop(key))
                self.hear(v.TimerFired(key))
            case _:
                pass


@settings(max_examples=150, deadline=None)
@given(st.lists(actions, min_size=10, max_size=40))
def test_no_peer_makes_a_node_raise_or_say_what_cannot_be_sent(script: list[tuple[Any, ...]]) -> None:
    host = Host()
    host.hear(v.OwnEntriesChanged({"r/load": b"1"}))
    for action in script:
        host.act(action)
