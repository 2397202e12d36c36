"""Measures links that carry transfers, for a node that lets somebody else's traffic go first."""

from __future__ import annotations

import asyncio

from edgecache.core import vocabulary as v
from edgecache.daemon.driver import Driver
from edgecache.model.errors import TransportError
from edgecache.model.ids import NodeId
from edgecache.ports import LinkGauge

PING_TIMEOUT = 3.0
"""A ping that takes longer than this is not worth waiting for; the next says more."""


class LinkWatch:
    """Measures the links that carry transfers and tells the core."""

    def __init__(self, driver: Driver, interval: float) -> None:
        self._driver, self._interval = driver, interval
        self._pings: dict[NodeId, float] = {}
        self._asked: dict[NodeId, None] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._interval)
            transfers = self._driver.transfers
            if not (transfers.under_way or self._driver.serving.under_way):
                continue
            gauges = {gauge.peer: gauge for gauge in self._driver.links.measure()}
            for peer in transfers.sources():
                if peer in gauges and peer not in self._asked:
                    self._asked[peer] = None
                    self._driver.spawn(self._ping(gauges[peer]))
            self._driver.post(v.LinksMeasured(tuple(self._measure(gauge) for gauge in gauges.values())))

    def _measure(self, gauge: LinkGauge) -> v.LinkMeasure:
        ping = self._pings.pop(gauge.peer, None)
        return v.LinkMeasure(gauge.peer, gauge.rtt, gauge.least_rtt, ping, gauge.acked, gauge.received)

    async def _ping(self, gauge: LinkGauge) -> None:
        """One at a time for each peer. A late answer is one all the same: the way was full."""
        try:
            _, rtt = await self._driver.links.ping(gauge.link, -1.0, PING_TIMEOUT)
            if rtt is not None:
                self._pings[gauge.peer] = rtt
        except TransportError:
            self._pings.pop(gauge.peer, None)
        finally:
            self._asked.pop(gauge.peer, None)
