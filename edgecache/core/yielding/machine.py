"""The yielding machine.

Theory of operation. The driver measures links that carry transfers, a few times a second; each direction of each link
has a rate of its own (control.py), as somebody else's traffic may be on the way to one peer and not to another. What we
send is judged by TCP's round trip on that link; what we fetch by CoAP pings, as acknowledgements say nothing about the
other direction (rLEDBAT, RFC 9840, has the receiver shrink its window; we ask for less instead). Rates that changed are
told to the serving machine, which grants accordingly, and to the driver, which spreads requests. For the rest of the
core a link that yields is a slow link.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgecache.core.vocabulary import (
    Event,
    Identity,
    LinkDown,
    LinkMeasure,
    LinksMeasured,
    MachineName,
    MapChanged,
    Notice,
    Outbox,
    PaceLink,
    UploadPaced,
)
from edgecache.core.yielding.config import YieldingConfig
from edgecache.core.yielding.control import RateControl
from edgecache.model.content import unit_bytes
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant


@dataclass(frozen=True, slots=True)
class YieldView:
    """What one link may do now: bytes a second each way, and the queueing delays in seconds that led to it."""

    upload: float
    download: float
    upload_delay: float
    download_delay: float


@dataclass(slots=True, eq=False)
class _Link:
    upload: RateControl
    download: RateControl
    acked: int
    received: int
    at: Instant
    told: tuple[float, float] = (0.0, 0.0)


class Yielding:
    """Rates of the links of one node."""

    name = MachineName.YIELDING
    hears = (LinksMeasured, LinkDown)
    hears_messages = ()

    def __init__(self, me: Identity, config: YieldingConfig) -> None:
        self._config = config
        self._links: dict[NodeId, _Link] = {}

    def rates(self) -> dict[NodeId, YieldView]:
        """Links that were measured, and what they may do."""
        return {
            node: YieldView(link.upload.rate, link.download.rate, link.upload.queueing, link.download.queueing)
            for node, link in self._links.items()
        }

    def handle(self, event: Event | Notice | MapChanged, now: Instant, out: Outbox) -> None:
        """Take one event."""
        match event:
            case LinksMeasured():
                for measure in event.links:
                    self._measured(measure, now, out)
            case LinkDown():
                self._links.pop(event.peer, None)
            case _:
                pass

    def _measured(self, measure: LinkMeasure, now: Instant, out: Outbox) -> None:
        link = self._links.get(measure.peer)
        if link is None or measure.acked < link.acked or measure.received < link.received:
            link = self._begin(measure, now)
        seconds = now - link.at
        if measure.least_rtt:
            link.upload.known(measure.least_rtt, now)
        if measure.rtt and measure.acked > link.acked:
            link.upload.delayed(measure.rtt, now)
        if measure.ping is not None:
            link.download.delayed(measure.ping, now)
        link.upload.passed(measure.acked - link.acked, seconds)
        link.download.passed(measure.received - link.received, seconds)
        link.acked, link.received, link.at = measure.acked, measure.received, now
        self._tell(measure.peer, link, out)

    def _begin(self, measure: LinkMeasure, now: Instant) -> _Link:
        """A link that is new, or that replaced another."""
        config = self._config
        if measure.peer not in self._links and len(self._links) >= config.links_max:
            del self._links[next(iter(self._links))]
        link = _Link(RateControl(config), RateControl(config), measure.acked, measure.received, now)
        self._links[measure.peer] = link
        return link

    def _tell(self, peer: NodeId, link: _Link, out: Outbox) -> None:
        rates = (link.upload.rate, link.download.rate)
        if any(abs(new - old) > old * self._config.step for new, old in zip(rates, link.told, strict=True)):
            link.told = rates
            out.tell(UploadPaced(peer, link.upload.rate))
            unit = unit_bytes(link.download.rate * self._config.unit_time, self._config.unit_min)
            out.effect(PaceLink(peer, *rates, unit))
