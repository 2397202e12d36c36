"""Many blobs put and got over one connection, many gets at once, and what is left of all that: nothing."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from edgecache.adapters.control.client import ControlClient
from edgecache.cli import batches
from edgecache.cli.blobs import _write
from edgecache.cli.command import Session
from edgecache.daemon import getting
from edgecache.model.errors import MalformedMessage, NotFound, StoreCorrupt
from edgecache.model.ids import BlobId, NodeId
from edgecache.ports import SmallBlob, StoredBlob
from edgecache.store.disk import DiskStore
from edgecache.wire.messages import Claim, Flood, Message, Providers
from tests.integration.daemon.agent import CAP, MIB, PEER, InProcess, OnePeer, agent, run, sample, sha256

KIB = 1024


def put_many(path: Path, contents: list[bytes], **arguments: object) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """What was said of each, and at last."""
    with ControlClient(path) as client:
        client.request("put-many", **arguments)
        for number, data in enumerate(contents):
            header = json.dumps({"name": f"file{number}", "size": len(data)}).encode()
            client.send_content(chain([header], (data[at : at + MIB] for at in range(0, len(data), MIB))))
        client.send_content(())
        *said, last = client.replies()
    return [one for one in said if "number" in one], last


def get_many(path: Path, names: Sequence[str], **arguments: object) -> tuple[dict[int, Any], dict[str, Any]]:
    """By number: the content, or the error; and what was said at last."""
    found: dict[int, Any] = {}
    with ControlClient(path) as client:
        client.request("get-many", **arguments)
        client.send_content(["\n".join(names).encode()])
        for reply in client.replies():
            if reply.get("event") == "content":
                found[reply["number"]] = b"".join(client.content())
            elif reply.get("event") == "got":
                found.setdefault(reply["number"], reply["blob"])
            elif reply.get("event") == "failed":
                found[reply["number"]] = reply["error"]
    return found, reply


def peer_store(directory: Path, contents: list[bytes]) -> tuple[DiskStore, list[BlobId]]:
    """A peer that has these."""
    store = DiskStore(directory, cap=CAP, reserve=0)
    blobs = []
    for data in contents:
        draft = store.draft()
        draft.write(data)
        blobs.append(draft.commit(name="", pin=True).info.blob)
    return store, blobs


def smalls(count: int, size: int = 2000) -> list[bytes]:
    return [sample(number, size) for number in range(count)]


def test_many_are_put_and_acknowledged_in_their_order(tmp_path: Path) -> None:
    async def work() -> None:
        contents = [*smalls(300), b"", sample(400, 3 * MIB + 1), sample(401, 256 * KIB), sample(0, 2000)]
        async with agent(tmp_path) as one:
            said, last = await one.do(lambda path: put_many(path, contents, pin=True))
            assert [(reply["event"], reply["number"]) for reply in said] == [
                ("stored", number) for number in range(len(contents))
            ]
            assert [reply["sha256"] for reply in said] == [sha256(data) for data in contents]
            assert (last["stored"], last["failed"], last["bytes"]) == (304, 0, sum(map(len, contents)))
            rows = {row["blob"]: row for row in (await one.call("ls"))["blobs"]}
            assert len(rows) == 303, "one was there twice"
            assert all(row["complete"] and row["pinned"] for row in rows.values())
            assert rows[said[7]["blob"]]["name"] == "file7"
            assert one.store.usage().fsyncs < 60
            assert await one.content(said[301]["blob"]) == contents[301]

    run(work)


def test_what_does_not_fit_is_said_and_the_rest_is_stored(tmp_path: Path) -> None:
    async def work() -> None:
        contents = [sample(1, MIB), sample(2, 5 * MIB), *smalls(3), sample(3, 4 * MIB)]
        async with agent(tmp_path, cap=6 * MIB) as one:
            said, last = await one.do(lambda path: put_many(path, contents, pin=True))
            assert [reply["event"] for reply in said] == ["stored", "stored", "failed", "failed", "failed", "failed"]
            assert {reply["error"] for reply in said[2:]} == {"store-full"}
            assert (last["stored"], last["failed"]) == (2, 4)

    run(work)


def test_a_put_of_many_that_breaks_off_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:

            def half(path: Path) -> str:
                with ControlClient(path) as client:
                    client.request("put-many")
                    client.send_content([b'{"name": "one"}', b"content"])
                    blob = next(reply["blob"] for reply in client.replies() if "number" in reply)
                    client.request("no content at all")
                return str(blob)

            blob = await one.do(half)
            await one.until(lambda: len(one.store.blobs()) == 1 and not one.driver.node.retention.view().promised)
            assert await one.content(blob) == b"content"
            assert not list((tmp_path / "store/drafts").iterdir())

    run(work)


@pytest.mark.parametrize("old", [False, True], ids=["", "from an older node"])
def test_many_are_got_with_their_content(tmp_path: Path, old: bool) -> None:
    async def work() -> None:
        contents = [*smalls(150, 20_000), sample(400, 2 * MIB + 1), sample(401, 256 * KIB)]
        source, blobs = peer_store(tmp_path / "peer", contents)
        links = OnePeer(source)
        links.old = old
        async with agent(tmp_path, links) as one:
            one.meet()
            names = [*blobs[:-1], blobs[-1][:14], "not-a-name", blobs[0]]
            found, last = await one.do(lambda path: get_many(path, names, content=True))
            assert [found[number] for number in range(len(blobs) - 1)] == contents[:-1]
            assert found[len(blobs)] == "usage"
            assert found[len(blobs) + 1] == contents[0]
            assert last["got"] + last["failed"] == len(names)
            assert all(shown.complete and not shown.wanted for shown in one.store.blobs())
            assert one.driver.node.swarm.received()[source_node(one)] >= sum(map(len, contents[:-1]))
        source.close()

    run(work)


def source_node(one: InProcess) -> Any:
    (node,) = one.driver.node.swarm.received()
    return node


def test_what_nobody_has_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getting, "FIND_TIMEOUT", 3.0)
    monkeypatch.setattr(getting, "SILENCE_MAX", 0.1)

    async def work() -> None:
        source, blobs = peer_store(tmp_path / "peer", smalls(5))
        other, unknown = peer_store(tmp_path / "other", [sample(99, 10)])
        async with agent(tmp_path, OnePeer(source)) as one:
            one.meet()
            found, last = await one.do(lambda path: get_many(path, [*blobs[:2], *unknown, *blobs[2:]]))
            assert found == {0: blobs[0], 1: blobs[1], 2: "not-found", 3: blobs[2], 4: blobs[3], 5: blobs[4]}
            assert (last["got"], last["failed"]) == (5, 1)
            await one.until(lambda: not one.driver.node.swarm._state.fetching)
        source.close()
        other.close()

    run(work)


def test_what_breaks_off_in_the_middle_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:
            contents = [sample(1, MIB), sample(2, MIB), *smalls(3)]
            said, _ = await one.do(lambda path: put_many(path, contents))
            broken, real = said[0]["blob"], one.store.read

            def read(blob: BlobId, index: int, offset: int = 0, size: int | None = None) -> bytes:
                if blob == broken and index == 2:
                    raise StoreCorrupt("chunk 2 has changed on the disk")
                return real(blob, index, offset, size)

            def get(path: Path) -> None:
                monkeypatch.setattr(batches, "agent_of", lambda session: ControlClient(path))
                lines = [f"{reply['blob']}  {reply['number']}" for reply in said]
                batches.get_many(Session(), batches.wanted_of(lines), str(tmp_path / "out"), _write)

            monkeypatch.setattr(one.store, "read", read)
            with pytest.raises(StoreCorrupt, match="chunk 2"):
                await one.do(get)
            got = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
            assert got == {str(number): data for number, data in enumerate(contents) if number}

    run(work)


class Liar(OnePeer):
    """Says of one blob that it has whatever digest is asked for."""

    def send(self, peer: NodeId, message: Message) -> bool:
        if isinstance(message, Flood) and self.driver is not None and self.source is not None:
            (one,) = self.source.blobs()
            claim = Claim(one.info.blob, PEER, one.info.chunks, one.info.chunks)
            self.driver.received(peer, Providers(message.query, (claim,)))
        return super().send(peer, message)


def test_another_blob_is_not_what_a_digest_names(tmp_path: Path) -> None:
    async def work() -> None:
        source, (blob,) = peer_store(tmp_path / "peer", [sample(1, 600 * KIB)])
        async with agent(tmp_path, Liar(source)) as one:
            one.meet()
            wanted = f"sha256:{sha256(b'another')}"
            with pytest.raises(NotFound, match="it is not"):
                await one.call("get", blob=wanted, pin=True)
            found, _ = await one.do(lambda path: get_many(path, [wanted, blob], content=True))
            assert found == {0: "not-found", 1: sample(1, 600 * KIB)}
            assert not one.store.blob(blob).pinned
        source.close()

    run(work)


def test_headers_and_names_are_bounded(tmp_path: Path) -> None:
    def put(path: Path) -> None:
        with ControlClient(path) as client:
            client.request("put-many")
            client.send_content([json.dumps({"name": "x" * 100_000}).encode()])
            list(client.replies())

    def get(path: Path) -> None:
        with ControlClient(path) as client:
            client.request("get-many")
            client.send_content(b"x" * MIB for _ in range(20))
            list(client.replies())

    async def work() -> None:
        async with agent(tmp_path) as one:
            for attack in (put, get):
                with pytest.raises(MalformedMessage):
                    await one.do(attack)
            assert not one.store.blobs()

    run(work)


def test_who_hangs_up_gets_no_more(tmp_path: Path) -> None:
    async def work() -> None:
        source, blobs = peer_store(tmp_path / "peer", smalls(200))
        links = OnePeer(source)
        async with agent(tmp_path, links) as one:
            one.meet()
            links.gate.clear()

            def hang_up(path: Path) -> None:
                with ControlClient(path) as client:
                    client.request("get-many")
                    client.send_content(["\n".join(blobs).encode()])
                    next(client.replies())

            await one.do(hang_up)
            await one.until(lambda: not one.driver.node.swarm._state.fetching)
            assert not one.driver.node.swarm._fetches.waiting
            links.gate.set()
            assert await one.content(blobs[-1]) == smalls(200)[-1]
        source.close()

    run(work)


def test_fifty_gets_at_once_of_different_and_of_the_same_blobs(tmp_path: Path) -> None:
    async def work() -> None:
        contents = [sample(number, 600 * KIB) for number in range(25)]
        source, blobs = peer_store(tmp_path / "peer", contents)
        async with agent(tmp_path, OnePeer(source)) as one:
            one.meet()
            got = await asyncio.gather(*(one.content(blob) for blob in [*blobs, *[blobs[0]] * 25]))
            assert got == [*contents, *[contents[0]] * 25]
        source.close()

    run(work)


def tables(one: InProcess) -> dict[str, int]:
    """Sizes of everything that transfers fill and must leave as it was."""
    node, driver = one.driver.node, one.driver
    swarm, directory, retention = node.swarm._state, node.directory, node.retention
    return {
        "fetching": len(swarm.fetching), "chunks": len(swarm.chunks), "manifests": len(swarm.manifests),
        "inflight": swarm.inflight, "waiting": len(node.swarm._fetches.waiting),
        "neighbours": sum(len(blob.neighbours) for blob in swarm.blobs.values()),
        "blobs of peers": sum(len(peer.blobs) + peer.requests for peer in swarm.peers.values()),
        "blobs": len(swarm.blobs),
        "searches": len(directory._searches._searches) + len(directory._searches._by_query),
        "batches": len(directory._searches._batches) + len(directory._searches._gathered),
        "kept": len(retention._blobs), "puts": len(retention._puts), "asking": len(retention._asking),
        "promised": retention.view().promised, "serving": node.serving.queued + node.serving.in_progress,
        "transfers": len(driver.transfers._fetching) + len(driver.transfers._storing) + len(driver.serving._turns),
        "sending": len(driver.serving._sending), "tasks": len(driver._tasks), "listeners": len(driver._listeners),
        "waited for": len(one.operations._getting._waiting) + len(one.operations._getting._following),
        "alone": len(one.operations._getting._alone),
    }


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_two_hundred_transfers_leave_nothing_behind(tmp_path: Path) -> None:
    async def work() -> None:
        contents = [sample(number, 2000 if number % 4 else 300 * KIB) for number in range(100)]
        source, blobs = peer_store(tmp_path / "peer", contents)
        async with agent(tmp_path, OnePeer(source)) as one:
            one.meet()

            async def round_of(number: int) -> None:
                """All are got, in all ways, and removed."""
                some = blobs[number * 25 : number * 25 + 25]
                await one.do(lambda path: get_many(path, some[:15], content=True))
                for blob in some[15:]:
                    await one.content(blob)
                await one.do(lambda path: put_many(path, [sample(1000 + number, 3000), sample(2000 + number, MIB)]))
                for shown in one.store.blobs():
                    await one.call("rm", blob=shown.info.blob, force=True)
                await one.until(lambda: tables(one)["transfers"] + tables(one)["tasks"] + tables(one)["fetching"] == 0)

            for number in range(4):
                await round_of(number)
            gc.collect()
            before, open_before, tasks_before = tables(one), descriptors(), len(asyncio.all_tasks())
            for number in (1, 2, 3, 0, 1, 2, 3):
                await round_of(number)
            gc.collect()
            await one.until(lambda: len(asyncio.all_tasks()) <= tasks_before)
            assert tables(one) == before
            assert before == {**dict.fromkeys(before, 0), "listeners": before["listeners"]}
            assert descriptors() <= open_before
            assert not list((tmp_path / "store/drafts").iterdir())
            assert not list((tmp_path / "store/blobs").iterdir())
        source.close()

    run(work)


def test_a_bug_in_the_store_is_told_to_all_who_wait_and_is_over_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:

            def keep(blobs: Sequence[SmallBlob]) -> list[StoredBlob]:
                raise RuntimeError("a bug")

            small = one.driver.transfers.small
            with monkeypatch.context() as patch:
                patch.setattr(one.store.small, "keep", keep)
                waiting = [small.keep(SmallBlob(data)) for data in smalls(60, 200 * KIB)]
                done = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(error) for error in done} == {RuntimeError}
            await asyncio.wait_for(small.room(), 5.0)
            await small.keep(SmallBlob(b"after it"))

    run(work)


def test_small_blobs_are_one_group_while_another_is_stored(tmp_path: Path) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:
            small = one.driver.transfers.small
            before = one.store.usage().fsyncs
            stored = await asyncio.gather(*(small.keep(SmallBlob(data)) for data in smalls(200)))
            assert len({blob.info.blob for blob in stored}) == 200
            assert one.store.usage().fsyncs - before < 20
            assert not list((tmp_path / "store/drafts").iterdir())

    run(work)
