"""All virtual devices, and what they share: network, keys, the catalogue of blobs, trace and checkers."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from edgecache.core.node import Node, NodeConfig
from edgecache.core.vocabulary import Effect, Event, Identity, Warned
from edgecache.model.content import BlobInfo
from edgecache.model.ids import NODE_ID_BYTES, BlobId, Digest, NodeId, node_id_from_bytes
from edgecache.model.peer import Address
from edgecache.sim.broker import Broker
from edgecache.sim.device import Device, Profile
from edgecache.sim.disk import virtual_blob
from edgecache.sim.links import Network
from edgecache.sim.sizes import Sizes
from edgecache.sim.trace import Trace
from edgecache.sim.world import World
from edgecache.wire.codec import decode, encode
from edgecache.wire.messages import Message, StatePush

if TYPE_CHECKING:
    from edgecache.sim.checkers import Checker

CERTIFICATE_BYTES = 600


class VirtualMesh:
    """The world as one object. `faithful`: every message is encoded and decoded, not only measured. `traced`:
    what happens is recorded."""

    def __init__(
        self, seed: int, config: NodeConfig, *, checkers: Sequence[Checker] = (), faithful: bool = False,
        traced: bool = True,
    ) -> None:
        self.world = World(seed)
        self.network = Network(self.world)
        self.broker = Broker()
        self.trace = Trace()
        self.checkers = tuple(checkers)
        self.devices: list[Device] = []
        self.blobs: dict[BlobId, BlobInfo] = {}
        self.warnings: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        """Bytes of control messages, by kind."""
        self.messages: Counter[str] = Counter()
        """How many there were, by kind."""
        self.events = 0
        """Events that the cores have handled."""
        self._traced = traced
        self._config = config
        self._faithful = faithful
        self._at: dict[Address, Device] = {}
        self._sizes = Sizes()

    # ---- devices

    def add(self, profile: Profile) -> Device:
        """One more device, switched off."""
        index = len(self.devices)
        node = node_id_from_bytes(hashlib.sha256(f"{self.world.seed}/node/{index}".encode()).digest()[:NODE_ID_BYTES])
        device = Device(self, index, node, profile)
        self.devices.append(device)
        self._at[device.address] = device
        return device

    def at(self, address: Address) -> Device | None:
        """Who has this address."""
        return self._at.get(address)

    def live(self) -> list[Device]:
        """Devices whose agent runs."""
        return [device for device in self.devices if device.running]

    def build(self, device: Device) -> Node:
        """The core of one boot of a device, with a random stream of its own."""
        addresses = (device.address,) if device.profile.dialable else ()
        host = hashlib.sha256(device.name.encode()).digest()[:8]
        me = Identity(device.node, "mesh", device.site, device.name, device.epoch, addresses, host)
        config = replace(self._config, cap=device.profile.capacity)
        return Node(me, config, self.world.fork(f"node/{device.index}/{device.epoch}"))

    def blob(self, name: str, size: int) -> BlobInfo:
        """A blob that somebody may put."""
        info = virtual_blob(name, size)
        self.blobs[info.blob] = info
        return info

    # ---- keys

    def sign(self, owner: NodeId, epoch: int, version: int, map_hash: Digest) -> bytes:
        """A keyed hash stands for the signature: nobody else can ask for it."""
        key = hashlib.sha256(f"{self.world.seed}/key/{owner}".encode()).digest()
        return hashlib.blake2b(b"%d.%d." % (epoch, version) + map_hash, key=key).digest()

    def verify(self, push: StatePush) -> bool:
        """Whether the owner has signed this head."""
        return push.signature == self.sign(push.owner, push.epoch, push.version, push.map_hash)

    def certificate(self, owner: NodeId) -> bytes:
        """As long as a real one."""
        return owner.encode().ljust(CERTIFICATE_BYTES, b".")

    # ---- what happens

    def on_the_wire(self, message: Message) -> tuple[int, Message]:
        """Its size there, and what the receiver sees."""
        size, kind = self._sizes.of(message), type(message).__name__
        self.sent[kind] += size
        self.messages[kind] += 1
        return size, decode(encode(message)) if self._faithful else message

    def handled(self, device: Device, event: Event, effects: Sequence[Effect]) -> None:
        """An event was handled: record and check it."""
        self.events += 1
        if self._traced:
            self.trace.record(self.world.now, device.index, event, effects)
        for checker in self.checkers:
            checker.step(device, event, effects)

    def warned(self, device: Device, warning: Warned) -> None:
        """A node would have logged something."""
        self.warnings[warning.cause.split(":")[0]] += 1
