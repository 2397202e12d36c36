"""CoAP/UDP for anybody: libcoap reads, observes and fetches; garbage and floods do nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import socket
import time

import cbor2
import pytest

from edgecache.adapters.coap import datagrams, observers
from edgecache.adapters.coap.framing import uint
from edgecache.adapters.coap.leaves import Leaves
from edgecache.model.errors import ConfigError, StoreBusy
from edgecache.model.ids import blob_id_from_root
from tests.integration.coap.leafworld import (
    BLOB,
    BODY,
    CLIENT,
    EMPTY,
    NODE,
    Source,
    World,
    request,
    value_of,
    with_leaves,
)
from tests.integration.coap.mesh import Log
from tests.lab.tools import require_tool

READING = f"/reading/{NODE}/room/temperature"


@pytest.fixture(autouse=True)
def coap_client() -> None:
    """libcoap's command, which all but a few of these tests ask with."""
    require_tool(CLIENT)


@with_leaves
async def test_resources_are_listed(world: World) -> None:
    body, _ = await world.client(path="/.well-known/core")
    links = body.decode().split(",")
    assert '</node>;rt="edgecache.node";ct=50' in links
    assert '</reading>;rt="edgecache.readings";ct="110 112";obs' in links
    assert f'<{READING}>;rt="edgecache.reading";ct="110 112";obs' in links
    assert f'</blob/{BLOB}>;rt="edgecache.blob";ct=42;sz=1000000' in links
    body, _ = await world.client(path="/.well-known/core?rt=edgecache.blob")
    assert len(body.decode().split(",")) == 2
    body, _ = await world.client(path="/.well-known/core?rt=edgecache.read*")
    assert len(body.decode().split(",")) == 3


@with_leaves
async def test_a_listing_that_grows_while_it_is_read_stays_whole(world: World) -> None:
    for number in range(100):
        world.source.set(f"series{number}", number)
    fetching = asyncio.ensure_future(world.client("-b", "64", path="/.well-known/core"))
    while not fetching.done():
        world.source.set(f"late{time.monotonic()}", 1.0)
        await asyncio.sleep(0.001)
    body, _ = await fetching
    assert len(body) > 8000
    assert re.fullmatch(r"(<[^>]+>;[^,]+,)+<[^>]+>;[^,]+", body.decode())


@with_leaves
async def test_a_reading_in_json_and_cbor(world: World) -> None:
    body, text = await world.client(path=READING)
    assert json.loads(body) == [{
        "bn": f"urn:dev:edgecache:{NODE}:", "n": "room/temperature", "u": "Cel", "v": 21.5, "t": -2.0
    }]
    assert "application/senml+json" in text
    assert "Max-Age:60" in text
    body, text = await world.client("-A", "112", path=READING)
    assert cbor2.loads(body) == [{-2: f"urn:dev:edgecache:{NODE}:", 0: "room/temperature", 1: "Cel", 2: 21.5, 6: -2.0}]
    _, text = await world.client("-A", "40", path=READING)
    assert "4.06" in text


@with_leaves
async def test_all_readings_without_the_failed_ones(world: World) -> None:
    world.source.set("another", 3.0)
    body, _ = await world.client(path="/reading")
    assert [record["n"] for record in json.loads(body)] == ["another", "room/temperature"]
    _, text = await world.client(path=f"/reading/{NODE}/door")
    assert "5.03" in text
    assert "no such file" in text


@with_leaves
async def test_a_node_tells_about_itself(world: World) -> None:
    body, _ = await world.client(path="/node")
    assert json.loads(body) == {"node": NODE, "name": "pi"}


@pytest.mark.parametrize("path", [
    "/nothing", "/reading/x/y", f"/reading/{NODE}/none", f"/reading/{NODE}", "/blob/x", "/",
    f"/blob/{blob_id_from_root(b'absent')}", "/reading/" + "a" * 200 + "/b",
])
def test_what_is_not_there(path: str, tmp_path: object) -> None:
    @with_leaves
    async def absent(world: World) -> None:
        _, text = await world.client(path=path)
        assert "4.04" in text

    absent(tmp_path)  # type: ignore[arg-type]


@pytest.mark.parametrize("block", [[], ["-b", "256"], ["-b", "64"], ["-N"]])
def test_a_whole_blob(block: list[str], tmp_path: object) -> None:
    @with_leaves
    async def fetch(world: World) -> None:
        if block:
            world.source.data[BLOB] = BODY[:100_001]
        body, text = await world.client(*block, path=f"/blob/{BLOB}")
        assert body == world.source.data[BLOB]
        assert f"Size2:{len(body)}" in text
        assert "ETag:0x" in text
        assert world.source.reads <= -(-len(body) // 65536)

    fetch(tmp_path)  # type: ignore[arg-type]


@with_leaves
async def test_an_empty_blob_and_both_address_families(world: World) -> None:
    body, text = await world.client(path=f"/blob/{EMPTY}")
    assert body == b""
    assert "2.05" in text
    body, _ = await world.client(path=f"/blob/{BLOB}", host="[::1]")
    assert body == BODY


@with_leaves
async def test_a_client_that_has_it_already(world: World) -> None:
    _, text = await world.client(path=READING)
    found = re.search(r"ETag:0x([0-9a-f]+)", text)
    assert found is not None
    _, text = await world.client("-O", f"4,0x{found[1]}", path=READING)
    assert "2.03" in text


@with_leaves
async def test_a_reading_is_observed(world: World) -> None:
    watching = asyncio.ensure_future(world.client("-s", "2", "-w", path=READING))
    async with asyncio.timeout(5):
        while not world.leaves._site._observers:
            await asyncio.sleep(0.01)
    for value in (30.0, 31.0, 32.0):
        world.source.set("room/temperature", value)
        await asyncio.sleep(0.05)
    world.source.set("door", 1.0)
    body, _ = await watching
    values = [value_of(line) for line in body.splitlines() if line]
    # The first change is told at once, of those within a second only the last.
    assert values == [21.5, 30.0, 32.0]
    assert len(world.leaves._site._observers) == 0


@with_leaves
async def test_a_failing_source_does_not_end_an_observation(world: World) -> None:
    watching = asyncio.ensure_future(world.client("-s", "2", "-w", path="/reading"))
    async with asyncio.timeout(5):
        while not world.leaves._site._observers:
            await asyncio.sleep(0.01)
    world.source.set("door", 5.0)
    body, _ = await watching
    packs = [json.loads(line) for line in body.splitlines() if line]
    assert [len(pack) for pack in packs] == [1, 2]


@with_leaves
async def test_observers_are_few(world: World) -> None:
    path = READING[1:].encode().split(b"/")
    answers = await world.exchange(*(request(n, *path, more=((6, b""),)) for n in range(20)), answers=20)
    assert all(answer[1] == 0x45 for answer in answers)
    assert len(world.leaves._site._observers) == observers.OBSERVERS_PER_SOURCE_MAX
    assert "leaf-observers" in world.log.causes()
    # The ninth to twentieth have an ETag option first, no Observe.
    assert sorted(answer[5] >> 4 for answer in answers) == [4] * 20
    accepted = [answer for answer in answers if answer[14] >> 4 == 2]
    assert len(accepted) == observers.OBSERVERS_PER_SOURCE_MAX


@with_leaves
async def test_an_unknown_critical_option_is_refused(world: World) -> None:
    answer, = await world.exchange(request(1, b"node", more=((2049, b""),)), answers=1)
    assert answer[1] == 0x82
    answer, = await world.exchange(request(2, b"node", more=((2048, b""),)), answers=1)
    assert answer[1] == 0x45


@with_leaves
async def test_only_get_is_allowed_and_only_blocks_that_exist(world: World) -> None:
    for code in (2, 3, 4, 5, 31):
        answer, = await world.exchange(request(code, b"node", code=code), answers=1)
        assert answer[1] == 0x85
    path = (b"blob", BLOB.encode())
    for number, block, code in ((40, 976 << 4 | 6, 0x45), (41, 977 << 4 | 6, 0x82), (42, 7, 0x82)):
        answer, = await world.exchange(request(number, *path, more=((23, uint(block)),)), answers=1)
        assert answer[1] == code


@with_leaves
async def test_garbage_is_one_line_and_no_traceback(world: World) -> None:
    records: list[logging.LogRecord] = []

    class Catch(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    handler = Catch(logging.WARNING)
    logging.getLogger().addHandler(handler)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            for length in range(400):
                sock.sendto(os.urandom(length % 60), ("127.0.0.1", world.leaves.port))
                await asyncio.sleep(0)
            for datagram in (
                b"", b"\x40", b"\x40\x01", b"\x4f\x01\x00\x01" + b"t" * 15, b"\x40\x45\x00\x02", b"\x60\x01\x00\x03",
                request(4, b"\xff\xfe"), request(5, b"x", tail=b"\xf1"), request(6, b"x", tail=b"\x05abc"),
                request(7, b"x", tail=b"\xff"), request(8, b"y" * 12, tail=b"\xe5\xff\xff"),
            ):
                sock.sendto(datagram, ("127.0.0.1", world.leaves.port))
        body, _ = await world.client(path=READING)
        assert value_of(body) == 21.5
    finally:
        logging.getLogger().removeHandler(handler)
    assert {cause for cause, _ in world.log.lines} == {"leaf-garbage"}
    assert [record.getMessage() for record in records] == []


def test_a_flood_from_one_address_is_cut_off(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "SOURCE_BURST", 50.0)
    monkeypatch.setattr(datagrams, "SOURCE_RATE", 20.0)

    @with_leaves
    async def flood(world: World) -> None:
        began = time.monotonic()
        answers = await world.exchange(*(request(n, b"node", kind=1) for n in range(80)), answers=50)
        assert len(answers) == 50
        with pytest.raises(TimeoutError):
            await world.exchange(*(request(100 + n, b"node", kind=1) for n in range(80)), answers=80, timeout=0.3)
        assert "leaf-rate" in world.log.causes()
        assert len(world.leaves._context.request_interfaces) == 1
        assert time.monotonic() - began < 4
        manager = world.leaves._context.request_interfaces[0].token_interface
        async with asyncio.timeout(5):
            while manager._recent_messages:
                await asyncio.sleep(0.05)

    flood(tmp_path)  # type: ignore[arg-type]


def test_a_taken_port_is_an_error() -> None:
    async def collide() -> None:
        first = await Leaves.start(Source(), host=None, port=0, journal=Log())
        try:
            with pytest.raises(StoreBusy, match=rf"udp port {first.port} is taken by .*pid {os.getpid()}"):
                await Leaves.start(Source(), host="127.0.0.1", port=first.port, journal=Log())
            with pytest.raises(ConfigError):
                await Leaves.start(Source(), host="192.0.2.1", port=0, journal=Log())
        finally:
            await first.stop()

    asyncio.run(collide())
