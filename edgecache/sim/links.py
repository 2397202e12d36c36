"""Virtual links: bytes take turns on the sender's uplink, travel, and arrive in order; or the link is lost.

A node's uplink is one bounded queue. Control goes before bulk: it waits for the slice of bulk that is under way on the
same link, which the socket has already, never for the rest, nor for other links, which the kernel serves in turn. A
partition loses nothing that TCP would keep: bytes stall, and go on when it heals, unless somebody has given the
connection up by then. An end whose peer is gone learns it from what it sends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edgecache.core.vocabulary import LinkId
from edgecache.model.instant import Instant
from edgecache.model.peer import CloseReason
from edgecache.sim.world import World

SLICE_BYTES = 64 * 1024
SLICE_SECONDS = 0.1
"""Bulk is handed to the socket in slices: as much as 100 ms carry, but not less than 64 KiB."""

CONTROL_QUEUE_BYTES = 1024 * 1024
"""Control bytes that may wait on one link; beyond, the connection is given up."""

FIN_BYTES = 60

AT_ONCE = 0.001
"""What leaves within a millisecond has left: whether a cable is pulled meanwhile is not looked at."""

Arrival = Callable[[], None]


@dataclass(slots=True)
class _Bulk:
    size: int
    link: Link
    sent: Arrival


class Uplink:
    """Serialises what a node sends at its rate (bytes per second, 0: no limit)."""

    def __init__(self, world: World, rate: float = 0.0) -> None:
        self._world = world
        self.rate = rate
        self.sent_bytes = 0
        self.bulk_bytes = 0
        """Bytes of bulk that wait or are under way."""
        self._control_free: Instant = 0.0
        self._queue: deque[_Bulk] = deque()
        self._current: _Bulk | None = None
        self._began: Instant = 0.0
        self._debt = 0.0

    def control(self, size: int, link: Link) -> Instant:
        """When a control message given now will have been sent on this link."""
        self.sent_bytes += size
        now = self._world.now
        if not self.rate:
            return now
        takes = size / self.rate
        self._control_free = max(self._control_free, now + self._rest_of_slice(link)) + takes
        if self._current is not None:
            self._debt += takes
        return self._control_free

    def _rest_of_slice(self, link: Link) -> float:
        if self._current is None or self._current.link is not link:
            return 0.0
        whole = max(SLICE_BYTES, self.rate * SLICE_SECONDS) / self.rate
        return min(whole - (self._world.now - self._began) % whole, self._current.size / self.rate)

    def bulk(self, size: int, link: Link, sent: Arrival) -> None:
        """Queue bulk: `sent` is called when its last byte has left; never when the link closes before."""
        self.bulk_bytes += size
        self._queue.append(_Bulk(size, link, sent))
        if self._current is None:
            self._next()

    def forget(self, link: Link) -> None:
        """Its connection is closed: what waits for it, or is under way, is gone."""
        kept = [bulk for bulk in self._queue if bulk.link is not link]
        self.bulk_bytes -= sum(bulk.size for bulk in self._queue) - sum(bulk.size for bulk in kept)
        self._queue = deque(kept)
        if self._current is not None and self._current.link is link:
            self.bulk_bytes -= self._current.size
            self._next()

    def _next(self) -> None:
        self._current = None
        if self._queue:
            self._current = bulk = self._queue.popleft()
            self._began = max(self._world.now, self._control_free)
            self._debt = 0.0
            self._world.at(self._began + (bulk.size / self.rate if self.rate else 0.0), self._finish, bulk)

    def _finish(self, bulk: _Bulk) -> None:
        if self._current is not bulk:
            return
        if self._debt:
            debt, self._debt = self._debt, 0.0
            self._world.after(debt, self._finish, bulk)
            return
        self.bulk_bytes -= bulk.size
        self.sent_bytes += bulk.size
        bulk.sent()
        self._next()

    def clear(self) -> None:
        """Power is gone, and all that waited with it."""
        self._queue.clear()
        self._current = None
        self.bulk_bytes = 0
        self._control_free = 0.0


class Downlink:
    """The receiving side: bulk of several senders shares its rate."""

    def __init__(self, world: World, rate: float = 0.0) -> None:
        self._world = world
        self.rate = rate
        self.received_bytes = 0
        self._free: Instant = 0.0

    def arrival(self, size: int, earliest: Instant) -> Instant:
        """When bulk whose last byte could be here at `earliest` is here; one sender below the rate is not slowed."""
        self.received_bytes += size
        if not self.rate:
            return earliest
        self._free = max(earliest, self._free + size / self.rate)
        return self._free


class Endpoint(Protocol):
    """What the network knows of a device."""

    index: int
    delay: float
    """Seconds that its last mile adds, one way."""
    site: str
    powered: bool
    uplink: Uplink
    downlink: Downlink

    def link_lost(self, link: Link, reason: CloseReason, detail: str) -> None:
        """One of its connections has ended."""
        ...


@dataclass(slots=True)
class End:
    """One side of a link."""

    endpoint: Endpoint
    open: bool = True
    lingers: bool = False
    """Closed by agreement: the peer hears why, and not that what it sends meanwhile comes too late."""
    dead: bool = False
    """Its process or its device is gone, and what it had still to send."""
    heard_at: Instant = 0.0
    arrived: Instant = 0.0
    """When the last byte so far arrives here: nothing overtakes it."""
    waiting: int = 0
    """Bytes of control that this end has to send and that have not left."""
    stalled: list[tuple[int, bool, Arrival]] = field(default_factory=list)
    """What this end has sent and the network does not carry at present: (bytes, bulk, arrival)."""


class Link:
    """One connection between two devices."""

    __slots__ = ("_ends", "id")

    def __init__(self, number: int, dialler: Endpoint, acceptor: Endpoint) -> None:
        self.id = LinkId(number)
        self._ends = {dialler.index: End(dialler), acceptor.index: End(acceptor)}

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
        link = Link(self._opened, dialler, acceptor)
        for end in link.ends:
            end.heard_at = self._world.now
        self._links[link.id] = link
        return link

    def send(self, link: Link, sender: Endpoint, size: int, arrival: Arrival) -> None:
        """Control: `arrival` is called at the receiver, if it gets there."""
        end = link.end(sender)
        if not end.open:
            return
        if end.waiting > CONTROL_QUEUE_BYTES:
            self.lose(link, sender, CloseReason.BROKEN, "send queue is full")
            return
        end.waiting += size
        leaves = sender.uplink.control(size, link)
        if leaves - self._world.now < AT_ONCE:
            self._travel(link, sender, size, False, arrival, leaves)
        else:
            self._world.at(leaves, self._travel, link, sender, size, False, arrival, leaves)

    def send_bulk(self, link: Link, sender: Endpoint, size: int, arrival: Arrival, sent: Arrival) -> None:
        """Bulk: waits behind control; `sent` is called when it has left the sender."""

        def leave() -> None:
            self._travel(link, sender, size, True, arrival, self._world.now)
            sent()

        if link.end(sender).open:
            sender.uplink.bulk(size, link, leave)

    def _travel(
        self, link: Link, sender: Endpoint, size: int, bulk: bool, arrival: Arrival, leaves: Instant
    ) -> None:
        here, there = link.end(sender), link.other(sender)
        if here.dead:
            return
        if not self.reachable(sender, there.endpoint):
            here.stalled.append((size, bulk, arrival))
            return
        if not bulk:
            here.waiting -= size
        earliest = leaves + self.delay(sender, there.endpoint)
        if bulk:
            earliest = there.endpoint.downlink.arrival(size, earliest)
        there.arrived = max(there.arrived, earliest)
        self._world.at(there.arrived, self._arrive, link, there, arrival)

    def _arrive(self, link: Link, there: End, arrival: Arrival) -> None:
        if there.open:
            there.heard_at = self._world.now
            arrival()
            return
        sender = link.other(there.endpoint).endpoint
        if there.lingers:
            return
        if there.endpoint.powered and self.reachable(there.endpoint, sender):
            self._world.after(self.delay(there.endpoint, sender), self._end, link, sender, CloseReason.BROKEN, "reset")

    def _end(self, link: Link, endpoint: Endpoint, reason: CloseReason, detail: str) -> None:
        end = link.end(endpoint)
        if not end.open:
            return
        end.open = False
        endpoint.uplink.forget(link)
        if not link.other(endpoint).open:
            self._links.pop(link.id, None)
        endpoint.link_lost(link, reason, detail)

    def close(self, link: Link, closer: Endpoint, reason: CloseReason) -> None:
        """Close one end. The other hears a planned reason after all control that was sent before; of an unplanned end
        it hears at once, or if the network does not carry it, by sending."""
        told = reason if reason.planned else CloseReason.BROKEN
        there = link.other(closer).endpoint
        link.end(closer).lingers = reason.planned
        if reason.planned or self.reachable(closer, there):
            self.send(link, closer, FIN_BYTES, lambda: self._end(link, there, told, "closed by the peer"))
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
                    for size, bulk, arrival in waiting:
                        self._travel(link, end.endpoint, size, bulk, arrival, self._world.now)
