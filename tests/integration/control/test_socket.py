"""Both ends of the control socket: requests, progress, content, errors, and clients that misbehave."""

from __future__ import annotations

import asyncio
import json
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from edgecache.adapters.coap.signalling import UnknownCsmOption
from edgecache.adapters.control.client import ControlClient
from edgecache.adapters.control.frames import FRAME_MAX, LENGTH, error_from_json
from edgecache.adapters.control.server import CLIENTS_MAX, Channel, ControlServer
from edgecache.model.errors import (
    EdgecacheError,
    MalformedMessage,
    NotFound,
    StoreBusy,
    StoreFull,
    TimedOut,
    Unreachable,
    UsageError,
)

T = TypeVar("T")
Reply = Mapping[str, Any]


async def echo(request: Reply, channel: Channel) -> Reply:
    return {"said": request["word"]}


async def count(request: Reply, channel: Channel) -> Reply:
    for number in range(3):
        await channel.say({"event": "progress", "number": number})
    return {"total": 3}


async def swallow(request: Reply, channel: Channel) -> Reply:
    parts = [part async for part in channel.content()]
    return {"size": sum(map(len, parts)), "frames": len(parts)}


async def pour(request: Reply, channel: Channel) -> Reply:
    await channel.say({"event": "content"})
    for _ in range(request["frames"]):
        await channel.send(b"x" * 1000)
        await asyncio.sleep(request.get("pause", 0))
    await channel.end()
    return {}


async def spill(request: Reply, channel: Channel) -> Reply:
    await channel.say({"event": "content"})
    await channel.send(b"x" * 1000)
    raise NotFound("it was evicted", hint="get it again")


async def dawdle(request: Reply, channel: Channel) -> Reply:
    await asyncio.sleep(0.5)
    return {}


async def listing(request: Reply, channel: Channel) -> Reply:
    return {"rows": [{"number": number, "name": "x" * 50} for number in range(request["rows"])]}


async def refuse(request: Reply, channel: Channel) -> Reply:
    raise StoreFull("no room", hint="make some")


async def crash(request: Reply, channel: Channel) -> Reply:
    raise RuntimeError("a bug")


async def linger(request: Reply, channel: Channel) -> Reply:
    await channel.closed()
    return {}


OPERATIONS: dict[str, Callable[[Reply, Channel], Awaitable[Reply]]] = {
    "echo": echo, "count": count, "swallow": swallow, "pour": pour, "refuse": refuse, "crash": crash, "linger": linger,
    "spill": spill, "dawdle": dawdle, "list": listing,
}  # fmt: skip


@asynccontextmanager
async def serving(path: Path, **settings: float) -> AsyncIterator[ControlServer]:
    server = ControlServer(path, OPERATIONS, **settings)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def with_server(tmp_path: Path, work: Callable[[Path], T], **settings: float) -> T:
    """Run blocking `work` against a served socket."""

    async def run() -> T:
        path = tmp_path / "control.sock"
        async with serving(path, **settings):
            return await asyncio.wait_for(asyncio.to_thread(work, path), 20.0)

    return asyncio.run(run())


def call(path: Path, op: str, **arguments: object) -> dict[str, Any]:
    with ControlClient(path) as client:
        return client.call(op, **arguments)


def test_a_request_is_answered(tmp_path: Path) -> None:
    assert with_server(tmp_path, lambda path: call(path, "echo", word="grüezi")) == {"ok": True, "said": "grüezi"}


def test_only_the_owner_may_connect(tmp_path: Path) -> None:
    assert with_server(tmp_path, lambda path: stat.S_IMODE(path.stat().st_mode)) == 0o600


def test_progress_comes_before_the_end(tmp_path: Path) -> None:
    def work(path: Path) -> list[dict[str, Any]]:
        with ControlClient(path) as client:
            client.request("count")
            return list(client.replies())

    *progress, last = with_server(tmp_path, work)
    assert [reply["number"] for reply in progress] == [0, 1, 2]
    assert last == {"ok": True, "total": 3}


@pytest.mark.parametrize("sizes", [[], [1], [FRAME_MAX, 5, FRAME_MAX]])
def test_content_goes_in(tmp_path: Path, sizes: list[int]) -> None:
    def work(path: Path) -> dict[str, Any]:
        with ControlClient(path) as client:
            client.request("swallow")
            client.send_content(b"y" * size for size in sizes)
            (reply,) = client.replies()
            return reply

    assert with_server(tmp_path, work) == {"ok": True, "size": sum(sizes), "frames": len(sizes)}


def test_content_comes_out(tmp_path: Path) -> None:
    def work(path: Path) -> int:
        with ControlClient(path) as client:
            client.request("pour", frames=3000)
            size = 0
            for reply in client.replies():
                if reply.get("event") == "content":
                    size = sum(map(len, client.content()))
            return size

    assert with_server(tmp_path, work) == 3_000_000


def test_errors_keep_their_type_and_hint(tmp_path: Path) -> None:
    with pytest.raises(StoreFull, match="no room") as raised:
        with_server(tmp_path, lambda path: call(path, "refuse"))
    assert raised.value.hint == "make some"
    assert raised.value.exit_code == 7


def test_a_bug_is_an_error_for_that_command_only(tmp_path: Path) -> None:
    def work(path: Path) -> dict[str, Any]:
        with pytest.raises(EdgecacheError, match="internal error"):
            call(path, "crash")
        return call(path, "echo", word="still here")

    assert with_server(tmp_path, work)["said"] == "still here"


def test_unknown_operations_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not know"):
        with_server(tmp_path, lambda path: call(path, "dance"))


NO_REQUESTS = [b"not json\n", b"[1]\n", b'{"op": ["echo"]}\n', b"\xff\xfe\n", b"x" * 2_000_000 + b"\n"]


@pytest.mark.parametrize("line", NO_REQUESTS)
def test_what_is_no_request_is_refused(tmp_path: Path, line: bytes) -> None:
    def work(path: Path) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(15.0)
            raw.connect(str(path))
            try:
                raw.sendall(line)
                answer = raw.makefile("rb").readline()
            except ConnectionError:
                answer = b""
        assert not answer or "error" in json.loads(answer)
        return call(path, "echo", word="unharmed")

    assert with_server(tmp_path, work)["said"] == "unharmed"


@pytest.mark.parametrize("tail", [b"", LENGTH.pack(100) + b"short", LENGTH.pack(FRAME_MAX + 1)])
def test_content_that_ends_early_is_an_error(tmp_path: Path, tail: bytes) -> None:
    def work(path: Path) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as raw:
            raw.settimeout(15.0)
            raw.connect(str(path))
            raw.sendall(b'{"op": "swallow"}\n' + tail)
            raw.shutdown(socket.SHUT_WR)
            reply: dict[str, Any] = json.loads(raw.makefile("rb").readline())
            return reply

    assert with_server(tmp_path, work)["error"] == MalformedMessage.code


def test_clients_are_bounded(tmp_path: Path) -> None:
    def work(path: Path) -> dict[str, Any]:
        waiting = []
        for _ in range(CLIENTS_MAX):
            client = ControlClient(path)
            client.request("linger")
            waiting.append(client)
        with pytest.raises(StoreBusy):
            call(path, "echo", word="one too many")
        for client in waiting:
            client.__exit__()
        for _ in range(100):
            try:
                return call(path, "echo", word="room again")
            except EdgecacheError:
                continue
        raise AssertionError("hung-up clients still count")

    assert with_server(tmp_path, work)["said"] == "room again"


def test_nobody_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="no agent answers") as raised:
        ControlClient(tmp_path / "nothing")
    assert "edgecache run" in raised.value.hint


def test_a_socket_left_by_a_killed_agent_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "control.sock"))
    assert with_server(tmp_path, lambda path: call(path, "echo", word="mine now"))["said"] == "mine now"


def test_a_path_too_long_for_a_socket_address_is_served_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    assert with_server(folder, lambda path: call(path, "echo", word="far away"))["said"] == "far away"
    assert not list(folder.iterdir()), "and is gone afterwards"


def test_a_name_too_long_for_a_file_says_so(tmp_path: Path) -> None:
    async def start() -> None:
        async with serving(tmp_path / ("long" * 70)):
            raise AssertionError("it cannot be served")

    with pytest.raises(UsageError) as raised:
        asyncio.run(start())
    assert "control.socket" in raised.value.hint


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "control.sock"
    precious.write_text("precious")
    with pytest.raises(UsageError, match="no socket"):
        with_server(tmp_path, lambda path: None)
    assert precious.read_text() == "precious"


def test_content_that_breaks_off_says_why(tmp_path: Path) -> None:
    def work(path: Path) -> None:
        with ControlClient(path) as client:
            client.request("spill")
            for reply in client.replies():
                if reply.get("event") == "content":
                    for part in client.content():
                        assert part == b"x" * 1000

    with pytest.raises(NotFound, match="evicted") as raised:
        with_server(tmp_path, work)
    assert raised.value.hint == "get it again"


def test_a_refusal_while_the_client_still_sends_is_heard(tmp_path: Path) -> None:
    def work(path: Path) -> None:
        with ControlClient(path) as client:
            client.request("refuse")
            client.send_content(b"y" * FRAME_MAX for _ in range(50))
            list(client.replies())

    with pytest.raises(StoreFull, match="no room"):
        with_server(tmp_path, work)


def test_a_long_operation_says_that_it_is_at_work(tmp_path: Path) -> None:
    def work(path: Path) -> list[dict[str, Any]]:
        with ControlClient(path, timeout=2.0) as client:
            client.request("dawdle")
            return list(client.replies())

    *between, last = with_server(tmp_path, work, working_interval=0.05)
    assert last == {"ok": True}
    assert len(between) > 3
    assert all(reply == {"event": "working"} for reply in between)


def test_nothing_comes_between_the_frames_of_content(tmp_path: Path) -> None:
    def work(path: Path) -> int:
        with ControlClient(path) as client:
            client.request("pour", frames=300, pause=0.001)
            return sum(
                sum(map(len, client.content())) for reply in client.replies() if reply.get("event") == "content"
            )

    assert with_server(tmp_path, work, working_interval=0.01) == 300_000


def test_a_silent_agent_is_given_up(tmp_path: Path) -> None:
    def work(path: Path) -> None:
        with ControlClient(path, timeout=0.2) as client:
            client.call("linger")

    with pytest.raises(TimedOut, match="not answered"):
        with_server(tmp_path, work)


def test_an_agent_that_takes_no_content_is_given_up(tmp_path: Path) -> None:
    def work(path: Path) -> None:
        with ControlClient(path, timeout=0.2) as client:
            client.request("dawdle")
            client.send_content(b"y" * FRAME_MAX for _ in range(50))

    with pytest.raises(TimedOut, match="no more of the content"):
        with_server(tmp_path, work)


def test_a_listing_may_be_long(tmp_path: Path) -> None:
    assert len(with_server(tmp_path, lambda path: call(path, "list", rows=50_000))["rows"]) == 50_000


def test_an_error_of_a_newer_agent_is_still_an_error() -> None:
    error = error_from_json({"error": "never-heard-of", "message": "strange", "hint": "update"})
    assert (type(error), error.message, error.hint) == (EdgecacheError, "strange", "update")
    assert isinstance(error_from_json({"error": "not-found", "message": "no"}), NotFound)


def test_an_error_that_shares_its_code_with_derived_ones_arrives_as_itself() -> None:
    assert issubclass(UnknownCsmOption, MalformedMessage)
    assert type(error_from_json({"error": UnknownCsmOption.code, "message": "no"})) is MalformedMessage
