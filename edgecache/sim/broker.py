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
        self._clients: dict[int, Device] = {}

    def configure(self, device: Device) -> None:
        """This device has a broker in its configuration, from now on and after restarts."""
        self._clients[device.index] = device
        self.booted(device)

    def clients(self) -> list[Device]:
        """Devices that run and have a broker configured."""
        return [device for device in self._clients.values() if device.running]

    def booted(self, device: Device) -> None:
        """A device's MQTT adapter finds the broker, if it has one."""
        if device.index in self._clients and device.running:
            device.soon(BrokerChanged(True, self.term))

    def start(self, device: Device, term: int) -> None:
        """A node takes the client id; who had it is fenced."""
        if term < self.term:
            device.soon(BridgeFenced(self.term))
            return
        previous, self.holder, self.term = self.holder, device, term
        if previous is not None and previous is not device:
            previous.soon(BridgeFenced(term))

    def stop(self, device: Device) -> None:
        """A node gives it back, or is gone."""
        if self.holder is device:
            self.holder = None
