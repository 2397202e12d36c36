"""A virtual MQTT broker, as far as the election of the bridge sees it: one client id, whose newest holder has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecache.core.vocabulary import BridgeFenced, BrokerChanged

if TYPE_CHECKING:
    from edgecache.sim.device import Device


class Broker:
    """Holds the highest term that was ever taken, like a retained message."""

    def __init__(self) -> None:
        self.term = 0
        self.holder: Device | None = None
        self.up = True
        self.takeovers = 0

    def reach(self, device: Device) -> None:
        """The device's MQTT adapter looks for its broker."""
        device.deliver(BrokerChanged(self.up, self.term))

    def start(self, device: Device, term: int) -> None:
        """A node takes the client id; who had it is fenced."""
        if term < self.term:
            device.soon(BridgeFenced(self.term))
            return
        previous, self.holder, self.term = self.holder, device, term
        if previous is not device:
            self.takeovers += 1
        if previous is not None and previous is not device:
            previous.soon(BridgeFenced(term))

    def stop(self, device: Device) -> None:
        """A node gives it back."""
        if self.holder is device:
            self.holder = None

    def lost(self, device: Device) -> None:
        """A node is gone."""
        self.stop(device)
