"""The asyncio driver: owns the core, turns the world into events and carries out effects.

Everything runs on one event loop; only the store works in threads. An event is handled to the end before the next one
(`post` queues when called from inside), so the core never sees two at once. Each effect that waits for the network is a
task with a deadline of its own.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from edgecache.core import vocabulary as v
from edgecache.core.node import Node
from edgecache.daemon.engine import Engine, Listener
from edgecache.daemon.transfers import Transfers
from edgecache.model.errors import EdgecacheError, TransportError
from edgecache.model.ids import BlobId, Digest, NodeId
from edgecache.model.peer import Address, CloseReason, PeerInfo, SeenVia
from edgecache.ports import ChunkStore, Clock, LinkHandler, Links, Refusal, Signer
from edgecache.wire.messages import Hello, Message, StateDigest, StatePush

log = logging.getLogger(__name__)

T = TypeVar("T")


class Limiter(Protocol):
    """Rate-limited log lines, one per cause."""

    def warning(self, cause: str, text: str) -> None:
        """Log `text` unless `cause` was logged lately."""


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
        remember: Callable[[tuple[PeerInfo, ...]], None],
    ) -> None:
        self.node, self.store, self.clock = node, store, clock
        self._signer, self._limiter, self._remember = signer, limiter, remember
        self.bridge: Bridge | None = None
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[v.Event] = deque()
        self._handling = False
        self._timers: dict[v.TimerKey, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._listeners: list[Listener] = []
        self._numbers = itertools.count(1)
        self._pool = ThreadPoolExecutor(max_workers=3, thread_name_prefix="store")
        self._links: Links | None = None
        self.transfers = Transfers(self)
        self._effects: dict[type, Callable[[Any], None]] = {
            v.Dial: self._dial, v.CloseLink: self._close_link, v.Probe: self._probe, v.Send: self._send,
            v.SetTimer: self._set_timer, v.ClearTimer: self._clear_timer, v.SignHead: self._sign_head,
            v.RememberPeers: lambda effect: self._remember(effect.peers),
            v.FetchManifest: self.transfers.fetch_manifest, v.FetchChunk: self.transfers.fetch_chunk,
            v.CancelFetch: self.transfers.cancel, v.VerifyBlob: self.transfers.verify,
            v.ServeUnit: self.transfers.serve, v.RefuseUnit: self.transfers.refuse, v.EvictBlob: self.transfers.evict,
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
            for effect in self.node.handle(event, self.clock.now()):
                self._carry_out(effect)
        except Exception:
            log.exception("bug: %s was not handled", type(event).__name__)

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

    async def in_store(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run a call of the store in a worker thread."""
        return await self._loop.run_in_executor(self._pool, work, *arguments)

    async def stop(self) -> None:
        """Say goodbye, end every task, close the store."""
        self.post(v.ShutdownWanted())
        await asyncio.sleep(0)
        for timer in self._timers.values():
            timer.cancel()
        await self.links.stop()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.in_store(self.store.flush)
        self._pool.shutdown(wait=True)
        self.store.close()

    # ---- effects

    def _set_timer(self, effect: v.SetTimer) -> None:
        if (old := self._timers.pop(effect.key, None)) is not None:
            old.cancel()
        delay = max(0.0, effect.at - self.clock.now())
        self._timers[effect.key] = self._loop.call_later(delay, self._fire, effect.key)

    def _fire(self, key: v.TimerKey) -> None:
        self._timers.pop(key, None)
        self.post(v.TimerFired(key))

    def _clear_timer(self, effect: v.ClearTimer) -> None:
        if (old := self._timers.pop(effect.key, None)) is not None:
            old.cancel()

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
        self.post(v.LinkOpened(link, hello.node, hello, dialled, address))

    def link_closed(self, link: v.LinkId, peer: NodeId, reason: CloseReason, detail: str) -> None:
        """A link is gone."""
        log.info("link with %s closed: %s%s", peer, reason.value, f" ({detail})" if detail else "")
        self.transfers.peer_link_closed(peer)
        self.post(v.LinkClosed(link, peer, reason, detail))

    def received(self, peer: NodeId, message: Message) -> None:
        """A control message came; signed state is verified before the core sees it.

        News of an owner whose certificate we have not seen cannot be verified: it counts as an announcement, and the
        core pulls the whole map, which carries the certificate.
        """
        if isinstance(message, StatePush):
            if not message.certificate and not self._signer.knows(message.owner):
                message = StateDigest((message.head,))
            elif not self._signer.verify_push(message):
                self.post(v.Misbehaved(peer, 5, f"state of {message.owner} with a bad signature"))
                return
        self.post(v.MessageReceived(peer, message))

    async def serve_unit(
        self, peer: NodeId, blob: BlobId, index: int, digest: Digest, offset: int, size: int
    ) -> bytes | Refusal:
        """Wait for a turn, then read."""
        return await self.transfers.serve_unit(peer, blob, index, digest, offset, size)

    def unit_sent(self, peer: NodeId, blob: BlobId, index: int, offset: int) -> None:
        """A unit has left the send queue."""
        self.transfers.unit_sent(peer, blob, index, offset)

    async def serve_manifest(self, peer: NodeId, blob: BlobId, page: int | None) -> bytes:
        """The root or a page; NotFound when it is not here."""
        if page is None:
            return await self.in_store(self.store.root, blob)
        return await self.in_store(self.store.page, blob, page)

    def sighted(self, node: NodeId | None, addresses: tuple[Address, ...], via: SeenVia, site: str = "") -> None:
        """Discovery heard of somebody."""
        self.post(v.PeerSighted(node, addresses, via, site))
