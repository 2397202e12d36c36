"""The standby's connection: whether the broker can be reached, and who bridges there.

Every node that may become the bridge has one, also the bridge itself: it is by this that a bridge whose session ended
learns whether another took it, before it would take it back.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable

from edgecache.adapters.mqtt.claim import BridgeClaim, parse_claim
from edgecache.adapters.mqtt.session import Ended, Level, Session
from edgecache.adapters.mqtt.timing import Timing
from edgecache.adapters.mqtt.topics import Topics
from edgecache.config.schema import Mqtt
from edgecache.model.ids import NodeId

_log = logging.getLogger(__name__)


class BrokerWatch:
    """Keeps a session of its own and reports, on the event loop, what changes at the broker."""

    def __init__(
        self,
        config: Mqtt,
        topics: Topics,
        node: NodeId,
        on_change: Callable[[], None],
        timing: Timing,
        rng: random.Random,
    ) -> None:
        self._config, self._topics, self._node = config, topics, node
        self._on_change = on_change
        self._timing, self._rng = timing, rng
        self._backoff = timing.backoff
        self._session: Session | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._settled = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._said = ""
        self._retry_at_once = False
        self.level = Level.V5
        """What the broker took last, or what is tried next."""
        self.claim: BridgeClaim | None = None
        """The latest claim seen there, also from before a loss of the connection."""
        self.top_term = 0
        """The highest term ever seen there."""

    @property
    def reachable(self) -> bool:
        """Connected, and what the broker retains is known."""
        return self._settled.is_set()

    def start(self) -> None:
        """Begin, and go on for ever."""
        self._task = asyncio.create_task(self._run(), name="mqtt watch")

    async def stop(self) -> None:
        """Disconnect; ends within the time for goodbyes. Harmless when not started."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def until_reachable(self) -> None:
        """Returns when the broker is reachable and settled."""
        await self._settled.wait()

    async def _run(self) -> None:
        while True:
            self._ended.clear()
            session = Session(self._config, self._topics.watch_client(self._node), self.level, self)
            self._session = session
            session.open()
            try:
                await self._ended.wait()
            finally:
                self._session = None
                self._unsettle()
                await session.close(self._timing.goodbye)
            if not self._retry_at_once:
                await asyncio.sleep(self._backoff * self._rng.uniform(0.5, 1.0))
                self._backoff = min(2 * self._backoff, self._timing.backoff_max)

    def _unsettle(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
            self._settling = None
        if self._settled.is_set():
            self._settled.clear()
            self._on_change()

    # ---- Listener

    def on_connected(self, session: Session) -> None:
        """Ask who bridges."""
        if session is self._session:
            session.subscribe([self._topics.term])

    def on_subscribed(self, session: Session, refusal: str) -> None:
        """What is retained follows at once; wait a little for it."""
        if refusal:
            _log.warning("MQTT: the broker does not let us read %s: %s", self._topics.term, refusal)
        if session is self._session and self._settling is None:
            self._settling = asyncio.get_running_loop().call_later(self._timing.settle, self._settle)

    def _settle(self) -> None:
        self._say("")
        self._backoff = self._timing.backoff
        self._settled.set()
        self._on_change()

    def on_message(self, session: Session, topic: str, payload: bytes) -> None:
        """Somebody claims to be the bridge."""
        claim = parse_claim(payload)
        if session is not self._session or claim is None or claim == self.claim:
            return
        self.claim = claim
        self.top_term = max(self.top_term, claim.term)
        if self._settled.is_set():
            self._on_change()

    def on_acknowledged(self, session: Session, mid: int, refusal: str) -> None:
        """Nothing is published here."""

    def on_ended(self, session: Session, end: Ended) -> None:
        """Try again, with the other version of MQTT if this one was the reason."""
        if session is not self._session:
            return
        self._retry_at_once = end.wrong_level and self.level is Level.V5
        if end.wrong_level:
            self.level = self.level.other
        if not self._retry_at_once:
            self._say(end.reason)
        self._ended.set()

    def _say(self, trouble: str) -> None:
        """One line when the broker is lost and one when it is back."""
        if trouble == self._said:
            return
        broker = f"{self._config.host}:{self._config.port}"
        if trouble:
            _log.warning("MQTT broker %s: %s; trying again", broker, trouble)
        else:
            _log.info("MQTT broker %s is reached again", broker)
        self._said = trouble
