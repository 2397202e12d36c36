"""Two devices with one identity, as a copied SD card makes them: a nuisance, but no storm of handshakes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest

from edgecache.core.node import NodeConfig
from edgecache.core.vocabulary import Effect, Event, LinkOpened, Warned
from edgecache.sim.device import Device, Profile
from edgecache.sim.mesh import VirtualMesh
from edgecache.sim.workload import join

DEVICES = 5
SETTLED = 30.0
WATCHED = 120.0


class Counting:
    """Links that open at each device, and warnings, once things have settled."""

    def __init__(self) -> None:
        self.links: Counter[int] = Counter()
        self.texts: dict[str, str] = {}

    def step(self, device: Device, event: Event, effects: Sequence[Effect]) -> None:
        """An event was handled."""
        if isinstance(event, LinkOpened) and device.now > SETTLED:
            self.links[device.index] += 1
        for effect in effects:
            if isinstance(effect, Warned):
                self.texts[effect.cause] = effect.text

    def at_rest(self, mesh: VirtualMesh) -> None:
        """Nothing is looked at then."""


@pytest.mark.parametrize("multicast", [False, True], ids=["seeds", "mdns"])
def test_two_devices_with_one_key_do_not_replace_each_other_for_ever(multicast: bool) -> None:
    counting = Counting()
    mesh = VirtualMesh(1, NodeConfig(), checkers=(counting,))
    for _ in range(DEVICES + 1):
        mesh.add(Profile())
    original, clone = mesh.devices[1], mesh.devices[-1]
    clone.node = original.node
    join(range(DEVICES + 1))(mesh, Random(1))

    def sight() -> None:
        for device in mesh.live():
            for other in mesh.live():
                if other.node != device.node:
                    device.sight(other)
        mesh.world.after(5.0, sight)

    if multicast:
        mesh.world.at(1.0, sight)
    mesh.world.run(SETTLED + WATCHED)

    honest = [device for device in mesh.devices if device.node != original.node]
    for device in honest:
        assert counting.links[device.index] <= WATCHED / 5, "a few a minute at most"
        assert device.link_to(original.node) is not None, "one of the two is linked"
        assert all(device.link_to(other.node) for other in honest if other is not device)
    assert "edgecache init --key-only" in counting.texts[f"cloned:{original.node}"]
    assert "node.key" in counting.texts[f"cloned:{original.node}"]
