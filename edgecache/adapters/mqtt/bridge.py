"""The MQTT adapter of a node: looks out for the broker always, and publishes everybody's readings while it bridges.

What is published only counts during a tenure: between `start_bridge` and its end the caller tells every reading and
every node's status, at first all of them, later what changes. All of it is retained, kept here too, and said again
whenever the broker or Home Assistant may have forgotten it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Collection, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path

from edgecache.adapters.mqtt.claim import BridgeClaim
from edgecache.adapters.mqtt.homeassistant import (
    BINARY_SENSOR,
    UNKNOWN,
    Entity,
    bridge_config,
    entity_config,
    entity_of,
    state_payload,
)
from edgecache.adapters.mqtt.mirror import TOPICS_MAX, Mirror, Rank
from edgecache.adapters.mqtt.published import Journal, Published
from edgecache.adapters.mqtt.tenure import Tenure
from edgecache.adapters.mqtt.timing import Timing
from edgecache.adapters.mqtt.topics import OFFLINE, ONLINE, Topics, unique_id
from edgecache.adapters.mqtt.watch import BrokerWatch
from edgecache.config.schema import Mqtt
from edgecache.core.vocabulary import BridgeFenced, BrokerChanged, Identity
from edgecache.model.ids import NodeId
from edgecache.model.reading import Value

_log = logging.getLogger(__name__)

JOURNAL_NAME = "mqtt-published.json"
"""In the data directory."""


@dataclass(frozen=True, slots=True)
class BridgeStatus:
    """For people: how this node stands to the broker."""

    reachable: bool
    term: int
    """The highest seen at the broker."""
    holder: NodeId | None
    """Who claimed it last."""
    bridging: bool
    """We publish, and the broker has given us the session."""
    waiting: int
    """Messages that the broker does not have yet."""


class MqttBridge:
    """See above. Everything is called, and calls back, on the event loop."""

    def __init__(
        self,
        config: Mqtt,
        me: Identity,
        journal: Path,
        emit: Callable[[BrokerChanged | BridgeFenced], None],
        *,
        timing: Timing | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """`journal`: a file of ours, JOURNAL_NAME in the data directory."""
        self._config, self._me, self._emit = config, me, emit
        self._timing, self._rng = timing or Timing(), rng or random.Random()
        self.topics = Topics(config.topic_prefix, config.discovery_prefix, me.mesh, me.site)
        self._watch = BrokerWatch(config, self.topics, me.node, self._broker_changed, self._timing, self._rng)
        self._journal = Journal(journal)
        self._published: set[Published] = set()
        self._saving: asyncio.Task[None] | None = None
        self._unsaved = False
        self._hurry = asyncio.Event()
        self._tenure: Tenure | None = None
        self._retired: set[asyncio.Task[None]] = set()
        self._mirror = Mirror()
        self._entities: dict[tuple[NodeId, str], Entity] = {}
        self._leaving: dict[str, Published] = {}
        """Discovery topics that the broker is told to forget."""
        self._missing: dict[tuple[NodeId, str], asyncio.TimerHandle] = {}
        """Series that are gone, until they are taken away."""
        self._full = False

    def start(self) -> None:
        """Look out for the broker from now on; BrokerChanged events follow."""
        self._published = self._journal.load()
        self._watch.start()

    async def stop(self, *, handover: bool) -> None:
        """End everything; `handover` as for `stop_bridge`."""
        await self.stop_bridge(handover=handover)
        await self._watch.stop()
        if self._retired:
            await asyncio.wait(self._retired, timeout=self._timing.goodbye)
        if self._saving is not None:
            self._hurry.set()
            await asyncio.wait([self._saving], timeout=self._timing.goodbye)

    @property
    def status(self) -> BridgeStatus:
        """As of now."""
        claim, tenure = self._watch.claim, self._tenure
        return BridgeStatus(
            reachable=self._watch.reachable,
            term=self._watch.top_term,
            holder=claim.node if claim else None,
            bridging=tenure is not None and tenure.connected,
            waiting=self._mirror.waiting,
        )

    # ---- who bridges

    def start_bridge(self, term: int) -> None:
        """Take the site's session at the broker with this term; then all readings and statuses are to be published."""
        old, self._tenure = self._tenure, None
        if old is not None:
            self._retire(old)
        self._forget()
        topic = self.topics.config(BINARY_SENSOR, self.topics.bridge_unique_id)
        self._set(topic, bridge_config(self.topics), Rank.CONFIG)
        self._tenure = Tenure(
            self._config,
            self.topics,
            BridgeClaim(term, self._me.node),
            self._mirror,
            self._watch,
            self._fenced,
            self._gone,
            self._timing,
            self._rng,
        )

    def stop_bridge(self, *, handover: bool) -> Coroutine[None, None, None]:
        """Give the session up; harmless when we have none.

        With `handover` another candidate exists: the bridge stays `online` for dashboards, and the successor takes the
        session over within seconds. Without one the bridge is marked `offline`, and so is every entity by it. The
        availability of the nodes is left as it is in both cases: they are no worse off than before.
        """
        tenure, self._tenure = self._tenure, None  # now: what is awaited later must not end a newer one
        return self._end(tenure, handover)

    async def _end(self, tenure: Tenure | None, handover: bool) -> None:
        if tenure is not None:
            await tenure.stop(handover=handover)
            if self._tenure is None:
                self._forget()

    def _forget(self) -> None:
        for timer in self._missing.values():
            timer.cancel()
        self._mirror, self._entities, self._leaving, self._missing, self._full = Mirror(), {}, {}, {}, False

    def _retire(self, tenure: Tenure) -> None:
        task = asyncio.create_task(tenure.stop(handover=True))
        self._retired.add(task)
        task.add_done_callback(self._retired.discard)

    def _fenced(self, tenure: Tenure, term: int) -> None:
        """The last act of a tenure; of one that was retired meanwhile it is of no interest."""
        if tenure is not self._tenure:
            return
        self._tenure = None
        self._forget()
        _log.warning("MQTT: another node has the bridge's session (term %d); this one steps back", term)
        self._emit(BridgeFenced(term))

    def _broker_changed(self) -> None:
        self._emit(BrokerChanged(self._watch.reachable, self._watch.top_term))
        if self._tenure is not None:
            self._tenure.reconsider()

    # ---- what is published

    def publish_reading(
        self,
        node: NodeId,
        name: str,
        series: str,
        value: Value | None,
        unit: str,
        age: float = 0.0,
        interval: float | None = None,
    ) -> None:
        """The latest value of a series of a node that people call `name`; None when its source failed.

        With `interval`, the seconds between two readings, a value that is not renewed for three of them is unknown to
        Home Assistant, and so is one that is already older than that.
        """
        if self._tenure is None:
            return
        if (missing := self._missing.pop((node, series), None)) is not None:
            missing.cancel()
        known = self._entities.get((node, series))
        if value is not None:
            entity = entity_of(node, name, series, value, unit, interval)
            if entity != known:
                self._announce(entity, known)
        elif known is None:
            return  # what it is will be known from its first value
        stale = interval is not None and age > 3 * interval
        self._set(self.topics.state(node, series), UNKNOWN if stale else state_payload(value, unit), Rank.STATE)
        self._tenure.pump()

    def node_status(self, node: NodeId, name: str, online: bool) -> None:
        """Whether a node is alive, as the mesh sees it, and what people call it now."""
        if self._tenure is None:
            return
        for key, entity in list(self._entities.items()):
            if key[0] == node and entity.node_name != name:
                self._announce(replace(entity, node_name=name), entity)
        self._set(self.topics.availability(node), ONLINE if online else OFFLINE, Rank.AVAILABILITY)
        self._tenure.pump()

    def remove_reading(self, node: NodeId, series: str) -> None:
        """The series is gone: its value is unknown from now on, and in ten minutes, if it is not back, its entity goes.

        A device that restarts has few series at first. If their entities went and came, Home Assistant would forget
        what its owner made of them.
        """
        if self._tenure is None or (node, series) in self._missing:
            return
        if (node, series) in self._entities:
            self._set(self.topics.state(node, series), UNKNOWN, Rank.STATE)
            self._tenure.pump()
        loop = asyncio.get_running_loop()
        self._missing[node, series] = loop.call_later(self._timing.patience, self._take_away, node, series)

    def _take_away(self, node: NodeId, series: str) -> None:
        """Its entity goes, also if an earlier bridge on this node published it."""
        if (missing := self._missing.pop((node, series), None)) is not None:
            missing.cancel()
        self._entities.pop((node, series), None)
        for entry in [e for e in self._published if (e.node, e.series) == (node, series)]:
            self._withdraw(entry)
        self._clear(self.topics.state(node, series), Rank.STATE)
        if self._tenure is not None:
            self._tenure.pump()

    def keep_only(self, node: NodeId, series: Collection[str]) -> None:
        """These are all series that the node has now: others of it that we ever published are as good as removed."""
        for gone in {entry.series for entry in self._published if entry.node == node} - set(series):
            self.remove_reading(node, gone)

    def forget_node(self, node: NodeId) -> None:
        """The node has left the site for good: everything of it goes at once."""
        if self._tenure is None:
            return
        known = {key[1] for key in self._entities if key[0] == node}
        for series in sorted(known | {entry.series for entry in self._published if entry.node == node}):
            self._take_away(node, series)
        self._clear(self.topics.availability(node), Rank.AVAILABILITY)
        self._tenure.pump()

    def _announce(self, entity: Entity, known: Entity | None) -> None:
        if known is not None and known.component != entity.component:
            self._withdraw(Published(known.node, known.series, known.component))
        entry = Published(entity.node, entity.series, entity.component)
        topic = self._config_topic(entry)
        if self._set(topic, entity_config(entity, self.topics), Rank.CONFIG):
            self._entities[entity.node, entity.series] = entity
            self._leaving.pop(topic, None)
            if entry not in self._published:
                self._published.add(entry)
                self._save_soon()

    def _withdraw(self, entry: Published) -> None:
        topic = self._config_topic(entry)
        if self._clear(topic, Rank.CONFIG):
            self._leaving[topic] = entry

    def _gone(self, topic: str) -> None:
        """The broker retains nothing under `topic` any more."""
        if (entry := self._leaving.pop(topic, None)) is not None:
            self._published.discard(entry)
            self._save_soon()

    def _config_topic(self, entry: Published) -> str:
        return self.topics.config(entry.component, unique_id(entry.node, entry.series))

    def _set(self, topic: str, payload: str, rank: Rank) -> bool:
        fits = self._mirror.set(topic, payload, rank)
        if not fits and not self._full:
            self._full = True
            _log.warning("MQTT: more than %d topics; further series are not published", TOPICS_MAX)
        return fits

    def _clear(self, topic: str, rank: Rank) -> bool:
        return self._mirror.clear(topic, rank)

    # ---- the journal

    def _save_soon(self) -> None:
        self._unsaved = True
        if self._saving is None or self._saving.done():
            self._saving = asyncio.create_task(self._save_later(), name="mqtt journal")

    async def _save_later(self) -> None:
        while self._unsaved:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), self._timing.journal)
            self._unsaved = False
            try:
                await asyncio.to_thread(self._journal.save, set(self._published))
            except OSError as error:
                _log.warning("MQTT: the list of published entities cannot be saved: %s", error.strerror or error)
