"""What commands ask of an agent: over the real socket, with a real store and core, and one peer that the test plays."""

from __future__ import annotations

import asyncio
import hashlib
import socket
from pathlib import Path
from typing import Any

import pytest

from edgecache.adapters.control.client import ControlClient
from edgecache.adapters.control.frames import LENGTH
from edgecache.core import vocabulary as v
from edgecache.daemon import getting
from edgecache.model.content import ManifestRoot
from edgecache.model.errors import MalformedMessage, NotFound, StoreFull, UsageError
from edgecache.model.ids import Digest, blob_id_from_root
from edgecache.model.reading import Reading
from edgecache.store.disk import DiskStore
from edgecache.wire.manifest import encode_root
from tests.integration.daemon.agent import (
    CAP,
    ME,
    MIB,
    OnePeer,
    agent,
    beside_a_source,
    run,
    sample,
    sha256,
    source_of,
)


def hang_up_after(path: Path, events: int, **request: object) -> None:
    """A command that is interrupted when it has shown so much progress."""
    with ControlClient(path) as client:
        client.request("get", **request)
        for number, _ in enumerate(client.replies()):
            if number + 1 >= events:
                return


# ---- put


def test_one_content_with_other_chunks_is_got_by_its_digest_and_named_by_id_else(tmp_path: Path) -> None:
    """As after a large file was put anew that an earlier version had put; or as a liar's manifest would have it."""

    async def work() -> None:
        data = sample(5, 1000)
        async with agent(tmp_path) as one:
            put = (await one.put(data, size=len(data)))["blob"]
            root = encode_root(ManifestRoot(len(data), Digest(hashlib.sha256(data).digest()), (Digest(bytes(32)),)))
            twin = one.driver.store.begin(blob_id_from_root(root), root, pin=False).info.blob
            assert await one.content(f"sha256:{sha256(data)}") == data
            with pytest.raises(UsageError) as raised:
                await one.call("explain", blob=f"sha256:{sha256(data)}")
            assert all(blob in str(raised.value.hint) for blob in (put, twin))
            assert (await one.call("rm", blob=f"sha256:{sha256(data)}"))["blob"] == put, "it has that digest"
            with pytest.raises(NotFound):
                await one.call("rm", blob=f"sha256:{sha256(data)}")
            await one.call("rm", blob=twin)

    run(work)


def test_what_is_put_can_be_got_and_listed(tmp_path: Path) -> None:
    async def work() -> None:
        data = sample(1, 3 * MIB + 77)
        async with agent(tmp_path) as one:
            reply = await one.put(data, name="a/film.mkv", pin=True, size=len(data))
            assert (reply["size"], reply["sha256"], reply["chunks"]) == (len(data), sha256(data), 13)
            assert await one.content(reply["blob"]) == data
            assert await one.content(reply["blob"][:12]) == data
            assert await one.content(f"sha256:{sha256(data)}") == data
            (row,) = (await one.call("ls"))["blobs"]
            assert (row["name"], row["complete"], row["pinned"], row["have"]) == ("film.mkv", True, True, 13)
            status = await one.call("status")
            assert (status["node"], status["blobs"], status["store"]["used"]) == (ME, 1, len(data))

    run(work)


def test_a_put_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:

            def half(path: Path) -> None:
                with socket.socket(socket.AF_UNIX) as raw:
                    raw.connect(str(path))
                    raw.sendall(b'{"op": "put", "size": 4000000}\n' + LENGTH.pack(MIB) + bytes(MIB) + LENGTH.pack(MIB))

            await one.do(half)
            await one.until(lambda: one.store.usage().used == 0 and not one.driver.node.retention.view().promised)
            assert (await one.call("ls"))["blobs"] == []
            assert not list((tmp_path / "store" / "drafts").iterdir())

    run(work)


def test_a_put_cancelled_in_the_middle_of_a_write_ends_with_the_write(tmp_path: Path) -> None:
    """Nobody may close the file that a thread still writes to: its number would soon be that of another file."""

    async def work() -> None:
        async with agent(tmp_path) as one:
            began, go_on = asyncio.Event(), asyncio.Event()
            loop, order = asyncio.get_running_loop(), list[str]()
            make = one.store.draft

            class Slow:
                def __init__(self) -> None:
                    self.draft = make()

                def write(self, part: bytes) -> None:
                    loop.call_soon_threadsafe(began.set)
                    asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result()
                    self.draft.write(part)
                    order.append("written")

                def abort(self) -> None:
                    order.append("aborted")
                    self.draft.abort()

            one.store.draft = Slow  # type: ignore[method-assign, assignment]
            putting = asyncio.ensure_future(one.put(bytes(MIB)))
            await asyncio.wait_for(began.wait(), 10.0)
            stopping = asyncio.ensure_future(one.control.stop())
            await asyncio.wait([stopping], timeout=0.1)
            assert order == []
            go_on.set()
            await stopping
            assert order == ["written", "aborted"]
            await asyncio.wait([putting])
            putting.exception()

    run(work)


@pytest.mark.parametrize("announced", [True, False])
def test_what_is_put_pushes_out_what_may_go(tmp_path: Path, announced: bool) -> None:
    async def work() -> None:
        async with agent(tmp_path, cap=8 * MIB) as one:
            for number in range(4):
                data = sample(number, 3 * MIB)
                size = len(data) if announced else None
                reply = await one.put(data, size=size)
            assert await one.content(reply["blob"]) == data
            assert one.store.usage().used <= 8 * MIB
            assert not one.driver.node.retention.view().promised

    run(work)


@pytest.mark.parametrize("announced", [True, False])
def test_a_full_store_of_pinned_blobs_refuses(tmp_path: Path, announced: bool) -> None:
    async def work() -> None:
        async with agent(tmp_path, cap=4 * MIB) as one:
            first = await one.put(sample(1, 3 * MIB), pin=True)
            with pytest.raises(StoreFull):
                await one.put(sample(2, 3 * MIB), size=3 * MIB if announced else None)
            assert [row["blob"] for row in (await one.call("ls"))["blobs"]] == [first["blob"]]

    run(work)


# ---- get


def test_a_blob_of_the_mesh_is_fetched_with_progress(tmp_path: Path) -> None:
    async def work() -> None:
        data = sample(3, 8 * MIB)
        async with beside_a_source(tmp_path, data) as (one, blob):
            following = asyncio.ensure_future(one.do(lambda path: follow(path, blob)))
            await one.until(lambda: one.store.blobs() and one.store.blobs()[0].wanted)
            await asyncio.wait([following], timeout=0.5)
            one.links.gate.set()
            progress, last = await following
            assert progress[-1]["chunks"] == 32
            assert [step["have"] for step in progress] == sorted(step["have"] for step in progress)
            assert last["sha256"] == sha256(data)
            assert sum(last["sources"].values()) == len(data)
            assert await one.content(blob) == data
            await one.until(lambda: not one.store.blobs()[0].wanted)

    run(work)


def follow(path: Path, blob: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    with ControlClient(path) as client:
        client.request("get", blob=blob)
        *progress, last = client.replies()
        return progress, last


def test_the_last_to_hang_up_ends_the_fetch_and_what_is_here_stays_known(tmp_path: Path) -> None:
    async def work() -> None:
        async with beside_a_source(tmp_path, sample(3, 8 * MIB)) as (one, blob):
            second = asyncio.ensure_future(one.do(lambda path: hang_up_after(path, 3, blob=blob)))
            await one.do(lambda path: hang_up_after(path, 1, blob=blob))
            assert one.driver.node.swarm.fetches()[0].phase != "stopped", "somebody still waits"
            await second
            await one.until(lambda: one.driver.node.swarm.fetches()[0].phase == "stopped")
            await one.until(lambda: one.store.blobs() and not one.store.blobs()[0].wanted)
            held = one.driver.node.retention.view()
            assert held.held + held.promised == 8 * MIB, "its room may be had by evicting it"
            one.links.gate.set()
            assert await one.content(blob) == sample(3, 8 * MIB)

    run(work)


def test_a_fetch_in_the_background_goes_on_when_a_watcher_hangs_up(tmp_path: Path) -> None:
    async def work() -> None:
        data = sample(3, 8 * MIB)
        async with beside_a_source(tmp_path, data) as (one, blob):
            assert (await one.call("get", blob=blob, wait=False))["started"]
            await one.do(lambda path: hang_up_after(path, 2, blob=blob))
            one.links.gate.set()
            await one.until(lambda: one.store.blobs() and one.store.blobs()[0].complete)

    run(work)


def test_a_fetch_that_was_under_way_at_the_stop_goes_on_after_the_start(tmp_path: Path) -> None:
    async def work() -> None:
        async with beside_a_source(tmp_path, sample(3, 8 * MIB)) as (one, blob):
            watching = asyncio.ensure_future(one.do(lambda path: follow(path, blob)))
            await one.until(lambda: one.store.blobs() and one.store.blobs()[0].have)
        await asyncio.wait([watching])
        watching.exception()
        source = DiskStore(tmp_path / "peer", cap=CAP, reserve=0)
        async with agent(tmp_path, OnePeer(source)) as one:
            assert one.store.blobs()[0].wanted
            one.meet()
            await one.do(lambda path: hang_up_after(path, 1, blob=blob))
            await one.until(lambda: one.store.blobs()[0].complete)
        source.close()

    run(work)


def test_a_get_ends_when_the_blob_is_removed_under_it(tmp_path: Path) -> None:
    async def work() -> None:
        async with beside_a_source(tmp_path, sample(3, 8 * MIB)) as (one, blob):
            watching = asyncio.ensure_future(one.do(lambda path: follow(path, blob)))
            await one.until(lambda: one.store.blobs() and one.store.blobs()[0].have)
            assert (await one.call("rm", blob=blob))["freed"] > 0
            with pytest.raises(NotFound, match="removed"):
                await watching
            view = one.driver.node.retention.view()
            assert (view.held, view.promised, one.store.usage().used) == (0, 0, 0)

    run(work)


def test_a_blob_that_goes_while_it_is_read_breaks_off_with_a_reason(tmp_path: Path) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:
            blob = (await one.put(sample(5, 16 * MIB)))["blob"]

            def read(path: Path) -> None:
                with ControlClient(path) as client:
                    client.request("get", blob=blob, content=True)
                    for reply in client.replies():
                        if reply.get("event") == "content":
                            for _ in client.content():
                                if one.store.blobs():
                                    one.store.remove(blob)

            with pytest.raises(NotFound):
                await one.do(read)
            assert (await one.call("ls"))["blobs"] == []

    run(work)


def test_nobody_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getting, "FIND_TIMEOUT", 0.3)

    async def work() -> None:
        _, blob = source_of(tmp_path / "peer", b"elsewhere")
        async with agent(tmp_path) as one:
            with pytest.raises(NotFound, match="nobody in reach"):
                await one.call("get", blob=blob)
            await one.until(lambda: one.driver.node.swarm.fetches()[0].phase == "stopped")
            with pytest.raises(NotFound, match="nobody in reach"):
                await one.call("get", blob=blob[:12])

    run(work)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"op": "get"}, UsageError), ({"op": "get", "blob": "no such"}, UsageError),
        ({"op": "get", "blob": 5}, UsageError),
        ({"op": "get", "blob": "b" + "a" * 20, "wait": False, "pin": True}, UsageError),
        ({"op": "pin", "blob": "b" + "a" * 20}, NotFound), ({"op": "rm", "blob": "sha256:" + "0" * 64}, NotFound),
        ({"op": "dance"}, UsageError), ({}, UsageError),
    ],
)  # fmt: skip
def test_requests_that_make_no_sense_are_refused(
    tmp_path: Path, request_: dict[str, object], error: type[Exception]
) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:
            request = dict(request_)
            with pytest.raises(error):
                await one.call(str(request.pop("op", "")), **request)
            assert not one.lines.causes

    run(work)


def test_a_command_that_sends_no_content_is_told(tmp_path: Path) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:

            def silent(path: Path) -> None:
                with ControlClient(path) as client:
                    client.request("put")
                    client._socket.shutdown(socket.SHUT_WR)
                    list(client.replies())

            with pytest.raises(MalformedMessage, match="ended early"):
                await one.do(silent)

    run(work)


# ---- pin, unpin, rm


def test_pinned_blobs_stay_and_go_only_by_force(tmp_path: Path) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:
            blob = (await one.put(b"keep me"))["blob"]
            assert (await one.call("pin", blob=blob))["pinned"] is True
            with pytest.raises(UsageError, match="pinned"):
                await one.call("rm", blob=blob)
            assert (await one.call("unpin", blob=blob[:10]))["pinned"] is False
            await one.call("pin", blob=blob)
            assert (await one.call("rm", blob=blob, force=True))["freed"] == 7
            with pytest.raises(NotFound):
                await one.call("rm", blob=blob)

    run(work)


def test_a_prefix_of_several_blobs_is_refused(tmp_path: Path) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:
            for number in range(3):
                await one.put(sample(number, 100))
            assert len(one.store.blobs()) == 3, "a small file pushes out nothing that it need not"
            one.store.find = lambda **_: [stored.info.blob for stored in one.store.blobs()]  # type: ignore[method-assign]
            with pytest.raises(UsageError, match="names 3 blobs"):
                await one.call("rm", blob="baaaaaaaa")
            with pytest.raises(UsageError, match="names 3 blobs"):
                await one.call("get", blob="baaaaaaaa")

    run(work)


# ---- peers, readings


def test_peers_are_listed(tmp_path: Path) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:
            one.meet()
            (peer,) = (await one.call("peers"))["peers"]
            assert (peer["name"], peer["linked"], peer["seen_via"]) == ("attic", True, "inbound")
            assert peer["status"] == "alive"

    run(work)


def test_readings_are_followed_until_the_client_hangs_up(tmp_path: Path) -> None:
    async def work() -> None:
        async with agent(tmp_path) as one:
            seen: list[Any] = []

            def follow_readings(path: Path) -> None:
                with ControlClient(path) as client:
                    client.request("readings", follow=True)
                    for reply in client.replies():
                        seen.append(reply["value"])
                        if len(seen) == 3:
                            return

            listeners = len(one.driver._listeners)
            following = asyncio.ensure_future(one.do(follow_readings))
            await one.until(lambda: len(one.driver._listeners) > listeners)
            for value in (1.5, 2.5, 3.5):
                one.driver.post(one.board.own_entries([Reading("temp", value, "Cel", one.driver.clock.now())]))
                await one.until(lambda value=value: value in seen)  # type: ignore[misc]
            await following
            await one.until(lambda: len(one.driver._listeners) == listeners)
            (row,) = (await one.call("readings"))["readings"]
            assert (row["node"], row["series"], row["value"], row["unit"]) == (ME, "temp", 3.5, "Cel")

    run(work)


def test_the_books_agree_after_all_that(tmp_path: Path) -> None:
    async def work() -> None:
        async with beside_a_source(tmp_path, sample(9, 4 * MIB), held_up=False) as (one, blob):
            for number in range(3):
                await one.put(sample(number, MIB), size=MIB if number else None)
            await one.call("get", blob=blob, pin=True)
            await one.call("rm", blob=blob, force=True)
            view = one.driver.node.retention.view()
            assert (view.held, view.promised, one.store.usage().used) == (3 * MIB, 0, 3 * MIB)
            assert view.cap == CAP
            one.driver.post(v.StoreSpace(1 << 30))
            assert not one.lines.causes

    run(work)
