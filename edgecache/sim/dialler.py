"""How a virtual device gets its links: a race over addresses, a handshake, two hellos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgecache.core.vocabulary import Dial, DialFailed
from edgecache.model.peer import Address

if TYPE_CHECKING:
    from edgecache.sim.device import Device

STAGGER = 0.25
"""Between the starts of two dials of one race."""

TIMEOUT = 5.0
"""A dial that nobody answers."""

HANDSHAKE_TRIPS = 4
HANDSHAKE_WORK = 0.020
"""TCP, TLS 1.3 with certificates of both sides, and the hello: round trips, and seconds of work for a small device."""

HELLO_BYTES = 400


@dataclass(slots=True)
class _Race:
    """The dials of one effect."""

    effect: Dial
    left: int
    won: bool = False


class Dialler:
    """Carries out Dial; a link or DialFailed comes of it, or nothing when the agent stops meanwhile."""

    def __init__(self, device: Device) -> None:
        self._device = device

    def dial(self, effect: Dial) -> None:
        """Race the addresses."""
        race = _Race(effect, len(effect.addresses))
        if not effect.addresses:
            self._device.soon(DialFailed(effect.node, (), "no address"))
        for place, address in enumerate(effect.addresses):
            self._device.later(place * STAGGER, self._try, race, address)

    def _try(self, race: _Race, address: Address) -> None:
        device = self._device
        network, target = device.network, device.mesh.at(address)
        if target is None or not target.powered or not network.reachable(device, target):
            device.later(TIMEOUT, self._missed, race, "no answer")
            return
        trip = network.delay(device, target) + network.delay(target, device)
        if not target.running or not target.profile.dialable:
            device.later(trip, self._missed, race, "connection refused")
            return
        device.later(HANDSHAKE_TRIPS * trip + HANDSHAKE_WORK, self._shake, race, address, target)

    def _shake(self, race: _Race, address: Address, target: Device) -> None:
        device = self._device
        if race.won:
            return
        if not target.running or not device.network.reachable(device, target):
            self._missed(race, "lost while connecting")
        elif target is device or race.effect.node not in (None, target.node):
            self._missed(race, f"{target.node} answers there")
        elif not (device.may_link(target.node) and target.may_link(device.node)):
            self._missed(race, "refused")
        else:
            race.won = True
            link = device.network.open(device, target)
            ours, theirs = device.core.membership.hello(), target.core.membership.hello()
            device.network.send(link, device, HELLO_BYTES, lambda: target.link_opened(link, ours, None))
            device.link_opened(link, theirs, address)

    def _missed(self, race: _Race, why: str) -> None:
        race.left -= 1
        if not race.left and not race.won:
            self._device.deliver(DialFailed(race.effect.node, race.effect.addresses, why))
