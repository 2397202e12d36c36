"""What the agent does now and then: sync the store, watch the disk, resolve seeds, tell systemd that it lives."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Iterable

from edgecache.adapters.system.service import ServiceManager
from edgecache.config.endpoints import Endpoint
from edgecache.core import vocabulary as v
from edgecache.daemon.engine import Engine
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import EdgecacheError, UsageError
from edgecache.model.ids import parse_node_id
from edgecache.model.peer import Address, PeerInfo, SeenVia

log = logging.getLogger(__name__)

FLUSH_INTERVAL = 30.0
"""Chunks that came are safe from a kill at once, from a power cut at most this much later; the store itself syncs every
16 MiB. Less would wear out flash on slow links: a sync for each few chunks."""
SPACE_INTERVAL = 10.0
SPACE_STEP = 16 * CHUNK_BYTES
"""The core hears of a change of free space of at least this."""
RESOLVE_INTERVAL = 60.0
"""Names of seeds are looked up again: addresses of home routers change."""
RESOLVE_TIMEOUT = 5.0
SEED_ADDRESSES_MAX = 8


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
        usage = await driver.in_store(driver.store.usage)
        if told is None or abs(usage.free_over_reserve - told) >= SPACE_STEP:
            told = usage.free_over_reserve
            driver.post(v.StoreSpace(told))
        await asyncio.sleep(SPACE_INTERVAL)


async def resolve_seeds(driver: Engine, seeds: Iterable[Endpoint]) -> None:
    """Look up the configured seeds, now and again."""
    loop = asyncio.get_running_loop()
    while True:
        for seed in seeds:
            try:
                async with asyncio.timeout(RESOLVE_TIMEOUT):
                    found = await loop.getaddrinfo(seed.host, seed.port, type=socket.SOCK_STREAM)
            except (OSError, TimeoutError) as error:
                driver.warn(f"seed:{seed}", f"the seed {seed} cannot be looked up: {error or 'no answer'}")
                continue
            hosts = dict.fromkeys(str(address[0]) for *_, address in found)
            for host in list(hosts)[:SEED_ADDRESSES_MAX]:
                driver.post(v.PeerSighted(None, (Address(host, seed.port),), SeenVia.SEED))
        await asyncio.sleep(RESOLVE_INTERVAL)


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
    peers = []
    with contextlib.suppress(ValueError):
        for row in json.loads(data or b"[]"):
            with contextlib.suppress(KeyError, TypeError, ValueError, UsageError):
                addresses = tuple(Address(str(host), int(port)) for host, port in row["addresses"])
                peers.append(PeerInfo(parse_node_id(row["node"]), addresses, str(row["site"])))
    return tuple(peers)
