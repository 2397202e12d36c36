"""What must be true: after every step on the device that it touched, and of the whole mesh when it has come to rest.

They look from outside, at disks, queues and what nodes say they see, and never ask a machine whether it is right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, Protocol

from edgecache.core.vocabulary import Effect, Event, EvictBlob, ServeUnit
from edgecache.model.content import LARGE_CHUNK_BYTES
from edgecache.model.errors import InvariantBroken
from edgecache.sim.transfers import ANSWER_BYTES
from edgecache.wire.messages import MemberStatus

if TYPE_CHECKING:
    from edgecache.core.node import NodeConfig
    from edgecache.sim.device import Device
    from edgecache.sim.mesh import VirtualMesh


_CONSTANT = ("_handlers", "_messages")
"""What every machine has from its start: which method takes which event."""


class Violation(InvariantBroken):
    """Something that must never be was seen in a simulation."""

    code = "violation"


class Checker(Protocol):
    """Raises Violation."""

    def step(self, device: Device, event: Event, effects: Sequence[Effect]) -> None:
        """An event was handled; its effects are not carried out yet."""
        ...

    def at_rest(self, mesh: VirtualMesh) -> None:
        """Nothing is going on any more."""
        ...


class ServesWhatIsVerified:
    """A node serves chunks that its disk has and that are right; nothing else, ever."""

    def step(self, device: Device, event: Event, effects: Sequence[Effect]) -> None:
        """Looks at each unit that is granted."""
        for effect in effects:
            if not isinstance(effect, ServeUnit):
                continue
            asked = device.serving.what(effect.request)
            if asked is None:
                raise Violation(f"{device.name} serves unit {effect.request}, which nobody waits for")
            blob, index = asked
            held = device.disk.get(blob)
            if held is None or index not in held.have:
                raise Violation(f"{device.name} serves chunk {index} of {blob}, which it does not have")
            if index in held.spoiled:
                raise Violation(f"{device.name} serves chunk {index} of {blob}, which was never verified")

    def at_rest(self, mesh: VirtualMesh) -> None:
        """No disk has anything unverified."""
        for device in mesh.devices:
            for held in device.disk.holdings():
                if held.spoiled:
                    raise Violation(f"{device.name} has stored unverified chunks of {held.info.blob}")


class KeepsPins:
    """What is pinned is never evicted."""

    def step(self, device: Device, event: Event, effects: Sequence[Effect]) -> None:
        """Looks at each eviction."""
        for effect in effects:
            if isinstance(effect, EvictBlob):
                held = device.disk.get(effect.blob)
                if held is not None and held.pinned:
                    raise Violation(f"{device.name} evicts {effect.blob}, which is pinned")

    def at_rest(self, mesh: VirtualMesh) -> None:
        """Nothing to add."""


class HoldsBounds:
    """Disks, windows and tables stay within their limits.

    Tables are found by looking through the machines' memory, which takes time: each device is looked at every
    `every` events. No table may be longer than the largest count that its machine's settings allow.
    """

    def __init__(self, config: NodeConfig, every: int = 2000) -> None:
        self._config = config
        self._every = every
        self._seen: dict[int, int] = {}
        self.peaks: dict[str, int] = {}
        """The longest that each table was seen, by name."""

    def step(self, device: Device, event: Event, effects: Sequence[Effect]) -> None:
        """Cheap bounds each time, tables now and then."""
        if device.disk.used > device.disk.capacity:
            raise Violation(f"{device.name} has {device.disk.used} bytes on a disk of {device.disk.capacity}")
        serving = self._config.serving
        if device.uplink.bulk_bytes > serving.bytes_max + serving.slots * ANSWER_BYTES:
            raise Violation(f"{device.name} has {device.uplink.bulk_bytes} bytes of chunks in its send queue")
        if device.fetches.bytes:
            if device.fetches.bytes > self._config.swarm.inflight_bytes_max + LARGE_CHUNK_BYTES:
                raise Violation(f"{device.name} has {device.fetches.bytes} bytes in flight")
            for asked, window in device.fetches.window_use():
                if asked > window:
                    raise Violation(f"{device.name} has asked a peer for {asked} chunks, which takes {window}")
        seen = self._seen[device.index] = self._seen.get(device.index, 0) + 1
        if seen % self._every == 0:
            self._look(device)

    def at_rest(self, mesh: VirtualMesh) -> None:
        """Everybody's tables, and nothing that is still asked for."""
        for device in mesh.live():
            self._look(device)
            if len(device.fetches):
                raise Violation(f"{device.name} still waits for {len(device.fetches)} answers")

    def _look(self, device: Device) -> None:
        for section in fields(self._config):
            config = getattr(self._config, section.name)
            if not is_dataclass(config):
                continue
            limit = _largest_count(config)
            for name, size in tables(getattr(device.core, section.name), section.name):
                if size > self.peaks.get(name, 0):
                    self.peaks[name] = size
                if size > limit:
                    raise Violation(f"{device.name}: {name} has {size} entries, the largest bound is {limit}")


def _largest_count(config: Any) -> int:
    """The largest number of things that a machine's settings allow; 256 for one that names none."""
    counts = [256]
    for one in fields(config):
        value = getattr(config, one.name)
        if one.name.endswith("_max") and isinstance(value, int) and "bytes" not in one.name:
            counts.append(value)
    return max(counts)


def tables(root: object, name: str) -> Iterator[tuple[str, int]]:
    """Every container that an object of ours holds, directly or through others of ours, with its size.

    It is called by the machine and by the attribute that it was found at first.
    """
    seen: list[object] = [root]
    for item in seen:
        for attribute, value in _attributes(item):
            if attribute in _CONSTANT:
                continue
            if hasattr(value, "__len__") and not isinstance(value, str | bytes | tuple):
                yield f"{name}.{attribute.lstrip('_')}", len(value)
            if type(value).__module__.startswith("edgecache.core") and not any(value is one for one in seen):
                seen.append(value)


def _attributes(item: object) -> Iterator[tuple[str, Any]]:
    if hasattr(item, "__dict__"):
        yield from vars(item).items()
    for kind in type(item).__mro__:
        for slot in getattr(kind, "__slots__", ()):
            if hasattr(item, slot):
                yield slot, getattr(item, slot)


class Converges:
    """At rest, everybody who wants a blob has it, knows the same maps, and sees the same members."""

    def step(self, device: Device, event: Event, effects: Sequence[Effect]) -> None:
        """Nothing: on the way there, nodes may differ."""

    def at_rest(self, mesh: VirtualMesh) -> None:
        """Compares all live devices of each site."""
        for device in mesh.live():
            for wish in device.wishes.values():
                held = device.disk.get(wish.blob)
                if held is None or not held.complete:
                    raise Violation(f"{device.name} wanted {wish.blob} and has {_share(held)} of it")
        for site in sorted({device.site for device in mesh.devices}):
            live = [device for device in mesh.live() if device.site == site]
            _same_maps(live)
            _same_members(live)


def _share(held: object) -> str:
    have, info = getattr(held, "have", None), getattr(held, "info", None)
    return "nothing" if have is None or info is None else f"{len(have)} of {info.chunks} chunks"


def _same_maps(live: Sequence[Device]) -> None:
    """Every live owner's map stands, at everybody, where its owner has it."""
    owners = {device.node: device for device in live}
    truth = {device.node: device.core.state.heads()[0] for device in live}
    for device in live:
        known = {head.owner: head for head in device.core.state.heads()}
        for owner, head in truth.items():
            if head.version and known.get(owner) != head:
                standing = known.get(owner)
                raise Violation(f"{device.name} has the map of {owners[owner].name} at {standing}, it is at {head}")


def _same_members(live: Sequence[Device]) -> None:
    """Everybody believes the live ones alive and nobody else."""
    alive = {device.node: device.name for device in live}
    for device in live:
        believed = {
            view.node: view.status for view in device.core.membership.peers() if view.site == device.site
        }
        for node, name in alive.items():
            status = MemberStatus.ALIVE if node == device.node else believed.get(node)
            if status is not MemberStatus.ALIVE:
                raise Violation(f"{device.name} believes {name} {status.name.lower() if status else 'unknown'}")
        ghosts = [node for node, status in believed.items() if status is MemberStatus.ALIVE and node not in alive]
        if ghosts:
            raise Violation(f"{device.name} believes {ghosts[0]} alive, and it is not")


class OneBridge:
    """At rest, one node of those that have a broker publishes, and the broker agrees."""

    def step(self, device: Device, event: Event, effects: Sequence[Effect]) -> None:
        """Nothing: the broker lets nobody but the holder of its client id publish."""

    def at_rest(self, mesh: VirtualMesh) -> None:
        """Compares what nodes do with what the broker knows."""
        bridging = [device for device in mesh.live() if device.bridging]
        if mesh.broker.clients() and len(bridging) != 1:
            raise Violation(f"{len(bridging)} nodes bridge: {', '.join(device.name for device in bridging) or '-'}")
        if bridging and mesh.broker.holder is not bridging[0]:
            raise Violation(f"{bridging[0].name} bridges, and the broker has fenced it")
