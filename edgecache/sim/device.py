"""A virtual device: it drives the same core as the daemon does, on virtual links, timers and a virtual disk."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from edgecache.core import vocabulary as v
from edgecache.model.content import BlobInfo
from edgecache.model.errors import NotFound
from edgecache.model.ids import BlobId, NodeId
from edgecache.model.instant import Instant
from edgecache.model.peer import Address, CloseReason, PeerInfo, SeenVia
from edgecache.sim.dialler import Dialler
from edgecache.sim.disk import VirtualDisk
from edgecache.sim.lanes import Lane
from edgecache.sim.links import Link, Network
from edgecache.sim.transfers import Fetches, Serving
from edgecache.wire.messages import Goodbye, Hello, Message, StatePush

if TYPE_CHECKING:
    from edgecache.core.node import Node
    from edgecache.sim.mesh import VirtualMesh

PING_BYTES = 40
SPACE_STEP = 1024 * 1024
"""The core hears of the room on the disk when it has changed by so much."""


@dataclass(frozen=True, slots=True)
class Profile:
    """What a device is like: rates in bytes a second of whole Ethernet frames (0: no limit), seconds of one-way delay,
    bytes of disk."""

    site: str = "lab"
    uplink: float = 12.5e6
    downlink: float = 12.5e6
    delay: float = 0.0003
    capacity: int = 1 << 30
    dialable: bool = True
    chunk_work: float = 0.002
    """Seconds that the agent needs for a chunk besides the network, at each end: TLS, digest, disk; one after another.
    Measured: 2.3 ms for both ends, a busy machine not counted."""


@dataclass(slots=True)
class Outcome:
    """What became of a wish."""

    blob: BlobId
    wanted_at: Instant
    done_at: Instant | None = None
    failure: str = ""


@dataclass(slots=True)
class _Table:
    """Links of one boot."""

    of: dict[v.LinkId, tuple[Link, NodeId, Hello]] = field(default_factory=dict)
    to: dict[NodeId, list[Link]] = field(default_factory=dict)


class Device:
    """Off until `boot`; everything scheduled for one boot is void after it."""

    def __init__(self, mesh: VirtualMesh, index: int, node: NodeId, profile: Profile) -> None:
        self.mesh, self.index, self.node = mesh, index, node
        self.network: Network = mesh.network
        self.site, self.delay, self.profile = profile.site, profile.delay, profile
        self.name = f"pi{index}"
        self.address = Address(f"10.{index >> 16 & 255}.{index >> 8 & 255}.{index & 255}", 5684)
        self.uplink, self.downlink = Lane(mesh.world, profile.uplink), Lane(mesh.world, profile.downlink)
        self.disk = VirtualDisk(profile.capacity)
        self.powered = False
        self.running = False
        self.epoch = 0
        self.lies = False
        """Whatever it serves is not what was asked for."""
        self.verifies = True
        """Whether it checks what it stores; only a broken one does not."""
        self.seeds: tuple[Address, ...] = ()
        self.remembered: tuple[PeerInfo, ...] = ()
        self.wishes: dict[BlobId, Outcome] = {}
        self.served_bytes = 0
        self.put_bytes = 0
        self.core: Node
        self.fetches, self.serving, self.dialler = Fetches(self), Serving(self), Dialler(self)
        self._reset()
        self._effects: dict[type, Callable[[Any], None]] = {
            v.Dial: self.dialler.dial, v.CloseLink: self._close_link, v.Probe: self._probe, v.Send: self._send,
            v.SetTimer: self._set_timer, v.ClearTimer: self._clear_timer, v.SignHead: self._sign_head,
            v.RememberPeers: self._remember,
            v.FetchManifest: self.fetches.start, v.FetchChunk: self.fetches.start, v.CancelFetch: self.fetches.cancel,
            v.CompleteBlob: self._complete, v.EvictBlob: self._evict,
            v.ServeUnit: self.serving.serve, v.RefuseUnit: self.serving.refuse,
            v.StartBridge: self._start_bridge, v.StopBridge: self._stop_bridge, v.PaceLink: _noted,
            v.FetchFinished: self._finished, v.PutAdmitted: self._admitted,
            v.Warned: lambda effect: mesh.warned(self, effect),
            v.FetchProgressed: self._progressed, v.Resolved: _noted, v.MapChanged: _noted, v.MemberReported: _noted,
        }

    def _reset(self) -> None:
        self.fetches.clear()
        self.serving.clear()
        self._links = _Table()
        self._timers: dict[v.TimerKey, int] = {}
        self._timer_count = 0
        self._busy_until = 0.0
        self.bridging = False
        self.progress: dict[BlobId, v.FetchProgressed] = {}
        """Where each fetch stands, as last reported."""
        self._puts: dict[v.RequestId, tuple[BlobInfo, bool]] = {}
        self._put_count = 0
        self._space_told = 0

    # ---- power

    def boot(self) -> None:
        """Start the agent: a new epoch, an empty memory, and what the disk has kept."""
        assert not self.running
        self._reset()
        self.powered = self.running = True
        self.epoch += 1
        self.core = self.mesh.build(self)
        self.deliver(v.Started(self.remembered, self.seeds))
        self.space_changed(always=True)
        for held in self.disk.holdings():
            pages = len(held.pages)
            self.deliver(v.BlobHeld(held.info, held.have, pages, held.pinned, held.complete, held.wanted))
        self.mesh.broker.booted(self)

    def crash(self, *, silently: bool) -> None:
        """The agent dies (its kernel closes its connections), or the power goes (nobody says anything)."""
        self.running = False
        self.powered = not silently
        self.mesh.broker.stop(self)
        self.network.vanish(self, silently=silently)
        self.uplink.clear()
        self._reset()

    # ---- events

    @property
    def now(self) -> Instant:
        """Virtual time."""
        return self.mesh.world.now

    def deliver(self, event: v.Event) -> None:
        """Let the core handle an event now, and carry out what follows; nothing happens while the agent is down."""
        if not self.running:
            return
        effects = self.core.handle(event, self.now)
        self.mesh.handled(self, event, effects)
        for effect in effects:
            self._effects[type(effect)](effect)

    def soon(self, event: v.Event) -> None:
        """Deliver after what is going on now."""
        self.later(0.0, self.deliver, event)

    def later(self, delay: float, action: Callable[..., None], *arguments: Any) -> None:
        """Do something in this boot, or never."""
        self.mesh.world.after(delay, self._if_still, self.epoch, action, arguments)

    def work(self, seconds: float, action: Callable[..., None], *arguments: Any) -> None:
        """Do something that takes the agent so long, after what it is busy with."""
        self._busy_until = max(self._busy_until, self.now) + seconds
        self.later(self._busy_until - self.now, action, *arguments)

    def _if_still(self, epoch: int, action: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        if self.running and epoch == self.epoch:
            action(*arguments)

    def space_changed(self, *, always: bool = False) -> None:
        """Tell the core how much room is left, when that is news."""
        free = self.disk.free
        if always or abs(free - self._space_told) >= SPACE_STEP:
            self._space_told = free
            self.soon(v.StoreSpace(free))

    # ---- links

    def link_to(self, peer: NodeId) -> tuple[Link, int] | None:
        """The newest open link to a peer, and how many chunk requests the peer accepts on it."""
        links = self._links.to.get(peer)
        if not links:
            return None
        _, _, hello = self._links.of[links[-1].id]
        return links[-1], hello.limits.window

    def peer_of(self, link: Link) -> Device:
        """Who is at the other end."""
        return self.mesh.devices[link.other(self).endpoint.index]

    def may_link(self, other: NodeId) -> bool:
        """False for somebody whom the core has banned."""
        return self.core.membership.may_link(other, self.now)

    def link_opened(self, link: Link, hello: Hello, address: Address | None) -> None:
        """Both hellos are exchanged; `address` is where we dialled."""
        self._links.of[link.id] = (link, hello.node, hello)
        self._links.to.setdefault(hello.node, []).append(link)
        self.deliver(v.LinkOpened(link.id, hello.node, hello, address is not None, address))

    def link_lost(self, link: Link, reason: CloseReason, detail: str) -> None:
        """One of our connections has ended."""
        found = self._links.of.pop(link.id, None)
        if found is None:
            return
        peer = found[1]
        links = self._links.to[peer]
        links.remove(link)
        if not links:
            del self._links.to[peer]
        self.fetches.link_lost(link)
        self.serving.link_lost(link)
        self.soon(v.LinkClosed(link.id, peer, reason, detail))

    def receive(self, peer: NodeId, message: Message) -> None:
        """A control message has arrived; what is signed is verified before the core sees it."""
        if isinstance(message, StatePush) and not self.mesh.verify(message):
            self.deliver(v.Misbehaved(peer, 5, f"state of {message.owner} with a bad signature"))
            return
        self.deliver(v.MessageReceived(peer, message))

    # ---- effects: links

    def _close_link(self, effect: v.CloseLink) -> None:
        if (found := self._links.of.get(effect.link)) is None:
            return
        link, _, _ = found
        if effect.reason.planned:
            self._transmit(link, Goodbye(effect.reason, self.core.membership.hello().incarnation))
        self.network.close(link, self, effect.reason)

    def _probe(self, effect: v.Probe) -> None:
        if (found := self._links.of.get(effect.link)) is None:
            return
        link, began = found[0], self.now
        idle = began - link.end(self).heard_at
        if idle < effect.idle:
            self.soon(v.LinkProbed(effect.link, idle, None))
            return
        answered: list[bool] = []

        def pong() -> None:
            if not answered:
                answered.append(True)
                self.deliver(v.LinkProbed(effect.link, 0.0, self.now - began))

        def expired() -> None:
            if answered or effect.link not in self._links.of:
                return
            answered.append(True)
            heard = link.end(self).heard_at
            silent = heard <= began
            self.deliver(v.ProbeFailed(effect.link) if silent else v.LinkProbed(effect.link, self.now - heard, None))

        peer = self.peer_of(link)
        self.network.send(link, self, PING_BYTES, lambda: self.network.send(link, peer, PING_BYTES, pong))
        self.later(effect.timeout, expired)

    def _send(self, effect: v.Send) -> None:
        if (found := self.link_to(effect.peer)) is not None:
            self._transmit(found[0], effect.message)

    def _transmit(self, link: Link, message: Message) -> None:
        size, copy = self.mesh.on_the_wire(message)
        peer = self.peer_of(link)
        self.network.send(link, self, size, lambda: peer.receive(self.node, copy))

    def _remember(self, effect: v.RememberPeers) -> None:
        self.remembered = effect.peers

    # ---- effects: time, keys

    def _set_timer(self, effect: v.SetTimer) -> None:
        self._timer_count += 1
        self._timers[effect.key] = self._timer_count
        self.later(max(0.0, effect.at - self.now), self._fire, effect.key, self._timer_count)

    def _fire(self, key: v.TimerKey, number: int) -> None:
        if self._timers.get(key) == number:
            del self._timers[key]
            self.deliver(v.TimerFired(key))

    def _clear_timer(self, effect: v.ClearTimer) -> None:
        self._timers.pop(effect.key, None)

    def _sign_head(self, effect: v.SignHead) -> None:
        signature = self.mesh.sign(self.node, effect.epoch, effect.version, effect.map_hash)
        certificate = self.mesh.certificate(self.node)
        self.soon(v.HeadSigned(effect.epoch, effect.version, effect.map_hash, signature, certificate))

    # ---- effects: blobs

    def put(self, info: BlobInfo, *, pinned: bool) -> None:
        """A user puts a blob here: it is stored when there is room for it."""
        self._put_count += 1
        request = v.RequestId(self._put_count)
        self._puts[request] = (info, pinned)
        self.deliver(v.PutWanted(request, info.size))

    def measure(self, series: str, value: bytes) -> None:
        """A new reading of this device."""
        self.deliver(v.OwnEntriesChanged({f"r/{series}": value}))

    def _admitted(self, effect: v.PutAdmitted) -> None:
        info, pinned = self._puts.pop(effect.request)
        if not effect.refusal:
            self.put_bytes += info.size
            held = self.disk.put(info, pinned=pinned)
            self.space_changed()
            self.soon(v.BlobHeld(info, held.have, len(held.pages), pinned, complete=True))
        self.soon(v.PutEnded(effect.request))

    def want(self, blob: BlobId) -> None:
        """A user asks for a blob here."""
        self.wishes[blob] = Outcome(blob, self.now)
        self.deliver(v.FetchWanted(blob))

    def _finished(self, effect: v.FetchFinished) -> None:
        if (held := self.disk.get(effect.blob)) is not None:
            held.wanted = False
        if (wish := self.wishes.get(effect.blob)) is not None:
            wish.done_at, wish.failure = self.now, effect.failure

    def _complete(self, effect: v.CompleteBlob) -> None:
        self.later(0.0, self._completed, effect.blob)

    def _completed(self, blob: BlobId) -> None:
        with suppress(NotFound):
            self.disk.complete(blob)
            self.deliver(v.BlobCompleted(blob))

    def _evict(self, effect: v.EvictBlob) -> None:
        self.disk.remove(effect.blob)
        self.space_changed()
        self.soon(v.BlobGone(effect.blob))

    # ---- effects: the broker, and reports

    def _start_bridge(self, effect: v.StartBridge) -> None:
        self.bridging = True
        self.mesh.broker.start(self, effect.term)

    def _stop_bridge(self, effect: v.StopBridge) -> None:
        self.bridging = False
        self.mesh.broker.stop(self)

    def _progressed(self, effect: v.FetchProgressed) -> None:
        self.progress[effect.blob] = effect

    def sight(self, other: Device) -> None:
        """Multicast discovery has found another device."""
        self.deliver(v.PeerSighted(other.node, (other.address,), SeenVia.MDNS, other.site))


def _noted(report: v.Report | v.PaceLink) -> None:
    """Reports are in the trace; nothing else is to be done about them."""
