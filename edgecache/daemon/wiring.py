"""Configuration in, a running agent out: the only place that calls constructors across layers."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

from edgecache import __version__
from edgecache.adapters.coap.bounds import LinkBounds
from edgecache.adapters.coap.links import CoapLinks
from edgecache.adapters.control.server import ControlServer
from edgecache.adapters.pki.credentials import load_credentials, tls_contexts
from edgecache.adapters.pki.files import IdentityFiles
from edgecache.adapters.pki.profile import check_peer
from edgecache.adapters.pki.signer import NodeSigner
from edgecache.adapters.system.addresses import AddressWatcher, own_addresses, without_zones
from edgecache.adapters.system.clock import SystemClock
from edgecache.adapters.system.coalescing import CoalescingSelector, event_loop
from edgecache.adapters.system.device import host_id
from edgecache.adapters.system.journal import RateLimited, configure_logging
from edgecache.adapters.system.process import SchedulerQueue, settle
from edgecache.adapters.system.service import ServiceManager
from edgecache.config.schema import Config
from edgecache.core import vocabulary as v
from edgecache.core.membership import MembershipConfig
from edgecache.core.node import Node, NodeConfig
from edgecache.core.serving import ServingConfig
from edgecache.core.swarm import SwarmConfig
from edgecache.core.yielding import YieldingConfig
from edgecache.daemon import upkeep
from edgecache.daemon.driver import Driver
from edgecache.daemon.engine import held
from edgecache.daemon.measuring import LinkWatch
from edgecache.daemon.operations import Operations
from edgecache.daemon.priorities import Priorities
from edgecache.daemon.quiet import QuietHours
from edgecache.daemon.readings import ReadingsBoard
from edgecache.model.errors import EdgecacheError
from edgecache.model.ids import NodeId
from edgecache.model.peer import Address
from edgecache.store.disk import DiskStore
from edgecache.wire.facts import CAPACITY_KEY, encode_capacity
from edgecache.wire.messages import SERVES_LAST

if TYPE_CHECKING:
    from edgecache.adapters.mdns.discovery import MdnsDiscovery

log = logging.getLogger(__name__)

Closer: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
REMEMBERED_PEERS = "peers"
KEPT_PRIORITIES = "priorities"
WIND_DOWN_TIMEOUT = 0.7
"""For everything but links and store to end, all at once: a clean stop takes less than 1.5 s."""
THREADS_TIMEOUT = 0.1


def run_agent(config: Config) -> int:
    """Run until SIGTERM or SIGINT; the exit code."""
    configure_logging(config.log.level)
    settle()
    selector = CoalescingSelector(SchedulerQueue())
    with asyncio.Runner(loop_factory=partial(event_loop, selector)) as runner:
        code = runner.run(_run(config, selector))
    busy = [one for one in threading.enumerate() if one is not threading.main_thread() and not one.daemon]
    for thread in busy:
        thread.join(THREADS_TIMEOUT / len(busy))
    if any(thread.is_alive() for thread in busy):
        # One still hashes or syncs, which may take minutes; what is on the disk is good at any moment.
        logging.shutdown()
        os._exit(code)
    return code


async def _run(config: Config, rests: CoalescingSelector) -> int:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, log.warning, "restart the agent for a changed configuration to apply")
    manager = ServiceManager()
    async with running(config, manager, rests):
        await stopping.wait()
        manager.stopping()
    return 0


def node_config(config: Config) -> NodeConfig:
    """The settings of the core's machines that the configuration file can change."""
    return NodeConfig(
        membership=MembershipConfig(
            overlay_max=config.links.overlay,
            overlay_min=min(MembershipConfig().overlay_min, config.links.overlay),
            working_max=config.links.working,
        ),
        swarm=SwarmConfig(download_rate=config.limits.download),
        serving=ServingConfig(upload_rate=config.limits.upload),
        cap=config.store.max_size,
    )


def _bounds(config: Config) -> LinkBounds:
    return LinkBounds(congestion=b"") if config.links.congestion == "system" else LinkBounds()


def features(config: Config) -> frozenset[str]:
    """What our hello says besides."""
    return frozenset({SERVES_LAST} if config.limits.metered or config.power == "battery" else ())


def open_store(config: Config, wall: Callable[[], float]) -> DiskStore:
    """The store of this node, with times as `wall` tells them; raises StoreBusy when another agent has it."""
    config.data_dir.mkdir(parents=True, exist_ok=True)
    disk = os.statvfs(config.data_dir)
    reserve = max(config.store.reserve_min, int(disk.f_blocks * disk.f_frsize * config.store.reserve_percent / 100))
    return DiskStore(config.data_dir / "store", cap=config.store.max_size, reserve=reserve, wall=wall)


@asynccontextmanager
async def running(config: Config, manager: ServiceManager, rests: CoalescingSelector) -> AsyncIterator[Driver]:
    """A whole agent; stopped cleanly on the way out. `rests` is of its event loop."""
    files = IdentityFiles(config.data_dir)
    credentials = load_credentials(files)
    clock, limiter = SystemClock(), RateLimited(logging.getLogger("edgecache"))

    def trusted_time() -> Any:
        return clock.wall() if clock.wall_trusted() else None

    def identify(der: bytes) -> NodeId:
        return check_peer(der, mesh=credentials.mesh, wall_time=trusted_time()).node

    store = open_store(config, clock.wall)
    me = v.Identity(
        credentials.node, credentials.mesh, config.site, config.name or socket.gethostname().split(".")[0],
        epoch=store.next_epoch(), addresses=(), host=host_id(), capacity=max(1, config.store.max_size >> 30),
        features=features(config),
    )  # fmt: skip
    driver = Driver(
        Node(me, node_config(config), Random(os.urandom(16))),
        store=store, signer=NodeSigner(credentials, trusted_time), clock=clock, limiter=limiter,
        remember=lambda peers: store.meta_set(REMEMBERED_PEERS, upkeep.peers_to_json(peers), durable=False),
        limits=config.limits,
    )  # fmt: skip
    server_tls, client_tls = tls_contexts(files)
    links = await CoapLinks.create(
        driver, server_tls=server_tls, client_tls=client_tls, check_peer=identify, journal=limiter,
        bounds=_bounds(config), rests=rests,
    )
    driver.links = links
    async with _winding_down(driver) as closers:
        port = await links.listen(config.listen.host or None, config.listen.port)
        board = ReadingsBoard(driver.node, clock)
        driver.listen(board.heard)
        discovery = _discovery(config, driver)
        watcher = _watch_addresses(config, driver, port, discovery)
        closers.append(watcher.stop)
        priorities = kept_priorities(driver, store)
        quiet = QuietHours(driver, config.limits.quiet_hours)
        await _begin(driver, store, watcher.current, priorities)
        driver.spawn(upkeep.watch_processor(driver, rests.strained))
        _limit(config, driver, quiet)
        if discovery is not None:
            discovery.start()
            closers.append(discovery.stop)
        await _start_adapters(config, driver, board, closers)
        facts = {
            "node": me.node, "name": me.name, "site": me.site, "mesh": me.mesh, "epoch": me.epoch, "pid": os.getpid(),
            "listen": [str(address) for address in watcher.current] or [f"port {port}"],
        }
        if config.coap.enabled:
            await _serve_leaves(config, driver, board, limiter, closers)
        operations = Operations(driver, board, facts, priorities=priorities, quiet=quiet)
        control = ControlServer(config.control_socket, operations.table())
        await control.start()
        closers.append(control.stop)
        driver.spawn(upkeep.report_alive(driver, manager))
        log.info("edgecache %s, node %s (%s), mesh %s, port %d", __version__, me.name, me.node, me.mesh, port)
        manager.ready(f"node {me.name}, port {port}")
        yield driver


async def _serve_leaves(
    config: Config, driver: Driver, board: ReadingsBoard, journal: RateLimited, closers: list[Closer]
) -> None:
    from edgecache.adapters.coap.leaves import Leaves
    from edgecache.daemon.leaves import SiteLeafSource

    me = driver.node.me
    told = {"node": me.node, "name": me.name, "site": me.site, "version": __version__}
    source = SiteLeafSource(driver, board, told)
    leaves = await Leaves.start(source, host=config.coap.host or None, port=config.coap.port, journal=journal)
    closers.append(leaves.stop)
    log.info("plain CoAP clients are served on UDP port %d, read-only", leaves.port)


@asynccontextmanager
async def _winding_down(driver: Driver) -> AsyncIterator[list[Closer]]:
    """At the end the peers hear goodbye first; then everything that was begun ends at once, and last the driver."""
    closers: list[Closer] = []
    try:
        yield closers
    finally:
        driver.farewell()
        tasks = [asyncio.ensure_future(close()) for close in closers]
        if tasks:
            done, slow = await asyncio.wait(tasks, timeout=WIND_DOWN_TIMEOUT)
            for task in slow:
                task.cancel()
            for task in done:
                if not task.cancelled() and (error := task.exception()) is not None:
                    log.error("an adapter did not stop cleanly", exc_info=error)
        await driver.stop()


def kept_priorities(driver: Driver, store: DiskStore) -> Priorities:
    """Classes of the fetches that go on after a restart, and from now on kept for the next."""
    writing = asyncio.Lock()

    async def keep() -> None:
        async with writing:
            try:
                await driver.in_store(partial(store.meta_set, KEPT_PRIORITIES, priorities.data(), durable=False))
            except EdgecacheError as error:
                driver.warn("priorities", f"classes of fetches cannot be kept: {error}")

    def changed() -> None:
        driver.spawn(keep())

    priorities = Priorities(store.meta_get(KEPT_PRIORITIES), changed)
    return priorities


def _limit(config: Config, driver: Driver, quiet: QuietHours) -> None:
    """Start what looks at the clock and at the links, where it was asked for."""
    if config.limits.quiet_hours:
        quiet.look()
        driver.spawn(quiet.run())
    if config.limits.background:
        driver.spawn(LinkWatch(driver, YieldingConfig().interval).run())


async def _begin(
    driver: Driver, store: DiskStore, addresses: tuple[Address, ...], priorities: Priorities
) -> None:
    """Tell the core what is on disk, then let it start."""
    driver.post(v.OwnAddressesChanged(without_zones(addresses)))
    usage = store.usage()
    driver.post(v.StoreSpace(usage.free_over_reserve))
    for stored in store.blobs():
        driver.post(held(stored, priorities.of(stored.info.blob)))
    driver.post(v.OwnEntriesChanged({CAPACITY_KEY: encode_capacity(driver.node.me.capacity)}))
    driver.post(v.Started(remembered=upkeep.peers_from_json(store.meta_get(REMEMBERED_PEERS))))
    driver.spawn(upkeep.keep_flushed(driver))
    driver.spawn(upkeep.watch_space(driver))
    driver.spawn(upkeep.notice_sleep(driver.clock, driver.rearm))


def _discovery(config: Config, driver: Driver) -> MdnsDiscovery | None:
    """Imported only where it is on: zeroconf alone takes 16 MB."""
    if not config.discovery.mdns:
        return None
    from edgecache.adapters.mdns.discovery import MdnsDiscovery

    return MdnsDiscovery(driver.node.me, (), driver.post)


def _watch_addresses(
    config: Config, driver: Driver, port: int, discovery: MdnsDiscovery | None
) -> AddressWatcher:
    def read() -> tuple[Address, ...]:
        if config.listen.advertise:
            return tuple(Address(a.host, a.port or port) for a in config.listen.advertise)
        return own_addresses(port)

    def changed(addresses: tuple[Address, ...]) -> None:
        log.info("this device is now at %s", ", ".join(map(str, addresses)) or "no address")
        driver.post(v.OwnAddressesChanged(without_zones(addresses)))
        if discovery is not None:
            discovery.update(addresses)

    watcher = AddressWatcher(read, changed)
    if discovery is not None:
        discovery.update(watcher.current)
    watcher.start()
    return watcher


async def _start_adapters(
    config: Config, driver: Driver, board: ReadingsBoard, closers: list[Closer]
) -> None:
    """Sources and what else is switched on; each imported only then."""
    if config.mqtt.enabled:
        from edgecache.adapters.mqtt.bridge import JOURNAL_NAME, MqttBridge
        from edgecache.daemon.bridging import SiteBridge

        mqtt = MqttBridge(config.mqtt, driver.node.me, config.data_dir / JOURNAL_NAME, driver.post)
        bridge = SiteBridge(driver, board, mqtt)
        driver.bridge = bridge
        driver.listen(bridge.heard)
        mqtt.start()
        closers.append(bridge.stop)
    if config.readings.sources:
        from edgecache.adapters.sources.runner import SourceRunner

        runner = SourceRunner(
            config.readings.sources, config.readings.interval, config.data_dir, driver.clock,
            lambda seen: driver.post(board.own_entries(seen)),
        )
        runner.start()
        closers.append(runner.stop)
    if config.discovery.seeds:
        driver.spawn(upkeep.resolve_seeds(driver, config.discovery.seeds))
