"""The asyncio driver: owns the core, turns the world into events and carries out effects.

Everything runs on one event loop; only the store works in threads. An event is handled to the end before the next one
(`post` queues when called from inside), so the core never sees two at once. Each effect that waits for the network is a
task with a deadline of its own. Nothing that a peer sends, and no bug that it trips, ends more than its own event.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import traceback
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol, TypeVar

from edgecache.config.schema import TransferLimits
from edgecache.core import vocabulary as v
from edgecache.core.node import Node
from edgecache.daemon.engine import Engine, Lane, Listener
from edgecache.daemon.scrutiny import Scrutiny
from edgecache.daemon.serving import Serving
from edgecache.daemon.transfers import Transfers
from edgecache.model.errors import EdgecacheError, TransportError
from edgecache.model.ids import BlobId, Digest, NodeId
from edgecache.model.instant import Instant
from edgecache.model.pacing import WIRE_FACTOR
from edgecache.model.peer import Address, CloseReason, PeerInfo, SeenVia
from edgecache.model.priority import Priority
from edgecache.ports import ChunkStore, Clock, LinkHandler, Links, Part, Refusal, Signer, Whole
from edgecache.wire.messages import Hello, Message

log = logging.getLogger(__name__)

T = TypeVar("T")

WORKERS = {Lane.CHANGE: 2, Lane.READ: 2, Lane.WHOLE: 1, Lane.DIGEST: 1}
GOODBYE_TIMEOUT = 0.9
"""For the links to say goodbye and close; they take half of it when peers answer."""
TASKS_TIMEOUT = 0.2
CLOSE_TIMEOUT = 0.4
"""For the last sync of the store. Nothing that was acknowledged depends on it."""


PACE_MIN = 500e3
"""Bytes a second at which a socket is never told to send less: with larger gaps between segments the receiver's
acknowledgements wait for each other (40 ms), and the round trip says nothing. What is granted is less."""


class Limiter(Protocol):
    """Rate-limited log lines, one per cause."""

    def log(self, level: int, cause: str, text: str) -> None:
        """Log `text` unless `cause` was logged lately."""

    def warning(self, cause: str, text: str) -> None:
        """The same, at the level of warnings."""


class Bridge(Protocol):
    """What the core's election starts and stops; None where no broker is configured."""

    def start_bridge(self, term: int) -> None:
        """Publish for the site, with this term."""

    def stop_bridge(self) -> None:
        """Stop publishing."""


class Driver(Engine, LinkHandler):
    """Runs one node. Construct, set `links` (and `bridge`), `start`, and `stop` at the end."""

    def __init__(
        self, node: Node, *, store: ChunkStore, signer: Signer, clock: Clock, limiter: Limiter,
        remember: Callable[[tuple[PeerInfo, ...]], None], limits: TransferLimits | None = None,
    ) -> None:
        self.node, self.store, self.clock = node, store, clock
        self._signer, self._limiter, self._remember = signer, limiter, remember
        self._scrutiny = Scrutiny(signer)
        self.bridge: Bridge | None = None
        self.keeping = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[v.Event] = deque()
        self._handling = False
        self._timers: dict[v.TimerKey, tuple[asyncio.TimerHandle, Instant]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listeners: list[Listener] = []
        self._numbers = itertools.count(1)
        self._pools = {lane: ThreadPoolExecutor(count, f"store-{lane.value}") for lane, count in WORKERS.items()}
        self._stopping = False
        self._links: Links | None = None
        self._upload_pace = limits.upload / WIRE_FACTOR if limits is not None else 0.0
        self.transfers = Transfers(self, limits.download if limits is not None else 0)
        self.serving = Serving(self)
        self._effects: dict[type, Callable[[Any], None]] = {
            v.Dial: self._dial, v.CloseLink: self._close_link, v.Probe: self._probe, v.Send: self._send,
            v.SetTimer: self._set_timer, v.ClearTimer: self._clear_timer, v.SignHead: self._sign_head,
            v.RememberPeers: self._remember_peers,
            v.FetchManifest: self.transfers.fetch_manifest, v.FetchChunk: self.transfers.fetch_chunk,
            v.CancelFetch: self.transfers.cancel, v.CompleteBlob: self.transfers.complete,
            v.ServeUnit: self.serving.serve, v.RefuseUnit: self.serving.refuse, v.EvictBlob: self.transfers.evict,
            v.PaceLink: self._pace_link,
            v.StartBridge: self._start_bridge, v.StopBridge: self._stop_bridge, v.Warned: self._warned,
        }

    @property
    def links(self) -> Links:
        """The transport; set once, before `start`."""
        assert self._links is not None, "links are set before the driver runs"
        return self._links

    @links.setter
    def links(self, links: Links) -> None:
        self._links = links

    # ---- the loop

    def post(self, event: v.Event) -> None:
        """Handle an event, after those that are being handled."""
        self._inbox.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._inbox:
                self._handle(self._inbox.popleft())
        finally:
            self._handling = False

    def _handle(self, event: v.Event) -> None:
        """A bug in the core is loud, but one event that trips it, perhaps a peer's, must not stop the node."""
        try:
            effects = self.node.handle(event, self.clock.now())
        except Exception:
            self._bug(f"{type(event).__name__} was not handled")
            return
        for effect in effects:
            try:
                self._carry_out(effect)
            except Exception:
                self._bug(f"{type(effect).__name__} was not carried out")

    def _bug(self, what: str) -> None:
        self._limiter.log(logging.ERROR, f"bug:{what}", f"bug: {what}\n{traceback.format_exc()}")

    def _carry_out(self, effect: v.Effect) -> None:
        if (act := self._effects.get(type(effect))) is not None:
            act(effect)
        if isinstance(effect, v.FetchFinished):
            self.transfers.finished(effect)
        if isinstance(effect, v.Report):
            for listener in list(self._listeners):
                listener(effect)

    def warn(self, cause: str, text: str) -> None:
        """A log line, unless the cause was logged lately."""
        self._limiter.warning(cause, text)

    def next_request(self) -> v.RequestId:
        """A number for something asked of us, by a peer or a user."""
        return v.RequestId(next(self._numbers))

    def listen(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with every report from now on; returns how to stop that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that is cancelled when the driver stops; a crash in it is logged, not lost."""
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the driver failed", exc_info=error)

    async def in_store(self, work: Callable[..., T], *arguments: Any, lane: Lane = Lane.CHANGE) -> T:
        """Run a call of the store in a worker thread."""
        return await self._loop.run_in_executor(self._pools[lane], work, *arguments)

    def farewell(self) -> None:
        """Begin to stop: goodbyes go out while everything else is wound down."""
        if not self._stopping:
            self._stopping = True
            self.post(v.ShutdownWanted())

    async def stop(self) -> None:
        """Say goodbye, end every task, close the store; what does not end in time is left to the kernel."""
        self.farewell()
        for timer, _ in self._timers.values():
            timer.cancel()
        await self._within(GOODBYE_TIMEOUT, self.links.stop(), "the links")
        for task in (tasks := list(self._tasks)):
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=TASKS_TIMEOUT)
        await self._within(CLOSE_TIMEOUT, self.in_store(self.store.close), "the store")
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    async def _within(self, timeout: float, work: Coroutine[Any, Any, None], what: str) -> None:
        try:
            async with asyncio.timeout(timeout):
                await work
        except TimeoutError:
            log.info("%s did not close within %g s", what, timeout)
        except EdgecacheError as error:
            log.warning("%s did not close cleanly: %s", what, error)

    # ---- effects

    def _set_timer(self, effect: v.SetTimer) -> None:
        self._forget_timer(effect.key)
        self._arm(effect.key, effect.at)

    def _arm(self, key: v.TimerKey, at: Instant) -> None:
        delay = max(0.0, at - self.clock.now())
        self._timers[key] = (self._loop.call_later(delay, self._fire, key), at)

    def rearm(self) -> None:
        """The device has slept, which the event loop's clock does not count: what was due meanwhile is due now."""
        for key, (timer, at) in list(self._timers.items()):
            timer.cancel()
            self._arm(key, at)

    def _fire(self, key: v.TimerKey) -> None:
        self._timers.pop(key, None)
        self.post(v.TimerFired(key))

    def _clear_timer(self, effect: v.ClearTimer) -> None:
        self._forget_timer(effect.key)

    def _forget_timer(self, key: v.TimerKey) -> None:
        if (known := self._timers.pop(key, None)) is not None:
            known[0].cancel()

    def _remember_peers(self, effect: v.RememberPeers) -> None:
        self._pools[Lane.CHANGE].submit(self._remember, effect.peers).add_done_callback(self._remembered)

    def _remembered(self, done: Future[None]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            self._loop.call_soon_threadsafe(partial(self.warn, "remember", f"peers cannot be remembered: {error}"))

    def _dial(self, effect: v.Dial) -> None:
        self.spawn(self._dialled(effect))

    async def _dialled(self, effect: v.Dial) -> None:
        try:
            await self.links.dial(effect.node, effect.addresses)
        except EdgecacheError as error:
            where = ", ".join(map(str, effect.addresses[:4]))
            log.debug("no link to %s (%s): %s", effect.node or "a seed", where, error)
            if not isinstance(error, TransportError):
                self._limiter.warning(f"dial:{effect.node or where}", f"no link to {effect.node or where}: {error}")
            self.post(v.DialFailed(effect.node, effect.addresses, str(error)))
        except Exception:
            self.post(v.DialFailed(effect.node, effect.addresses, "internal error"))
            raise

    def _close_link(self, effect: v.CloseLink) -> None:
        self.links.close(effect.link, effect.reason)

    def _probe(self, effect: v.Probe) -> None:
        self.spawn(self._probed(effect))

    async def _probed(self, effect: v.Probe) -> None:
        try:
            idle, rtt = await self.links.ping(effect.link, effect.idle, effect.timeout)
        except TransportError:
            self.post(v.ProbeFailed(effect.link))
        except Exception:
            self.post(v.ProbeFailed(effect.link))
            raise
        else:
            self.post(v.LinkProbed(effect.link, idle, rtt))

    def _send(self, effect: v.Send) -> None:
        self.links.send(effect.peer, effect.message)

    def _sign_head(self, effect: v.SignHead) -> None:
        signature = self._signer.sign_head(effect.epoch, effect.version, effect.map_hash)
        self.post(
            v.HeadSigned(effect.epoch, effect.version, effect.map_hash, signature, self._signer.certificate)
        )

    def _pace_link(self, effect: v.PaceLink) -> None:
        self.transfers.pace.set(effect)
        pace = max(effect.upload, PACE_MIN) / WIRE_FACTOR
        self.links.pace(effect.peer, min(pace, self._upload_pace) if self._upload_pace else pace)

    def _start_bridge(self, effect: v.StartBridge) -> None:
        if self.bridge is not None:
            log.info("this node bridges the site to MQTT (term %d)", effect.term)
            self.bridge.start_bridge(effect.term)

    def _stop_bridge(self, effect: v.StopBridge) -> None:
        if self.bridge is not None:
            log.info("this node no longer bridges the site to MQTT")
            self.bridge.stop_bridge()

    def _warned(self, effect: v.Warned) -> None:
        self._limiter.warning(effect.cause, effect.text)

    # ---- what the transport calls

    def hello(self) -> Hello:
        """What we say first on each link."""
        return self.node.membership.hello()

    def may_link(self, peer: NodeId) -> bool:
        """False for banned peers."""
        return self.node.membership.may_link(peer, self.clock.now())

    def link_opened(self, link: v.LinkId, hello: Hello, *, dialled: bool, address: Address | None) -> None:
        """A link is authenticated."""
        log.info("linked with %s (%s)%s", hello.name or hello.node, hello.node, f" at {address}" if address else "")
        if self._upload_pace:
            self.links.pace(hello.node, self._upload_pace)
        self.serving.link_opened(hello)
        self.post(v.LinkOpened(link, hello.node, hello, dialled, address))

    def link_closed(self, link: v.LinkId, peer: NodeId, reason: CloseReason, detail: str) -> None:
        """A link is gone."""
        log.info("link with %s closed: %s%s", peer, reason.value, f" ({detail})" if detail else "")
        last = all(left.peer != peer for left in self.links.stats())
        self.serving.link_closed(peer, last=last)
        if last:
            self.transfers.pace.forget(peer)
        self._scrutiny.forget(peer)
        self.post(v.LinkClosed(link, peer, reason, detail))

    def received(self, peer: NodeId, message: Message) -> None:
        """A control message came; what is signed in it is verified before the core sees it."""
        event = self._scrutiny.of(peer, message, self.clock.now())
        if event is not None:
            self.post(event)

    async def serve_unit(
        self, peer: NodeId, blob: BlobId, index: int, digest: Digest, offset: int, size: int,
        priority: Priority = Priority.NORMAL,
    ) -> Part | Refusal:
        """Wait for a turn, then read."""
        return await self.serving.unit(peer, blob, index, digest, offset, size, priority)

    def unit_sent(self, peer: NodeId, blob: BlobId, index: int, offset: int) -> None:
        """A unit has left the send queue."""
        self.serving.sent(peer, blob, index, offset)

    async def serve_manifest(
        self, peer: NodeId, blob: BlobId, page: int | None, most: int = 0, priority: Priority = Priority.NORMAL
    ) -> bytes | Whole:
        """The root or a page, or all of a small blob; NotFound when it is not here, or is nothing for this peer."""
        return await self.serving.manifest(peer, blob, page, most, priority)

    def sighted(self, node: NodeId | None, addresses: tuple[Address, ...], via: SeenVia, site: str = "") -> None:
        """Discovery heard of somebody."""
        self.post(v.PeerSighted(node, addresses, via, site))
