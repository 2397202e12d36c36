"""Announces this agent and reports who else announces itself, as long as the network allows.

One AsyncZeroconf at a time. When the device's addresses change, it is closed with a goodbye and opened anew: the
library neither announces nor browses on interfaces that come later, and its advertised addresses go stale.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import OrderedDict
from collections.abc import Callable

import zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from edgecache.adapters.mdns.records import (
    SERVICE_TYPE,
    instance_label,
    parse_sighting,
    server_name,
    txt_properties,
)
from edgecache.adapters.mdns.sockets import close_zeroconf, open_zeroconf
from edgecache.core.vocabulary import Identity, PeerSighted
from edgecache.model.errors import Unreachable
from edgecache.model.peer import Address

_log = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
"""Until multicast is tried again where it was impossible: a cable or a Wi-Fi may come."""

RESOLVE_MS = 3000
"""For records that did not come with the announcement."""

RESOLVERS = 8
"""Instances resolved at a time."""

WAITING_MAX = 256
"""Instances that wait to be resolved; a link with more, or a liar, loses the rest."""

KNOWN_MAX = 512
"""Instances whose last sighting is remembered, so that repeats are not reported."""


class _Session:
    """One AsyncZeroconf: our service registered, others' browsed, until closed."""

    def __init__(self, me: Identity, addresses: tuple[Address, ...], on_sighted: Callable[[PeerSighted], None]) -> None:
        self._me = me
        self._hosts = tuple(address.host for address in addresses)
        self._port = addresses[0].port
        self._loopback = all(host in ("127.0.0.1", "::1") for host in self._hosts)
        self._on_sighted = on_sighted
        self._known: OrderedDict[str, PeerSighted] = OrderedDict()
        self._waiting: OrderedDict[str, None] = OrderedDict()
        self._work = asyncio.Event()
        self._opened: AsyncZeroconf = open_zeroconf(self._hosts)
        self._browser = AsyncServiceBrowser(self._opened.zeroconf, SERVICE_TYPE, handlers=[self._on_change])
        self._tasks = [asyncio.create_task(self._register(), name="mdns register")]
        self._tasks += [asyncio.create_task(self._resolve(), name="mdns resolve") for _ in range(RESOLVERS)]

    async def close(self) -> None:
        """Goodbye to the link."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(zeroconf.Error):
            await self._browser.async_cancel()
        await close_zeroconf(self._opened)

    async def _register(self) -> None:
        label = instance_label(self._me.name, self._me.node)
        info = AsyncServiceInfo(
            SERVICE_TYPE,
            f"{label}.{SERVICE_TYPE}",
            port=self._port,
            server=server_name(self._me.node),
            parsed_addresses=list(dict.fromkeys(host.partition("%")[0] for host in self._hosts)),
            properties=txt_properties(self._me.node, self._me.mesh, self._me.site),
        )
        try:
            announced = await self._opened.async_register_service(info, allow_name_change=True)
            await announced
        except (OSError, zeroconf.Error) as error:
            _log.warning("mDNS: this node could not be announced: %s", error or type(error).__name__)
            return
        if info.name != f"{label}.{SERVICE_TYPE}":
            _log.warning("mDNS: somebody already announces %r: is there a copy of this node's key?", label)

    def _on_change(
        self,
        *,
        zeroconf: zeroconf.Zeroconf,
        service_type: str,
        name: str,
        state_change: zeroconf.ServiceStateChange,
    ) -> None:
        """Called by the library on the event loop, with exactly these keywords."""
        if state_change.name == "Removed":
            self._known.pop(name, None)
            return
        info = AsyncServiceInfo(service_type, name)
        if info.load_from_cache(zeroconf):
            self._report(name, info)
        elif len(self._waiting) < WAITING_MAX:
            self._waiting[name] = None
            self._work.set()

    async def _resolve(self) -> None:
        while True:
            while not self._waiting:
                self._work.clear()
                await self._work.wait()
            name, _ = self._waiting.popitem(last=False)
            try:
                info = AsyncServiceInfo(SERVICE_TYPE, name)
                if await info.async_request(self._opened.zeroconf, RESOLVE_MS):
                    self._report(name, info)
            except (OSError, ValueError, zeroconf.Error) as error:
                _log.debug("mDNS: %r cannot be resolved: %s", name, error)

    def _report(self, name: str, info: AsyncServiceInfo) -> None:
        found = parse_sighting(
            info.properties,
            info.parsed_scoped_addresses(),
            info.port,
            mesh=self._me.mesh,
            own=self._me.node,
            loopback=self._loopback,
        )
        if isinstance(found, str):
            _log.debug("mDNS: %r is passed over: %s", name, found)
            return
        if self._known.get(name) == found:
            return
        self._known[name] = found
        self._known.move_to_end(name)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)
        self._on_sighted(found)


class MdnsDiscovery:
    """Finds nodes of our mesh on the local link. `on_sighted` runs on the event loop; a sighting is only a claim."""

    def __init__(
        self,
        me: Identity,
        addresses: tuple[Address, ...],
        on_sighted: Callable[[PeerSighted], None],
        retry: float = RETRY_SECONDS,
    ) -> None:
        """`addresses`: where we listen, link-local ones with their zone; empty while the device has none."""
        txt_properties(me.node, me.mesh, me.site)
        self._me = me
        self._addresses = addresses
        self._on_sighted = on_sighted
        self._retry = retry
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure = ""

    @property
    def failure(self) -> str:
        """Why nobody can be found by mDNS at present; empty when it works as far as this device can tell."""
        return self._failure

    def start(self) -> None:
        """Announce and browse from now on, in the background; never fails: without multicast it warns and retries."""
        self._task = asyncio.create_task(self._run(), name="mdns")

    def update(self, addresses: tuple[Address, ...]) -> None:
        """The device's addresses changed: announce those, on their interfaces."""
        if addresses != self._addresses:
            self._addresses = addresses
            self._changed.set()

    async def stop(self) -> None:
        """Say goodbye; ends within half a second. Harmless when not started."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _run(self) -> None:
        while True:
            self._changed.clear()
            session = self._open()
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), None if session else self._retry)
            finally:
                if session:
                    await session.close()

    def _open(self) -> _Session | None:
        failure, session = "", None
        try:
            if not self._addresses:
                raise Unreachable("mDNS waits: no network interface has an address")
            session = _Session(self._me, self._addresses, self._on_sighted)
        except (Unreachable, OSError, RuntimeError, zeroconf.Error) as error:
            failure = str(error)
            if failure != self._failure:
                _log.warning("%s; going on with seeds and remembered peers", failure)
        if not failure and self._failure:
            _log.info("mDNS works again")
        self._failure = failure
        return session
