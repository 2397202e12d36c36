"""The bridge's session for one term: taken, held, defended against leftovers, and given up when another has it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable

from edgecache.adapters.mqtt.claim import BridgeClaim, parse_claim
from edgecache.adapters.mqtt.mirror import Mirror, Rank
from edgecache.adapters.mqtt.session import Ended, Session, Will
from edgecache.adapters.mqtt.timing import Timing
from edgecache.adapters.mqtt.topics import OFFLINE, ONLINE, Topics
from edgecache.adapters.mqtt.watch import BrokerWatch
from edgecache.config.schema import Mqtt

_log = logging.getLogger(__name__)


class Tenure:
    """Connects with the site's one client id, which makes the broker drop an older bridge, and mirrors to it.

    A session that ends is resumed only when the watch has seen no other claim: of two nodes with one client id each
    connecting throws the other out, so whoever is outranked must never come back by itself.
    """

    def __init__(
        self,
        config: Mqtt,
        topics: Topics,
        claim: BridgeClaim,
        mirror: Mirror,
        watch: BrokerWatch,
        on_fenced: Callable[[Tenure, int], None],
        on_gone: Callable[[str], None],
        timing: Timing,
        rng: random.Random,
    ) -> None:
        """`on_fenced` gets the term that we gave way to; `on_gone` a topic that is no longer retained."""
        self._config, self._topics, self._claim = config, topics, claim
        self._mirror, self._watch = mirror, watch
        self._on_fenced, self._on_gone = on_fenced, on_gone
        self._timing, self._rng = timing, rng
        self._session: Session | None = None
        self._end: Ended | int | None = None
        self._ended = asyncio.Event()
        self._progress = asyncio.Event()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._connected = False
        self._echoed = False
        """The watch has seen our claim since the session is ours."""
        self._stopping = False
        self._contradicted = False
        self._refused = ""
        self._said = ""
        self._task = asyncio.create_task(self._run(), name=f"mqtt bridge {claim.term}")

    @property
    def connected(self) -> bool:
        """The broker has given us the session."""
        return self._connected

    def pump(self) -> None:
        """Publish what is waiting, as far as the window allows."""
        session = self._session
        while session is not None and self._connected and (message := self._mirror.take()) is not None:
            topic, payload = message
            mid = session.publish(topic, payload)
            if mid is None:
                return  # the session is ending; the next one begins with everything
            self._mirror.sent(mid, topic, payload)

    def reconsider(self) -> None:
        """The watch has seen another claim. Not every broker drops the old session, nor tells it of the new one.

        Of two claims with one term the later holds. One that came before ours is a leftover of whom we have replaced.
        """
        seen = self._watch.claim
        if seen is None or not self._connected:
            return
        if seen == self._claim:
            self._echoed = True
        elif seen.outranks(self._claim) and (self._echoed or seen.term > self._claim.term):
            self._give_way(seen.term)

    def _give_way(self, term: int) -> None:
        self._end = term
        self._ended.set()

    async def stop(self, *, handover: bool) -> None:
        """End it. `handover`: leave `online`, as another node is about to take over; else say `offline` first."""
        self._stopping = True
        if self._connected and not handover:
            self._mirror.set(self._topics.bridge_availability, OFFLINE, Rank.BRIDGE)
            self.pump()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._timing.goodbye):
                    while not self._mirror.settled and self._connected:
                        self._progress.clear()
                        await self._progress.wait()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _run(self) -> None:
        fenced: int | None = None
        try:
            while fenced is None:
                await self._watch.until_reachable()
                fenced = self._outranked()
                if fenced is None:
                    fenced = await self._hold_session()
        finally:
            for timer in self._timers.values():
                timer.cancel()
        self._on_fenced(self, fenced)

    def _outranked(self) -> int | None:
        """The term that the broker retains for another node, if we have to give way to it."""
        seen = self._watch.claim
        return seen.term if seen is not None and seen.outranks(self._claim) else None

    async def _hold_session(self) -> int | None:
        """One connection, to its end; the term that ended our tenure, or None when it may be resumed."""
        self._ended.clear()
        self._end = None
        will = Will(self._topics.bridge_availability, OFFLINE)
        session = Session(self._config, self._topics.bridge_client, self._watch.level, self, will)
        self._session = session
        session.open()
        try:
            await self._ended.wait()
        finally:
            self._session, self._connected = None, False
            await session.close(self._timing.goodbye)
        end: Ended | int | None = self._end
        if isinstance(end, int):
            return end
        if end is not None and end.taken_over:
            # Its term is on the way to the watch; whatever it is, the session is not ours.
            return max(self._claim.term, self._watch.top_term)
        if end is not None and end.reason != self._said:
            self._said = end.reason
            _log.info("MQTT: the bridge's session at the broker: %s", end.reason)
        await asyncio.sleep(self._timing.hold * self._rng.uniform(1.0, 1.5))
        return self._outranked()

    # ---- Listener

    def on_connected(self, session: Session) -> None:
        """The session is ours: everything is published, who bridges first; then see what others write there."""
        if session is not self._session:
            return
        self._connected, self._echoed = True, False
        self._mirror.mark_all()
        self._assert()
        session.subscribe([self._topics.term, self._topics.bridge_availability, self._topics.birth])
        _log.info("MQTT: this node bridges %s to the broker (term %d)", self._topics.site, self._claim.term)

    def on_subscribed(self, session: Session, refusal: str) -> None:
        """What is retained there is our own by now."""

    def on_message(self, session: Session, topic: str, payload: bytes) -> None:
        """Our own echo, a leftover of an older bridge, the claim of a newer one, or Home Assistant's start."""
        if session is not self._session or self._stopping:
            return
        if topic == self._topics.birth:
            if payload == ONLINE.encode():
                self._later("birth", self._timing.birth_jitter * self._rng.random(), self._republish)
        elif topic == self._topics.term and (seen := parse_claim(payload)) and seen.outranks(self._claim):
            if seen.term > self._claim.term:
                self._give_way(seen.term)
        elif payload != self._mirror.get(topic):
            self._contradicted = True
            self._answer()

    def on_acknowledged(self, session: Session, mid: int, refusal: str) -> None:
        """Go on with what is waiting."""
        if session is not self._session:
            return
        if refusal and refusal != self._refused:
            _log.warning("MQTT: the broker refuses what we publish: %s", refusal)
        self._refused = refusal or self._refused
        if (gone := self._mirror.acknowledged(mid)) is not None:
            self._on_gone(gone)
        self._progress.set()
        self.pump()

    def on_ended(self, session: Session, end: Ended) -> None:
        """Whoever holds the session decides what now."""
        if session is self._session:
            self._connected = False
            self._end = end
            self._ended.set()
            self._progress.set()

    # ---- holding on

    def _assert(self) -> None:
        self._contradicted = False
        self._mirror.set(self._topics.term, self._claim.encode(), Rank.BRIDGE)
        self._mirror.set(self._topics.bridge_availability, ONLINE, Rank.BRIDGE)
        self.pump()

    def _answer(self) -> None:
        """The will of the session before ours comes late, or somebody meddles: say again what holds, not too often."""
        if self._contradicted and "reassert" not in self._timers:
            self._assert()
            self._later("reassert", self._timing.reassert, self._answer)

    def _republish(self) -> None:
        self._mirror.mark_all()
        self.pump()

    def _later(self, name: str, delay: float, call: Callable[[], None]) -> None:
        """Call once after `delay` seconds; what is already due under this name stays."""
        if name in self._timers:
            return

        def fire() -> None:
            del self._timers[name]
            call()

        self._timers[name] = asyncio.get_running_loop().call_later(delay, fire)
