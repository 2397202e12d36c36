"""The driver with real threads and timers: one thing that goes wrong ends nothing else, and a stop does not wait."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest

from edgecache.core import vocabulary as v
from edgecache.core.membership import MembershipConfig
from edgecache.model.content import LARGE_BLOB_BYTES, LARGE_CHUNK_BYTES, RULE_LARGE, ManifestRoot
from edgecache.model.errors import NotFound, StoreFull
from edgecache.model.ids import BlobId, blob_id_from_root, sha256
from edgecache.model.peer import Address, CloseReason, PeerInfo, SeenVia
from edgecache.ports import LinkStats
from edgecache.wire.manifest import encode_root
from edgecache.wire.messages import BATCHES, Gossip, Hello
from tests.integration.daemon.agent import PEER, InProcess, OnePeer, agent, node, run

BLOB = BlobId("b" + "a" * 53)
STOPPED = 1.5
"""Promised for a clean stop."""


def hello(number: int) -> Hello:
    return Hello(node(number), "mesh", "home", f"n{number}", 1, 1 << 16, (Address(f"10.0.0.{number}", 5684),))


class Closing(OnePeer):
    """Notes which links are closed."""

    def __init__(self) -> None:
        super().__init__(None)
        self.closed: list[CloseReason] = []

    def close(self, link: v.LinkId, reason: CloseReason) -> None:
        self.closed.append(reason)


def test_a_pace_lasts_as_long_as_any_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:
            left = [LinkStats(PEER, "", True, 1.0, None, 0, 0, 0)]
            monkeypatch.setattr(one.links, "stats", lambda: left)
            one.driver.transfers.pace.set(v.PaceLink(PEER, 1e6, 1e6, 16384))
            one.driver.link_closed(v.LinkId(1), PEER, CloseReason.BROKEN, "")
            assert one.driver.transfers.pace.unit(PEER) == 16384
            left.clear()
            one.driver.link_closed(v.LinkId(2), PEER, CloseReason.BROKEN, "")
            assert one.driver.transfers.pace.unit(PEER) == LARGE_CHUNK_BYTES

    run(work)


def test_who_does_not_know_large_chunks_is_not_offered_any(tmp_path: Path) -> None:
    """It would take the manifest for a damaged one, and ban us."""

    async def work() -> None:
        async with agent(tmp_path, cap=2 * LARGE_BLOB_BYTES) as one:
            root = encode_root(ManifestRoot(LARGE_BLOB_BYTES, sha256(b""), (sha256(b"page"),), RULE_LARGE))
            blob = one.driver.store.begin(blob_id_from_root(root), root, pin=False).info.blob
            for features, knows in ((frozenset({BATCHES}), False), (one.driver.hello().features, True)):
                hello = Hello(PEER, "mesh", "site", "other", 1, 0, (), features=features)
                one.driver.link_opened(v.LinkId(7), hello, dialled=False, address=None)
                if knows:
                    assert await one.driver.serve_manifest(PEER, blob, None) == root
                else:
                    with pytest.raises(NotFound):
                        await one.driver.serve_manifest(PEER, blob, None)
                one.driver.link_closed(v.LinkId(7), PEER, CloseReason.BROKEN, "")
            with pytest.raises(NotFound):
                await one.driver.serve_manifest(PEER, blob, None)

    run(work)


def test_a_bug_in_the_core_ends_its_own_event_only(tmp_path: Path) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:
            core = one.driver.node.handle

            def handle(event: v.Event, now: float) -> list[v.Effect]:
                if isinstance(event, v.MessageReceived):
                    raise RuntimeError("a bug")
                return core(event, now)

            one.driver.node.handle = handle  # type: ignore[method-assign]
            one.driver.received(PEER, Gossip())
            assert one.lines.causes == ["bug:MessageReceived was not handled"]
            one.meet()
            assert [peer.node for peer in one.driver.node.membership.peers()] == [PEER]
            one.driver.node.handle = core  # type: ignore[method-assign]

    run(work)


def test_an_effect_that_fails_does_not_take_the_others_along(tmp_path: Path) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:
            seen: list[v.Report] = []

            def bad(report: v.Report) -> None:
                raise RuntimeError("a listener with a bug")

            one.driver.listen(bad)
            one.driver.listen(seen.append)
            one.driver.link_opened(v.LinkId(1), hello(1), dialled=False, address=None)
            one.driver.link_opened(v.LinkId(2), hello(2), dialled=False, address=None)
            assert one.lines.causes == ["bug:MemberReported was not carried out"] * 2
            sent_to_both = [message for message in one.links.sent if isinstance(message, Gossip)]
            assert sent_to_both, "the second was introduced to the first"

    run(work)


def test_a_disk_that_is_full_does_not_keep_us_from_saying_goodbye(tmp_path: Path) -> None:
    async def work() -> None:
        links = Closing()
        async with agent(tmp_path, links) as one:

            def full(peers: tuple[PeerInfo, ...]) -> None:
                raise StoreFull("the disk is full")

            one.driver._remember = full
            one.driver.link_opened(v.LinkId(1), hello(1), dialled=True, address=Address("10.0.0.1", 5684))
            one.driver.farewell()
            assert links.closed == [CloseReason.GOODBYE]
            await one.until(lambda: "remember" in one.lines.causes)

    run(work)


def test_timers_that_were_due_while_the_device_slept_fire_when_it_wakes(tmp_path: Path) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:
            clock = one.driver.clock

            class Slept:
                ahead = 0.0

                def now(self) -> float:
                    return clock.now() + self.ahead

                wall, wall_trusted = clock.wall, clock.wall_trusted

            one.driver.clock = slept = Slept()
            one.driver.post(v.PeerSighted(node(5), (Address("10.0.0.5", 5684),), SeenVia.MDNS))
            fired: list[v.TimerKey] = []
            core = one.driver.node.handle

            def handle(event: v.Event, now: float) -> list[v.Effect]:
                if isinstance(event, v.TimerFired):
                    fired.append(event.key)
                return core(event, now)

            one.driver.node.handle = handle  # type: ignore[method-assign]
            slept.ahead = MembershipConfig().gossip_interval * 2
            tick = v.TimerKey(v.MachineName.MEMBERSHIP, "tick")
            assert tick in one.driver._timers
            one.driver.rearm()
            await one.until(lambda: tick in fired)

    run(work)


def test_a_dial_that_fails_is_told_and_backed_off(tmp_path: Path) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:
            failures: list[v.Event] = []
            core = one.driver.node.handle

            def handle(event: v.Event, now: float) -> list[v.Effect]:
                if isinstance(event, v.DialFailed):
                    failures.append(event)
                return core(event, now)

            one.driver.node.handle = handle  # type: ignore[method-assign]
            one.driver.sighted(node(5), (Address("10.0.0.5", 5684),), SeenVia.MDNS)
            await one.until(lambda: failures)

    run(work)


@pytest.mark.parametrize("hung", ["nothing", "links", "a task", "a thread that hashes", "a thread that syncs"])
def test_a_stop_does_not_wait_for_what_hangs(tmp_path: Path, hung: str) -> None:
    async def work() -> float:
        go_on = threading.Event()

        def held_up(blob: BlobId | None = None) -> None:
            go_on.wait(20.0)

        one = InProcess(tmp_path, OnePeer(None), 1 << 20)
        one.begin()
        if hung == "links":
            one.links.stopping = asyncio.Event()
        elif hung == "a task":

            async def stubborn() -> None:
                for _ in range(20):
                    try:
                        await asyncio.sleep(10.0)
                    except asyncio.CancelledError:
                        continue

            one.driver.spawn(stubborn())
        elif hung == "a thread that hashes":
            one.store.complete = held_up  # type: ignore[method-assign]
            one.driver.transfers.complete(v.CompleteBlob(BLOB))
        elif hung == "a thread that syncs":
            one.store.flush = held_up  # type: ignore[method-assign]
            one.driver.spawn(one.driver.in_store(one.store.flush))
        await asyncio.sleep(0.05)
        began = time.monotonic()
        await one.driver.stop()
        seconds = time.monotonic() - began
        go_on.set()
        return seconds

    loop = asyncio.new_event_loop()
    try:
        assert loop.run_until_complete(asyncio.wait_for(work(), 30.0)) < STOPPED
    finally:
        for task in asyncio.all_tasks(loop):
            for _ in range(25):
                task.cancel()
                loop.run_until_complete(asyncio.sleep(0))
        loop.close()
