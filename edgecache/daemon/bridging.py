"""The site's summaries for MQTT: tells the adapter every reading and every node's status while this node bridges."""

from __future__ import annotations

from edgecache.adapters.mqtt.bridge import MqttBridge
from edgecache.core import vocabulary as v
from edgecache.daemon.engine import Engine
from edgecache.daemon.readings import BoardEntry, ReadingsBoard
from edgecache.model.ids import NodeId
from edgecache.model.reading import Reading
from edgecache.wire.facts import MQTT_KEY
from edgecache.wire.messages import MemberStatus
from edgecache.wire.reading import series_of


class SiteBridge:
    """Between the core's election, the replicated readings and the MQTT adapter."""

    def __init__(self, driver: Engine, board: ReadingsBoard, mqtt: MqttBridge) -> None:
        self._driver, self._board, self._mqtt = driver, board, mqtt
        self._active = False

    # ---- what the election orders

    def start_bridge(self, term: int) -> None:
        """Publish for the site: at first everything that is known."""
        self._active = True
        self._mqtt.start_bridge(term)
        series: dict[NodeId, list[str]] = {}
        for entry in self._board.entries():
            self._publish(entry)
            series.setdefault(entry.node, []).append(entry.posted.series)
        for node, known in series.items():
            self._mqtt.keep_only(node, known)
        me = self._driver.node.me
        self._mqtt.node_status(me.node, me.name, True)
        for peer in self._driver.node.membership.peers():
            if peer.site == me.site:
                self._mqtt.node_status(peer.node, peer.name, _online(peer.status))

    def stop_bridge(self) -> None:
        """Leave it to another, if there is one."""
        self._active = False
        self._driver.spawn(self._mqtt.stop_bridge(handover=self._others()))

    async def stop(self) -> None:
        """The agent stops."""
        self._active = False
        await self._mqtt.stop(handover=self._others())

    def _others(self) -> bool:
        """Whether another living node could bridge."""
        node = self._driver.node
        candidates = {entry.owner for entry in node.state.entries(MQTT_KEY)} - {node.me.node}
        return any(peer.node in candidates and _online(peer.status) for peer in node.membership.peers())

    # ---- what changes

    def heard(self, report: v.Report) -> None:
        """Listen to the driver's reports."""
        if not self._active:
            return
        if isinstance(report, v.MapChanged):
            for series in filter(None, map(series_of, report.keys)):
                self._changed(report.owner, series)
        elif isinstance(report, v.MemberReported):
            for peer in self._driver.node.membership.peers():
                if peer.node == report.node and peer.site == self._driver.node.me.site:
                    self._mqtt.node_status(peer.node, peer.name, _online(peer.status))

    def _changed(self, node: NodeId, series: str) -> None:
        entry = self._board.entry(node, series)
        if entry is None:
            self._mqtt.remove_reading(node, series)
        else:
            self._publish(entry)

    def _publish(self, entry: BoardEntry) -> None:
        seen, name = entry.observation, entry.name or entry.node
        if isinstance(seen, Reading):
            self._mqtt.publish_reading(entry.node, name, seen.series, seen.value, seen.unit, entry.age)
        else:
            self._mqtt.publish_reading(entry.node, name, seen.series, None, "", entry.age)


def _online(status: MemberStatus) -> bool:
    """A suspected member may still refute."""
    return status in (MemberStatus.ALIVE, MemberStatus.SUSPECT)
