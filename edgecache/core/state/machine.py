"""The state machine: own map, replicas of the others', and how news travels.

Theory of operation. Own changes are collected, get one version, and one signature over the hash of the whole map. The
push goes to the eager neighbours, who pass the very bytes on; the others hear of its head a little later (Plumtree). A
duplicate push prunes the edge it came over, an announcement that no push follows grafts one. A push that does not
continue what is known is not applied: the gap is pulled. Now and then a hash over all heads is compared with a random
neighbour (Scuttlebutt), which repairs whatever got lost. Only maps of the own site are replicated.

Continuity: whoever hears of its own map in a later epoch than its own (a restored card) goes on above it; hearing that
again while running means that a second device lives under the same key.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecache.core.state.config import StateConfig
from edgecache.core.state.own import FACT, FLUSH, OwnMap
from edgecache.core.state.owners import Owners
from edgecache.core.state.replica import Applied, Replica, size_of
from edgecache.core.state.tree import Tree
from edgecache.core.state.wanted import Wanted
from edgecache.core.vocabulary import (
    EntryChanged,
    Event,
    HeadSigned,
    Identity,
    LinkDown,
    LinkUp,
    MachineName,
    MapChanged,
    MemberChanged,
    MessageReceived,
    Misbehaved,
    Notice,
    Outbox,
    OwnEntriesChanged,
    OwnEntriesWanted,
    Started,
    TimerFired,
    TimerKey,
    Warned,
)
from edgecache.model.ids import NodeId, node_id_to_bytes
from edgecache.model.pacing import TokenBucket
from edgecache.wire.limits import HEADS_MAX
from edgecache.wire.messages import (
    Head,
    StateDigest,
    StatePrune,
    StatePull,
    StatePush,
    StateSummary,
)

if TYPE_CHECKING:
    from random import Random

    from edgecache.model.instant import Instant

_ME = MachineName.STATE
_SUMMARY = TimerKey(_ME, "summary")
_LAZY = TimerKey(_ME, "lazy")
_MISSING = "missing"
_PUSH_BYTES = 300
"""Head, signature and framing of a push; its certificate comes on top."""
_HEAD_BYTES = 32


@dataclass(frozen=True, slots=True)
class EntryView:
    """One live entry of somebody's map, and when this node received it (its own monotonic clock)."""

    owner: NodeId
    key: str
    value: bytes
    received: Instant


class State:
    """All maps of the site, as far as this node knows them."""

    name = _ME
    hears = (Started, OwnEntriesChanged, OwnEntriesWanted, HeadSigned, LinkUp, LinkDown, MemberChanged)
    hears_messages = (StateDigest, StateSummary, StatePull, StatePrune, StatePush)

    def __init__(self, me: Identity, config: StateConfig, rng: Random) -> None:
        self._me, self._config, self._rng = me, config, rng
        self._own = OwnMap(me.node, me.epoch, config)
        self._owners = Owners(me, config)
        self._tree = Tree(config)
        self._wanted = Wanted(config)
        self._handlers = {
            Started: self._started, OwnEntriesChanged: self._own_changed, OwnEntriesWanted: self._own_changed,
            HeadSigned: self._signed, LinkUp: self._link_up, LinkDown: self._link_down, MemberChanged: self._member,
            TimerFired: self._timer, MessageReceived: self._message,
        }
        self._messages = {
            StateDigest: self._digest, StateSummary: self._summary, StatePull: self._pull, StatePrune: self._prune,
            StatePush: self._push,
        }

    # ---- what others may look at

    def entries(self, prefix: str = "") -> list[EntryView]:
        """Live entries of all maps whose key begins with `prefix`, own ones first."""
        return [
            EntryView(replica.owner, entry.key, entry.value, replica.received.get(entry.key, 0.0))
            for replica in self._all()
            for entry in replica.entries.values()
            if entry.value is not None and entry.key.startswith(prefix)
        ]

    @property
    def epoch(self) -> int:
        """Of our own map: that of this boot, or a later one when the mesh knew more of us than our own disk."""
        return self._own.replica.epoch

    def _all(self) -> list[Replica]:
        return [self._own.replica, *self._owners.replicas.values()]

    def heads(self) -> list[Head]:
        """Where every known map stands; own one first."""
        return [replica.head for replica in self._all()]

    def value(self, owner: NodeId, key: str) -> bytes | None:
        """One value."""
        replica = self._map_of(owner)
        entry = replica.entries.get(key) if replica else None
        return entry.value if entry else None

    def _map_of(self, owner: NodeId) -> Replica | None:
        return self._own.replica if owner == self._me.node else self._owners.replicas.get(owner)

    # ---- routing

    def handle(self, event: Event | Notice | MapChanged, now: Instant, out: Outbox) -> None:
        """Take one event or notice."""
        self._handlers[type(event)](event, now, out)  # type: ignore[operator]

    def _message(self, event: MessageReceived, now: Instant, out: Outbox) -> None:
        if event.peer in self._tree:
            self._messages[type(event.message)](event.peer, event.message, now, out)  # type: ignore[operator]

    def _timer(self, event: TimerFired, now: Instant, out: Outbox) -> None:
        key = event.key
        if key == FLUSH:
            self._own.flush(now, out)
        elif key == _SUMMARY:
            self._compare(now, out)
        elif key == _LAZY:
            for peer, heads in self._tree.take_announcements():
                out.send(peer, StateDigest(heads[:HEADS_MAX]))
        elif key.name == _MISSING:
            self._still_missing(NodeId(str(key.subject)), now, out)

    def _started(self, event: Started, now: Instant, out: Outbox) -> None:
        out.timer(_SUMMARY, now + self._config.summary_interval * self._rng.random())

    # ---- own map

    def _own_changed(self, event: OwnEntriesChanged | OwnEntriesWanted, now: Instant, out: Outbox) -> None:
        self._own.stage(event.entries, now, out)

    def _signed(self, event: HeadSigned, now: Instant, out: Outbox) -> None:
        if (done := self._own.signed(event, now, out)) is not None:
            push, changed = done
            self._spread(push, None, now, out)
            self._tell(self._own.replica, changed, out)

    # ---- replicas

    def _push(self, peer: NodeId, push: StatePush, now: Instant, out: Outbox) -> None:
        if push.owner == self._me.node:
            self._own.heard_of(push.head, now, out)
            return
        replica = self._owners.replicas.get(push.owner)
        if replica is None:
            if not self._owners.is_news(push.head):
                return
            if push.since != 0:
                self._want(push.head, peer, now, out)
                return
            burst = self._config.owner_burst
            replica = Replica(push.owner, pace=TokenBucket(self._config.owner_rate, burst, burst))
        if push.head.position > replica.head.position and not replica.in_pace(push, now):
            return
        outcome, changed = replica.apply(push, now)
        if outcome is Applied.NEW:
            if push.owner not in self._owners.replicas:
                self._owners.keep(replica, now)
            self._wanted.came(push.head)
            self._tree.set_eager(peer, True)
            self._spread(push, peer, now, out)
            self._tell(replica, changed, out)
        elif outcome is Applied.OLD:
            if push.since != 0 and self._tree.set_eager(peer, False):
                out.send(peer, StatePrune())
        elif outcome is Applied.GAP:
            out.send(peer, StatePull((replica.head,)))
        elif push.since == 0:
            out.tell(Misbehaved(peer, 5, f"the map of {push.owner} does not have the hash that was signed"))
        else:
            out.send(peer, StatePull((Head(push.owner, 0, 0),)))

    def _spread(self, push: StatePush, source: NodeId | None, now: Instant, out: Outbox) -> None:
        """Pass news on. A whole map from elsewhere that is not its owner's first is what we had missed: others hardly
        want it too, so it is only announced."""
        caught_up = push.since == 0 and push.version > 1 and source is not None
        for peer in () if caught_up else self._tree.eager():
            if peer not in (source, push.owner):
                out.send(peer, push)
        if self._tree.announce(push.head, besides=(source, push.owner), eager_too=caught_up):
            out.timer(_LAZY, now + self._config.lazy_delay)

    def _tell(self, replica: Replica, changed: tuple[str, ...], out: Outbox) -> None:
        if not changed:
            return
        out.effect(MapChanged(replica.owner, changed))
        for key in changed:
            if key.startswith(FACT):
                entry = replica.entries.get(key)
                out.tell(EntryChanged(replica.owner, key, entry.value if entry else None))

    # ---- neighbours and anti-entropy

    def _link_up(self, event: LinkUp, now: Instant, out: Outbox) -> None:
        if event.hello.site != self._me.site or event.peer in self._tree:
            return
        self._tree.add(event.peer)
        if self._me.node < event.peer:
            self._send_digest(event.peer, now, out)

    def _link_down(self, event: LinkDown, now: Instant, out: Outbox) -> None:
        self._tree.remove(event.peer)
        self._wanted.lost(event.peer)

    def _current(self, now: Instant) -> list[Replica]:
        """The maps that take part in digests; one that is still empty would never be in sync."""
        return [replica for replica in (self._own.replica, *self._owners.current(now)) if replica.version]

    def _send_digest(self, peer: NodeId, now: Instant, out: Outbox) -> None:
        """All heads. Where no more maps can be kept, absence does not mean that they are wanted."""
        heads = tuple(replica.head for replica in self._current(now))
        if self._tree.may_answer(peer, _HEAD_BYTES * len(heads), now):
            out.send(peer, StateDigest(heads, complete=not self._owners.full))

    def _hash_of_heads(self, now: Instant) -> bytes:
        digest = hashlib.sha256()
        for head in sorted((replica.head for replica in self._current(now)), key=lambda head: head.owner):
            digest.update(node_id_to_bytes(head.owner) + b"%d.%d" % head.position)
        return digest.digest()[:8]

    def _compare(self, now: Instant, out: Outbox) -> None:
        """Rare upkeep: compare with a random neighbour, forget tombstones and dead owners."""
        out.timer(_SUMMARY, now + self._config.summary_interval * (0.75 + self._rng.random() / 2))
        if neighbours := self._tree.neighbours():
            out.send(self._rng.choice(neighbours), StateSummary(self._hash_of_heads(now)))
        for replica in self._all():
            replica.sweep(now - self._config.tombstone_time)
        for replica in self._owners.forget(now):
            out.effect(MapChanged(replica.owner, (), gone=True))
            for key in [key for key in replica.received if key.startswith(FACT)]:
                out.tell(EntryChanged(replica.owner, key, None))
        if self._owners.full:
            text = f"this site has more than {self._config.owners_max} nodes: the readings of some are not known here"
            out.effect(Warned("state-owners", text))

    def _summary(self, peer: NodeId, message: StateSummary, now: Instant, out: Outbox) -> None:
        if message.hash != self._hash_of_heads(now):
            self._send_digest(peer, now, out)

    def _digest(self, peer: NodeId, message: StateDigest, now: Instant, out: Outbox) -> None:
        theirs = {head.owner: head for head in message.heads}
        ours = theirs.pop(self._me.node, None)
        if ours is not None and self._own.is_news(ours):
            out.send(peer, StatePull((Head(self._me.node, 0, 0),)))  # anybody can say so: only our signature counts
        behind = [head for head in theirs.values() if self._owners.is_news(head)]
        if not message.complete:
            for head in behind:
                self._want(head, peer, now, out)
            return
        if behind:
            out.send(peer, StatePull(tuple(self._owners.standing(head.owner) for head in behind)))
        for replica in self._current(now):
            head = (ours if replica is self._own.replica else theirs.get(replica.owner)) or Head(replica.owner, 0, 0)
            self._answer(peer, replica, head, now, out)

    def _answer(self, peer: NodeId, replica: Replica, head: Head, now: Instant, out: Outbox) -> None:
        """Tell a neighbour what it lacks of a map, within its budget: what is left out it will miss again."""
        if not replica.version or replica.head.position <= head.position:
            return
        push = replica.push_since(head.version, head.epoch)
        if self._tree.may_answer(peer, _PUSH_BYTES + len(push.certificate) + size_of(push.entries), now):
            out.send(peer, push)

    def _pull(self, peer: NodeId, message: StatePull, now: Instant, out: Outbox) -> None:
        if message.graft:
            self._tree.set_eager(peer, True)
        for head in message.heads:
            if (replica := self._map_of(head.owner)) is not None:
                self._answer(peer, replica, head, now, out)

    def _prune(self, peer: NodeId, message: StatePrune, now: Instant, out: Outbox) -> None:
        self._tree.set_eager(peer, False)

    # ---- what was announced and has not come

    def _want(self, head: Head, peer: NodeId, now: Instant, out: Outbox) -> None:
        if self._wanted.announced(head, peer):
            out.timer(TimerKey(_ME, _MISSING, head.owner), now + self._config.graft_delay)

    def _still_missing(self, owner: NodeId, now: Instant, out: Outbox) -> None:
        """Ask one announcer, and later the next."""
        standing = self._owners.standing(owner)
        peer = self._wanted.next(owner, standing.position)
        if peer is None:
            return
        self._tree.set_eager(peer, True)
        out.send(peer, StatePull((standing,), graft=True))
        if owner in self._wanted:
            out.timer(TimerKey(_ME, _MISSING, owner), now + self._config.pull_retry)

    def _member(self, event: MemberChanged, now: Instant, out: Outbox) -> None:
        self._owners.member(event, now)
