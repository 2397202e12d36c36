"""Units and chunks between links and store: every request ends once, and the right one is blamed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from edgecache.core import vocabulary as v
from edgecache.daemon.serving import Serving
from edgecache.daemon.transfers import Transfers
from edgecache.model.errors import (
    EdgecacheError,
    NotFound,
    Refused,
    StoreCorrupt,
    StoreError,
    StoreFull,
    TimedOut,
    UnknownRule,
)
from edgecache.model.ids import sha256
from edgecache.ports import Part, Refusal
from tests.unit.daemon.stubs import BLOB, CHUNK, DIGEST, StubEngine, node

PEER = node(7)
REQUEST = v.RequestId(1)


class Desk:
    """Transfers and serving of one engine."""

    def __init__(self) -> None:
        self.engine = StubEngine()
        self.store, self.links = self.engine.stub, self.engine.stub_links
        self.transfers, self.serving = Transfers(self.engine), Serving(self.engine)

    def ask(self) -> asyncio.Task[Part | Refusal]:
        """A peer asks for the chunk."""
        return asyncio.ensure_future(self.serving.unit(PEER, BLOB, 0, DIGEST, 0, len(CHUNK)))

    async def serve(self) -> Part | Refusal:
        """The same, and the core lets it have its turn."""
        before = len(self.engine.heard(v.UnitAsked))
        asked = self.ask()
        await self.engine.settle()
        self.serving.serve(v.ServeUnit(self.engine.heard(v.UnitAsked)[before].request))
        return await asked

    def fetch(self) -> None:
        """The core wants the chunk."""
        self.transfers.fetch_chunk(v.FetchChunk(REQUEST, PEER, BLOB, 0, 1 << 20, 5.0))

    def begin(self) -> None:
        """The core wants the manifest."""
        self.transfers.fetch_manifest(v.FetchManifest(REQUEST, PEER, BLOB, None, 5.0))

    def sent(self) -> None:
        """One unit has left."""
        self.serving.sent(PEER, BLOB, 0, 0)

    @property
    def failures(self) -> list[v.FetchFailure]:
        return [event.reason for event in self.engine.heard(v.ChunkFailed)]


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 10.0))


# ---- serving


def test_each_unit_ends_once_though_one_is_asked_for_twice() -> None:
    async def work() -> None:
        desk = Desk()
        assert await desk.serve() == await desk.serve() == Part(CHUNK, more=False)
        for _ in range(3):
            desk.sent()
        asked = [event.request for event in desk.engine.heard(v.UnitAsked)]
        assert [event.request for event in desk.engine.heard(v.UnitServed)] == asked
        assert len(set(asked)) == 2

    run(work())


def test_a_lost_link_gives_back_every_unit() -> None:
    async def work() -> None:
        desk = Desk()
        for _ in range(3):
            await desk.serve()
        desk.serving.link_closed(node(8), last=True)
        assert not desk.engine.heard(v.UnitWithdrawn)
        desk.serving.link_closed(PEER, last=True)
        desk.sent()
        assert len(desk.engine.heard(v.UnitWithdrawn)) == 3
        assert not desk.engine.heard(v.UnitServed)

    run(work())


def test_an_asker_that_goes_is_forgotten() -> None:
    async def work() -> None:
        desk = Desk()
        asked = desk.ask()
        await desk.engine.settle()
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        (withdrawn,) = desk.engine.heard(v.UnitWithdrawn)
        desk.serving.serve(v.ServeUnit(withdrawn.request))

    run(work())


def test_a_unit_that_the_core_never_answers_is_refused_in_the_end() -> None:
    async def work() -> None:
        desk = Desk()
        asked = desk.ask()
        await desk.engine.settle()
        desk.serving._look()
        late = desk.ask()
        await desk.engine.settle()
        assert not asked.done()
        desk.serving._look()
        assert await asked == Refusal()
        (withdrawn,) = desk.engine.heard(v.UnitWithdrawn)
        first, second = desk.engine.heard(v.UnitAsked)
        assert (withdrawn.request, late.done()) == (first.request, False)
        desk.serving.serve(v.ServeUnit(second.request))
        assert await late == Part(CHUNK, more=False)
        desk.serving._look()
        assert desk.serving._look_again is None, "nobody waits"

    run(work())


def test_a_refusal_is_passed_on() -> None:
    async def work() -> None:
        desk = Desk()
        asked = desk.ask()
        await desk.engine.settle()
        (unit,) = desk.engine.heard(v.UnitAsked)
        desk.serving.refuse(v.RefuseUnit(unit.request, 3.0))
        assert await asked == Refusal(3.0)
        assert not desk.engine.heard(v.UnitWithdrawn)

    run(work())


@pytest.mark.parametrize("error", [NotFound("gone"), StoreCorrupt("rotten"), StoreError("no disk")])
def test_a_unit_that_cannot_be_read_is_not_there(error: EdgecacheError) -> None:
    async def work() -> None:
        desk = Desk()
        desk.store.fails["read"] = error
        assert await desk.serve() == Refusal()
        assert len(desk.engine.heard(v.UnitWithdrawn)) == 1
        assert len(desk.engine.heard(v.BlobHeld)) == isinstance(error, StoreCorrupt), "what the store forgot is told"

    run(work())


def test_a_chunk_of_another_digest_is_not_there() -> None:
    async def work() -> None:
        desk = Desk()
        asked = asyncio.ensure_future(desk.serving.unit(PEER, BLOB, 0, sha256(b"else"), 0, 4))
        await desk.engine.settle()
        desk.serving.serve(v.ServeUnit(desk.engine.heard(v.UnitAsked)[0].request))
        assert await asked == Refusal()
        assert "read" not in desk.store.calls

    run(work())


def test_a_blob_that_is_not_here_costs_no_turn() -> None:
    async def work() -> None:
        desk = Desk()
        desk.store.held = None
        assert await desk.ask() == Refusal()
        assert not desk.engine.heard(v.UnitAsked)

    run(work())


# ---- fetching


def test_a_chunk_is_fetched_and_stored() -> None:
    async def work() -> None:
        desk = Desk()
        desk.fetch()
        await desk.engine.settle()
        desk.links.asked.set_result(CHUNK)
        await desk.engine.settle()
        (stored,) = desk.engine.heard(v.ChunkStored)
        assert (stored.request, stored.index, stored.size) == (REQUEST, 0, len(CHUNK))

    run(work())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotFound("no"), v.FetchFailure.NOT_FOUND), (TimedOut("no"), v.FetchFailure.TIMEOUT),
        (Refused("no", retry_after=2.0), v.FetchFailure.REFUSED),
    ],
)  # fmt: skip
def test_the_core_hears_why_a_peer_did_not_give(error: EdgecacheError, reason: v.FetchFailure) -> None:
    async def work() -> None:
        desk = Desk()
        desk.fetch()
        await desk.engine.settle()
        desk.links.asked.set_exception(error)
        await desk.engine.settle()
        assert desk.failures == [reason]

    run(work())


@pytest.mark.parametrize(
    ("call", "error", "reason"),
    [
        ("chunk_digest", NotFound("removed"), v.FetchFailure.LINK_LOST),
        ("chunk_digest", StoreCorrupt("the index is damaged"), v.FetchFailure.LINK_LOST),
        ("put_chunk", NotFound("removed"), v.FetchFailure.LINK_LOST),
        ("put_chunk", StoreFull("full"), v.FetchFailure.STORE_FULL),
        ("put_chunk", StoreCorrupt("other bytes"), v.FetchFailure.CORRUPT),
        ("put_chunk", RuntimeError("a bug"), v.FetchFailure.LINK_LOST),
    ],
)
def test_a_peer_is_blamed_for_its_bytes_alone(call: str, error: Exception, reason: v.FetchFailure) -> None:
    async def work() -> None:
        desk = Desk()
        desk.store.fails[call] = error
        desk.fetch()
        await desk.engine.settle()
        desk.links.asked.set_result(CHUNK)
        await desk.engine.settle()
        assert desk.failures == [reason]
        for task in desk.engine.tasks:
            task.exception()

    run(work())


def test_a_fetch_that_is_cancelled_says_nothing() -> None:
    async def work() -> None:
        desk = Desk()
        desk.fetch()
        await desk.engine.settle()
        desk.transfers.cancel(v.CancelFetch(REQUEST))
        await desk.engine.settle()
        assert desk.engine.tasks[0].cancelled()
        assert not desk.engine.events

    run(work())


def test_what_has_arrived_when_it_is_cancelled_is_stored() -> None:
    async def work() -> None:
        desk = Desk()
        desk.fetch()
        await desk.engine.settle()
        desk.engine.hold = asyncio.Event()
        desk.links.asked.set_result(CHUNK)
        await desk.engine.settle()
        desk.transfers.cancel(v.CancelFetch(REQUEST))
        desk.engine.hold.set()
        await desk.engine.settle()
        assert len(desk.engine.heard(v.ChunkStored)) == 1

    run(work())


def test_what_a_newer_node_made_is_nobodys_fault() -> None:
    async def work() -> None:
        desk = Desk()
        desk.store.fails["begin"] = UnknownRule("chunking rule 9")
        desk.begin()
        await desk.engine.settle()
        desk.links.asked.set_result(b"a root")
        await desk.engine.settle()
        (failed,) = desk.engine.heard(v.ManifestFailed)
        assert failed.reason is v.FetchFailure.NOT_FOUND
        assert desk.engine.warned == [f"newer:{BLOB}"]

    run(work())


def test_a_blob_begun_for_nobody_is_known_to_the_core_which_may_evict_it() -> None:
    async def work() -> None:
        desk = Desk()
        desk.begin()
        await desk.engine.settle()
        desk.engine.hold = asyncio.Event()
        desk.links.asked.set_result(b"a root")
        await desk.engine.settle()
        desk.transfers.cancel(v.CancelFetch(REQUEST))
        desk.engine.hold.set()
        await desk.engine.settle()
        (held,) = desk.engine.heard(v.BlobHeld)
        assert not held.complete
        assert desk.store.calls.index("set_wanted True") < desk.store.calls.index("set_wanted False")

    run(work())


@pytest.mark.parametrize("failure", [StoreCorrupt("a chunk has changed"), NotFound("a chunk was lost")])
def test_a_disk_that_lost_something_is_no_end_of_the_fetch(failure: EdgecacheError) -> None:
    async def work() -> None:
        desk = Desk()
        desk.store.fails["complete"] = failure
        desk.transfers.complete(v.CompleteBlob(BLOB))
        await desk.engine.settle()
        assert not desk.engine.heard(v.BlobCompleted)
        assert len(desk.engine.heard(v.BlobHeld)) == 1

    run(work())


@pytest.mark.parametrize("change", [{"pinned": True}, {"complete": True}])
def test_what_a_user_keeps_meanwhile_is_not_evicted(change: dict[str, bool]) -> None:
    async def work() -> None:
        desk = Desk()
        assert desk.store.held is not None
        desk.store.held = replace(desk.store.held, complete=False)
        await desk.engine.keeping.acquire()
        desk.transfers.evict(v.EvictBlob(BLOB))
        await desk.engine.settle()
        desk.store.held = replace(desk.store.held, **change)  # type: ignore[arg-type]
        desk.engine.keeping.release()
        await desk.engine.settle()
        assert "remove" not in desk.store.calls
        assert len(desk.engine.heard(v.BlobHeld)) == 1
        assert not desk.engine.heard(v.BlobGone)

    run(work())


def test_an_eviction_of_what_is_not_there_is_done() -> None:
    async def work() -> None:
        desk = Desk()
        desk.store.held = None
        desk.transfers.evict(v.EvictBlob(BLOB))
        await desk.engine.settle()
        assert desk.engine.heard(v.BlobGone) == [v.BlobGone(BLOB)]

    run(work())


def test_an_eviction_that_fails_is_told() -> None:
    async def work() -> None:
        desk = Desk()
        desk.store.fails["remove"] = StoreError("the disk is read-only")
        desk.transfers.evict(v.EvictBlob(BLOB))
        await desk.engine.settle()
        assert not desk.engine.heard(v.BlobGone)
        assert len(desk.engine.heard(v.BlobHeld)) == 1, "it is not leaving"
        del desk.store.fails["remove"]
        desk.transfers.evict(v.EvictBlob(BLOB))
        await desk.engine.settle()
        assert len(desk.engine.heard(v.BlobGone)) == 1

    run(work())
