"""`sha256:HEX` names what has that digest, whatever manifests say; decision 0015."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from edgecache.adapters.control.client import ControlClient
from edgecache.core import vocabulary as v
from edgecache.model.content import CHUNK_BYTES, ManifestRoot
from edgecache.model.errors import NotFound
from edgecache.model.ids import BlobId, Digest, blob_id_from_root, sha256
from edgecache.model.priority import Priority
from edgecache.ports import Whole
from edgecache.store.disk import DiskStore
from edgecache.wire.manifest import encode_root
from tests.integration.daemon.agent import CAP, MIB, PEER, OnePeer, agent, beside_a_source, run, sample, source_of

WANTED = sample(1, 2 * MIB + 5)
OTHER = sample(2, 2 * MIB + 5)
NAME = f"sha256:{sha256(WANTED).hex()}"


def lie(directory: Path, data: bytes, claimed: Digest) -> tuple[DiskStore, BlobId]:
    """A peer's store with a blob of which every chunk is right, and the digest of the whole is not."""
    honest, blob = source_of(directory / "honest", data)
    page = honest.page(blob, 0)
    honest.close()
    root = encode_root(ManifestRoot(len(data), claimed, (sha256(page),)))
    lying = blob_id_from_root(root)
    store = DiskStore(directory / "liar", cap=CAP, reserve=0)
    store.begin(lying, root, pin=True)
    store.put_page(lying, 0, page)
    for index, at in enumerate(range(0, len(data), CHUNK_BYTES)):
        store.put_chunk(lying, index, data[at : at + CHUNK_BYTES])
    store.complete(lying)
    return store, lying


def got(path: Path, blob: str) -> list[dict[str, Any]]:
    """All that a `get` hears."""
    with ControlClient(path) as client:
        client.request("get", blob=blob)
        return list(client.replies())


def test_what_lies_about_its_digest_is_got_by_its_id_only(tmp_path: Path) -> None:
    async def work() -> None:
        store, lying = lie(tmp_path, OTHER, sha256(WANTED))
        async with agent(tmp_path, OnePeer(store)) as one:
            one.meet()
            assert await one.content(lying) == OTHER, "every chunk is what its id stands for"
            *_, reply = await one.do(lambda path: got(path, lying))
            assert (reply["sha256"], reply["sha256_checked"]) == (sha256(WANTED).hex(), False)
            for op in ("get", "pin", "rm"):
                with pytest.raises(NotFound):
                    await one.call(op, blob=NAME)
            assert one.store.blob(lying).complete
            honest = (await one.put(WANTED, size=len(WANTED)))["blob"]
            assert await one.content(NAME) == WANTED
            assert (await one.call("pin", blob=NAME))["blob"] == honest
        store.close()

    run(work)


def test_a_lie_is_found_out_by_who_fetches_it_by_the_digest(tmp_path: Path) -> None:
    async def work() -> None:
        store, lying = lie(tmp_path, OTHER, sha256(WANTED))
        async with agent(tmp_path, OnePeer(store)) as one:
            one.meet()
            one.store.begin(lying, store.root(lying), pin=False)
            with pytest.raises(NotFound, match="it is not"):
                await one.do(lambda path: got(path, NAME))
            assert one.store.blob(lying).complete
        store.close()

    run(work)


def test_the_digest_is_computed_once_when_it_is_asked_for(tmp_path: Path) -> None:
    async def work() -> None:
        async with beside_a_source(tmp_path, WANTED) as (one, blob):
            one.links.gate.set()
            asked: list[BlobId] = []
            hash_whole, go_on = one.store.whole_is_right, threading.Event()

            def slowly(blob: BlobId) -> bool:
                asked.append(blob)
                go_on.wait(20.0)
                return hash_whole(blob)

            one.store.whole_is_right = slowly  # type: ignore[method-assign]
            *_, reply = await one.do(lambda path: got(path, blob))
            assert not asked, "every chunk was verified, and nobody asked for more"
            threading.Timer(2.5, go_on.set).start()
            *news, reply = await one.do(lambda path: got(path, NAME))
            assert (reply["blob"], reply["sha256_checked"]) == (blob, True)
            assert len([said for said in news if "SHA-256" in said.get("stalled", "")]) >= 2, "a client sees why"
            assert set(asked) == {blob}

    run(work)


def test_those_who_ask_at_the_same_time_share_the_work_and_may_hang_up(tmp_path: Path) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:
            blob = (await one.put(WANTED, size=len(WANTED)))["blob"]
            asked: list[BlobId] = []
            go_on = threading.Event()

            def slowly(blob: BlobId) -> bool:
                asked.append(blob)
                return go_on.wait(20.0)

            one.store.whole_is_right = slowly  # type: ignore[method-assign]
            gets = [asyncio.ensure_future(one.do(lambda path: got(path, NAME))) for _ in range(3)]
            await one.do(lambda path: hang_up(path, "rm"))
            await one.do(lambda path: hang_up(path, "pin"))
            await asyncio.wait(gets, timeout=0.3)
            assert asked == [blob]
            go_on.set()
            assert [said[-1]["blob"] for said in await asyncio.gather(*gets)] == [blob] * 3
            row = one.store.blob(BlobId(blob))
            assert (row.complete, row.pinned) == (True, False), "who hung up has changed nothing"

    run(work)


def hang_up(path: Path, op: str) -> None:
    """A command that is interrupted at once."""
    with ControlClient(path) as client:
        client.request(op, blob=NAME)
        time.sleep(0.1)


def test_what_the_disk_has_lost_is_fetched_again(tmp_path: Path) -> None:
    async def work() -> None:
        async with beside_a_source(tmp_path, WANTED, held_up=False) as (one, blob):
            await one.do(lambda path: got(path, blob))
            with (tmp_path / f"store/blobs/{blob}.data").open("r+b") as file:
                file.seek(3 * CHUNK_BYTES)
                file.write(b"rot")
            before = len(one.links.priorities)
            for _ in range(2):
                *_, reply = await one.do(lambda path: got(path, NAME))
                assert reply["sha256_checked"]
                assert one.store.blob(blob).complete
            assert len(one.links.priorities) - before == 1, "that chunk was asked for again"
            assert await one.content(NAME) == WANTED

    run(work)


def test_a_blob_that_is_evicted_while_it_is_hashed_is_not_here(tmp_path: Path) -> None:
    async def work() -> None:
        async with beside_a_source(tmp_path, WANTED, held_up=False) as (one, blob):
            await one.do(lambda path: got(path, blob))
            posted: list[v.Event] = []
            post = one.driver.post

            def note(event: v.Event) -> None:
                posted.append(event)
                post(event)

            one.driver.post = note  # type: ignore[method-assign]

            def gone(blob: BlobId) -> bool:
                raise NotFound(f"{blob} was removed")

            one.store.whole_is_right = gone  # type: ignore[method-assign]
            with pytest.raises(NotFound, match="is not all here any more"):
                await one.do(lambda path: got(path, NAME))
            assert v.BlobRead(blob) in posted, "it is leased while it is hashed"

    run(work)


def test_a_small_blob_whose_manifest_lies_is_not_passed_on_as_a_whole(tmp_path: Path) -> None:
    """Who gets it so computes the manifest, finds another id, and would ban us."""

    async def work() -> None:
        small = sample(4, 5000)
        store, lying = lie(tmp_path, small, sha256(WANTED))
        links = OnePeer(store)
        links.old = True
        async with agent(tmp_path, links) as one:
            one.meet()
            assert await one.content(lying) == small
            honest = BlobId((await one.put(b"small", size=5))["blob"])
            answers = [
                await one.driver.serving.manifest(PEER, blob, None, 65536, Priority.NORMAL) for blob in (lying, honest)
            ]
            assert answers == [store.root(lying), Whole(b"small")]
            one.driver.serving.sent(PEER, honest, 0, 0)
            assert not one.driver.serving.under_way
        store.close()

    run(work)
