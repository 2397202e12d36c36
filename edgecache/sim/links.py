"""Virtual links: bytes take turns on the sender's cable, travel, queue at the receiver's, and arrive in order.

A slice of a stream (sockets.py) leaves by its sender's uplink (lanes.py), is on its way for the delay, waits for its
turn on the receiver's downlink, and is acknowledged by way of the receiver's uplink, behind what that sends. So a round
trip is as long as the queues are, and a link carries at most its socket's bytes in one. A partition loses nothing that
TCP would keep: bytes stall, and go on when it heals, unless somebody has given the connection up by then. An end whose
peer is gone learns it from what it sends.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from edgecache.core.vocabulary import LinkId
from edgecache.model.instant import Instant
from edgecache.model.peer import CloseReason
from edgecache.sim.border import Border
from edgecache.sim.lanes import Lane
from edgecache.sim.sockets import Arrival, Message, Sender, Slice
from edgecache.sim.world import World

CONTROL_QUEUE_BYTES = 1024 * 1024
"""Control bytes that may wait on one link; beyond, the connection is given up."""

FIN_BYTES = 60

SMALL_BYTES = 2048
"""What is as small as this, on a link that carries nothing else, needs no acknowledgement to make room for more."""


class Endpoint(Protocol):
    """What the network knows of a device."""

    index: int
    delay: float
    """Seconds that its last mile adds, one way."""
    site: str
    powered: bool
    uplink: Lane
    downlink: Lane

    def link_lost(self, link: Link, reason: CloseReason, detail: str) -> None:
        """One of its connections has ended."""
        ...


class End:
    """One side of a link."""

    __slots__ = ("arrived", "dead", "endpoint", "heard_at", "lingers", "open", "sender", "stalled")

    def __init__(self, link: Link, endpoint: Endpoint, network: Network) -> None:
        self.endpoint = endpoint
        self.open = True
        self.lingers = False
        """Closed by agreement: the peer hears why, and not that what it sends meanwhile comes too late."""
        self.dead = False
        """Its process or its device is gone, and what it had still to send."""
        self.heard_at: Instant = 0.0
        self.arrived: Instant = 0.0
        """When the last byte so far arrives here: nothing overtakes it."""
        self.stalled: list[Slice] = []
        """What this end has sent and the network does not carry at present."""
        self.sender = Sender(endpoint.uplink, lambda slice_, leaves: network.launch(link, self, slice_, leaves))


class Link:
    """One connection between two devices."""

    __slots__ = ("_ends", "id")

    def __init__(self, number: int, dialler: Endpoint, acceptor: Endpoint, network: Network) -> None:
        self.id = LinkId(number)
        self._ends = {one.index: End(self, one, network) for one in (dialler, acceptor)}

    def end(self, of: Endpoint) -> End:
        """The side of this device."""
        return self._ends[of.index]

    def other(self, of: Endpoint) -> End:
        """The side of its peer."""
        first, second = self._ends.values()
        return second if first.endpoint is of else first

    @property
    def ends(self) -> tuple[End, ...]:
        """Both sides; the one that dialled first."""
        return tuple(self._ends.values())


class Network:
    """All links, and what stands between the devices."""

    def __init__(self, world: World, *, site_delay: float = 0.010, jitter: float = 0.2) -> None:
        self._world = world
        self._rng = world.fork("network")
        self._site_delay = site_delay
        self._jitter = jitter
        self.border = Border()
        self._groups: dict[int, int] = {}
        self._unplugged: dict[int, bool] = {}
        self._links: dict[LinkId, Link] = {}
        self._opened = 0

    def delay(self, one: Endpoint, other: Endpoint) -> float:
        """One way, with some jitter."""
        base = one.delay + other.delay + (0.0 if one.site == other.site else self._site_delay)
        return base * (1.0 + self._jitter * self._rng.random())

    def reachable(self, one: Endpoint, other: Endpoint) -> bool:
        """Whether packets pass between two devices, whether anybody listens there or not."""
        if one.index in self._unplugged or other.index in self._unplugged:
            return False
        return self._groups.get(one.index, 0) == self._groups.get(other.index, 0)

    def links(self) -> Iterable[Link]:
        """All links that have an open end."""
        return self._links.values()

    def open(self, dialler: Endpoint, acceptor: Endpoint) -> Link:
        """A new link, open at both ends."""
        self._opened += 1
        link = Link(self._opened, dialler, acceptor, self)
        for end in link.ends:
            end.heard_at = self._world.now
        self._links[link.id] = link
        return link

    def send(self, link: Link, sender: Endpoint, size: int, arrival: Arrival) -> None:
        """Control: `arrival` is called at the receiver, if it gets there."""
        end = link.end(sender)
        if not end.open:
            return
        if end.sender.control_bytes > CONTROL_QUEUE_BYTES:
            self.lose(link, sender, CloseReason.BROKEN, "send queue is full")
            return
        end.sender.control(Message(size, arrival))

    def send_bulk(self, link: Link, sender: Endpoint, size: int, arrival: Arrival, sent: Arrival) -> None:
        """Bulk: waits behind control; `sent` is called when the socket has it; never when the link closes before."""
        if (end := link.end(sender)).open:
            end.sender.bulk(Message(size, arrival, sent))

    def launch(self, link: Link, here: End, slice_: Slice, leaves: Instant) -> None:
        """A slice is given to the sender's cable, and will have left it then."""
        there = link.other(here.endpoint)
        leaves = self.border.passed(here.endpoint.site, there.endpoint.site, slice_.size, leaves)
        at = leaves + self.delay(here.endpoint, there.endpoint)
        if here.sender.flying == slice_.size <= SMALL_BYTES and self.reachable(here.endpoint, there.endpoint):
            here.sender.flying, slice_.counted = 0, False
            there.arrived = max(there.arrived, at + there.endpoint.downlink.backlog)
            there.endpoint.downlink.take(slice_.size)
            self._world.at(there.arrived, self._arrive, link, here, there, slice_)
        else:
            self._world.at(at, self._queue, link, here, there, slice_)

    def _queue(self, link: Link, here: End, there: End, slice_: Slice) -> None:
        """A slice is before the receiver's cable."""
        if here.dead:
            return
        if not self.reachable(here.endpoint, there.endpoint):
            here.stalled.append(slice_)
            return
        there.arrived = max(there.arrived, there.endpoint.downlink.take(slice_.size))
        if slice_.messages or not there.open:
            self._world.at(there.arrived, self._arrive, link, here, there, slice_)
        else:
            there.heard_at = self._world.now
            self._acknowledge(here, there, slice_, there.arrived - self._world.now)

    def _arrive(self, link: Link, here: End, there: End, slice_: Slice) -> None:
        if not there.open:
            self._too_late(link, here, there)
            return
        there.heard_at = self._world.now
        if slice_.counted:
            self._acknowledge(here, there, slice_, 0.0)
        for message in slice_.messages:
            if there.open:
                message.arrival()

    def _acknowledge(self, here: End, there: End, slice_: Slice, after: float) -> None:
        back = there.endpoint.uplink.acknowledge(slice_.size) + self.delay(there.endpoint, here.endpoint)
        self._world.at(back + after, self._acknowledged, here, slice_.size)

    def _acknowledged(self, here: End, size: int) -> None:
        here.sender.acknowledged(size, self._world.now)

    def _too_late(self, link: Link, here: End, there: End) -> None:
        if there.lingers:
            return
        if there.endpoint.powered and self.reachable(there.endpoint, here.endpoint):
            delay = self.delay(there.endpoint, here.endpoint)
            self._world.after(delay, self._end, link, here.endpoint, CloseReason.BROKEN, "reset")

    def _end(self, link: Link, endpoint: Endpoint, reason: CloseReason, detail: str) -> None:
        end = link.end(endpoint)
        if not end.open:
            return
        end.open = False
        if end.lingers:
            end.sender.finish()
        else:
            end.sender.close()
        if not link.other(endpoint).open:
            self._links.pop(link.id, None)
        endpoint.link_lost(link, reason, detail)

    def close(self, link: Link, closer: Endpoint, reason: CloseReason) -> None:
        """Close one end. The other hears a planned reason after all control that was sent before; of an unplanned end
        it hears at once, or if the network does not carry it, by sending."""
        there = link.other(closer).endpoint
        link.end(closer).lingers = reason.planned
        if reason.planned:
            self.send(link, closer, FIN_BYTES, lambda: self._end(link, there, reason, "closed by the peer"))
        elif self.reachable(closer, there):
            delay = self.delay(closer, there)
            self._world.after(delay, self._end, link, there, CloseReason.BROKEN, "closed by the peer")
        self._end(link, closer, reason, "")

    def lose(self, link: Link, endpoint: Endpoint, reason: CloseReason, detail: str) -> None:
        """One end gives up without a word; the other learns it from what it sends."""
        self._world.at(self._world.now, self._end, link, endpoint, reason, detail)

    def vanish(self, gone: Endpoint, *, silently: bool) -> None:
        """The process behind an endpoint is dead: its kernel says so to the peers, unless the power went too."""
        for link in list(self._links.values()):
            if not any(end.endpoint is gone for end in link.ends):
                continue
            here, there = link.end(gone), link.other(gone)
            here.open, here.lingers, here.dead = False, False, True
            here.stalled.clear()
            here.sender.close()
            if not there.open:
                self._links.pop(link.id, None)
            elif not silently and self.reachable(gone, there.endpoint):
                delay = self.delay(gone, there.endpoint)
                self._world.after(delay, self._end, link, there.endpoint, CloseReason.BROKEN, "reset")

    def partition(self, groups: Sequence[Iterable[int]]) -> None:
        """Devices reach each other only inside a group; those that no group names stay together."""
        self._groups = {index: number for number, group in enumerate(groups, 1) for index in group}
        self._resume()

    def plug(self, index: int, plugged: bool) -> None:
        """Plug or pull a device's cable."""
        if plugged:
            self._unplugged.pop(index, None)
        else:
            self._unplugged[index] = True
        self._resume()

    def _resume(self) -> None:
        for link in list(self._links.values()):
            for end in link.ends:
                if end.stalled and self.reachable(end.endpoint, link.other(end.endpoint).endpoint):
                    waiting, end.stalled = end.stalled, []
                    for slice_ in waiting:
                        self.launch(link, end, slice_, self._world.now)
