"""What the agent does now and then: sync the store, watch the disk, resolve seeds, tell systemd that it lives."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import threading
from collections.abc import Callable, Sequence

from edgecache.adapters.system.service import ServiceManager
from edgecache.config.endpoints import Endpoint
from edgecache.core import vocabulary as v
from edgecache.daemon.engine import Engine
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import EdgecacheError, UsageError
from edgecache.model.ids import parse_node_id
from edgecache.model.peer import Address, PeerInfo, SeenVia
from edgecache.ports import Clock

log = logging.getLogger(__name__)

FLUSH_INTERVAL = 30.0
"""Chunks that came are safe from a kill at once, from a power cut at most this much later; the store itself syncs every
16 MiB. Less would wear out flash on slow links: a sync for each few chunks."""
SPACE_INTERVAL = 10.0
SPACE_STEP = 16 * CHUNK_BYTES
"""The core hears of a change of free space of at least this."""
RESOLVE_INTERVAL = 60.0
"""Names of seeds are looked up again: addresses of home routers change."""
RESOLVE_AGAIN = 5.0
"""The same after a name was not found: at start the network may not be up yet."""
RESOLVE_TIMEOUT = 5.0
SEED_ADDRESSES_MAX = 8
STRAIN_INTERVAL = 1.0
STRAIN_LOOKS = 3
"""Without strain in a row before it is over: it comes and goes, and what follows from it should not."""
SLEEP_INTERVAL = 2.0
SLEEP_NOTICED = 1.0
"""Seconds that a suspended device is behind before its timers are set anew."""


async def keep_flushed(driver: Engine) -> None:
    """Sync what came; a full or failing disk is reported and tried again."""
    while True:
        await asyncio.sleep(FLUSH_INTERVAL)
        try:
            await driver.in_store(driver.store.flush)
        except EdgecacheError as error:
            driver.warn("flush", f"the store cannot be synced: {error}")


async def watch_space(driver: Engine) -> None:
    """Tell the core how much may still be written."""
    told: int | None = None
    while True:
        try:
            usage = await driver.in_store(driver.store.usage)
        except EdgecacheError as error:
            driver.warn("space", f"the room on the disk is not known: {error}")
        else:
            if told is None or abs(usage.free_over_reserve - told) >= SPACE_STEP:
                told = usage.free_over_reserve
                driver.post(v.StoreSpace(told))
        await asyncio.sleep(SPACE_INTERVAL)


async def watch_processor(driver: Engine, short: Callable[[], bool], interval: float = STRAIN_INTERVAL) -> None:
    """Tell the core when the processor becomes short, and when it has not been for a while."""
    strained, calm = False, 0
    while True:
        await asyncio.sleep(interval)
        calm = 0 if short() else calm + 1
        if calm == 0 and not strained:
            strained = True
            driver.post(v.StrainChanged(True))
        elif calm == STRAIN_LOOKS and strained:
            strained = False
            driver.post(v.StrainChanged(False))


async def notice_sleep(clock: Clock, woken: Callable[[], None], interval: float = SLEEP_INTERVAL) -> None:
    """Call `woken` soon after the device was suspended: the event loop's clock stood still meanwhile, ours did not."""
    loop = asyncio.get_running_loop()
    ahead = clock.now() - loop.time()
    while True:
        await asyncio.sleep(interval)
        before, ahead = ahead, clock.now() - loop.time()
        if ahead - before > SLEEP_NOTICED:
            log.info("this device has slept for %.0f s", ahead - before)
            woken()


async def resolve_seeds(driver: Engine, seeds: Sequence[Endpoint]) -> None:
    """Look up the configured seeds, now and again."""
    while True:
        pause = RESOLVE_INTERVAL
        for seed in seeds:
            try:
                async with asyncio.timeout(RESOLVE_TIMEOUT):
                    hosts = await look_up(seed.host, seed.port)
            except (OSError, TimeoutError) as error:
                driver.warn(f"seed:{seed}", f"the seed {seed} cannot be looked up: {error or 'no answer'}")
                pause = RESOLVE_AGAIN
                continue
            for host in hosts[:SEED_ADDRESSES_MAX]:
                driver.post(v.PeerSighted(None, (Address(host, seed.port),), SeenVia.SEED))
        await asyncio.sleep(pause)


async def look_up(host: str, port: int) -> list[str]:
    """The addresses of a name; raises OSError. In a thread that nobody waits for: a resolver without an answer takes
    half a minute, and an agent stops in less."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def settle(found: list[str], error: OSError | None) -> None:
        if not answer.done():
            answer.set_result(found) if error is None else answer.set_exception(error)

    def work() -> None:
        found: list[str] = []
        failure: OSError | None = None
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(address[0]) for *_, address in entries))
        except (OSError, UnicodeError) as error:
            failure = error if isinstance(error, OSError) else OSError(str(error))
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, found, failure)

    threading.Thread(target=work, name=f"look up {host}", daemon=True).start()
    return await answer


async def report_alive(driver: Engine, manager: ServiceManager) -> None:
    """Feed the watchdog from the event loop itself: a loop that hangs is restarted."""
    if manager.watchdog_interval is None:
        return
    while True:
        linked = sum(peer.linked for peer in driver.node.membership.peers())
        manager.alive(f"{linked} peers linked")
        await asyncio.sleep(manager.watchdog_interval)


def peers_to_json(peers: tuple[PeerInfo, ...]) -> bytes:
    """Remembered peers as they are kept on disk."""
    rows = [{"node": p.node, "site": p.site, "addresses": [[a.host, a.port] for a in p.addresses]} for p in peers]
    return json.dumps(rows).encode()


def peers_from_json(data: bytes | None) -> tuple[PeerInfo, ...]:
    """The peers of the last run; whatever cannot be read is left out, discovery will find them again."""
    peers: list[PeerInfo] = []
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        for row in json.loads(data or b"[]"):
            with contextlib.suppress(KeyError, TypeError, ValueError, UsageError):
                addresses = tuple(Address(str(host), int(port)) for host, port in row["addresses"])
                peers.append(PeerInfo(parse_node_id(row["node"]), addresses, str(row["site"])))
    return tuple(peers)
