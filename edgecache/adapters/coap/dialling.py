"""Opening links: all addresses of a peer in a race, one race per peer at a time."""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import Iterable
from functools import partial

from edgecache.adapters.coap.bounds import LinkBounds
from edgecache.adapters.coap.connection import Connection
from edgecache.adapters.coap.race import first_success
from edgecache.adapters.coap.switchboard import Switchboard
from edgecache.model.errors import Denied, EdgecacheError, Refused, TimedOut, TransportError, Unreachable
from edgecache.model.ids import NodeId
from edgecache.model.peer import Address
from edgecache.wire.limits import ADDRESSES_MAX

ERRORS_SHOWN = 4

_RaceKey = NodeId | tuple[Address, ...]


class Dialler:
    """Dials under way, by whom they are meant to reach."""

    def __init__(self, switchboard: Switchboard, context: ssl.SSLContext, bounds: LinkBounds) -> None:
        self._switchboard, self._context, self._bounds = switchboard, context, bounds
        self._loop = asyncio.get_running_loop()
        self._races: dict[_RaceKey, asyncio.Task[None]] = {}

    async def dial(self, node: NodeId | None, addresses: Iterable[Address]) -> None:
        """Open a link to `node` (None: to whoever answers); a dial of the same that is under way is joined.

        Raises TransportError or Denied.
        """
        wanted = tuple(dict.fromkeys(addresses))[:ADDRESSES_MAX]
        key: _RaceKey = node if node is not None else wanted
        task = self._races.get(key)
        if task is None:
            task = self._races[key] = self._loop.create_task(self._race(node, wanted))
            task.add_done_callback(partial(self._over, key))
        await asyncio.shield(task)

    def _over(self, key: _RaceKey, task: asyncio.Task[None]) -> None:
        self._races.pop(key, None)
        if not task.cancelled():
            # Whoever waited may have been cancelled; the failure is then nobody's.
            task.exception()

    async def stop(self) -> None:
        """End every dial."""
        races = list(self._races.values())
        for task in races:
            task.cancel()
        await asyncio.gather(*races, return_exceptions=True)

    async def _race(self, node: NodeId | None, addresses: tuple[Address, ...]) -> None:
        if not addresses:
            raise Unreachable(f"no address of {node} is known")
        turn = _Turn()
        stagger = min(self._bounds.stagger_seconds, self._bounds.dial_seconds / (2 * len(addresses)))
        attempts = [partial(self._attempt, node, address, turn) for address in addresses]
        try:
            async with asyncio.timeout(self._bounds.dial_seconds):
                outcome = await first_success(attempts, stagger=stagger)
        except TimeoutError as error:
            where = ", ".join(map(str, addresses[:ERRORS_SHOWN]))
            raise TimedOut(f"no link within {self._bounds.dial_seconds:g} s: {where}") from error
        if isinstance(outcome, list):
            raise _summary(outcome)

    async def _attempt(self, node: NodeId | None, address: Address, turn: _Turn) -> Connection:
        connection = Connection(self._switchboard, self._context, address, node)
        try:
            await self._loop.create_connection(lambda: connection.stream, address.host, address.port)
            await connection.authenticated
            async with turn.lock:
                if turn.taken:
                    raise Unreachable("another address was faster")
                connection.greet()
                await connection.opened
                turn.taken = True
        except EdgecacheError as error:
            connection.evict(error.message)
            raise _at(address, error) from error
        except (OSError, ValueError) as error:
            # A host that is no host at all is a ValueError. The event loop puts the address into strerror.
            number = error.errno if isinstance(error, OSError) else None
            text = os.strerror(number) if number and number > 0 else str(error)
            connection.evict(text)
            raise Unreachable(f"{address}: {text}") from error
        except asyncio.CancelledError:
            connection.evict("another address was faster")
            raise
        return connection


class _Turn:
    """One attempt at a time says hello: a peer never sees two links of one race."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.taken = False


def _at(address: Address, error: EdgecacheError) -> EdgecacheError:
    kind = type(error) if isinstance(error, TransportError | Denied) else Refused
    return kind(f"{address}: {error.message}", hint=error.hint)


def _summary(errors: list[EdgecacheError]) -> EdgecacheError:
    """One error for all addresses: the kind that says most, the words of each."""
    for kind in (Denied, Refused, TimedOut, Unreachable):
        telling = [error for error in errors if isinstance(error, kind)]
        if telling and (kind is not TimedOut or len(telling) == len(errors)):
            words = "; ".join(dict.fromkeys(error.message for error in (telling + errors)[:ERRORS_SHOWN]))
            return kind(words, hint=telling[0].hint)
    return Unreachable("; ".join(error.message for error in errors[:ERRORS_SHOWN]))
