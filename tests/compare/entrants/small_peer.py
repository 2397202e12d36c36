"""Request and answer of a few bytes through a library. Runs by itself under whatever interpreter has the library.

    small_peer.py serve LIBRARY            answers; prints READY
    small_peer.py ask LIBRARY COUNT        asks COUNT times one after the other, then twice as often with 16 in flight;
                                           prints DONE {"seconds": [...], "many": N, "elapsed": S}
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

ANSWER = b"22.5"
IN_FLIGHT, WARM_UP = 16, 200
TIMEOUT = 5.0
HOST = "127.0.0.1"
ZENOH_PORT, NATS_PORT, COAP_PORT = 7447, 4222, 5690

Once = Callable[[], Awaitable[object]]


def say(word: str) -> None:
    print(word, flush=True)


def report(seconds: list[float], many: int, elapsed: float) -> None:
    say("DONE " + json.dumps({"seconds": seconds, "many": many, "elapsed": elapsed}))


async def drive(once: Once, count: int) -> None:
    """For libraries of asyncio."""
    for _ in range(WARM_UP):
        await once()
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        await once()
        seconds.append(time.perf_counter() - began)
    left = iter(range(2 * count))

    async def one_after_the_other() -> None:
        for _ in left:
            await once()

    began = time.perf_counter()
    await asyncio.gather(*(one_after_the_other() for _ in range(IN_FLIGHT)))
    report(seconds, 2 * count, time.perf_counter() - began)


# ---- aiocoap over TCP: what edgecache's links are made from, bare


async def serve_aiocoap() -> None:
    aiocoap: Any = importlib.import_module("aiocoap")
    resource: Any = importlib.import_module("aiocoap.resource")

    class Reading(resource.Resource):  # type: ignore[misc]
        async def render_get(self, request: Any) -> Any:
            return aiocoap.Message(payload=ANSWER)

    site = resource.Site()
    site.add_resource(["r"], Reading())
    await aiocoap.Context.create_server_context(site, bind=(HOST, COAP_PORT), transports=["tcpserver"])
    say("READY")
    await asyncio.get_running_loop().create_future()


async def ask_aiocoap(count: int) -> None:
    aiocoap: Any = importlib.import_module("aiocoap")
    context = await aiocoap.Context.create_client_context(transports=["tcpclient"])

    async def once() -> object:
        request = aiocoap.Message(code=aiocoap.GET, uri=f"coap+tcp://{HOST}:{COAP_PORT}/r")
        return await context.request(request, handle_blockwise=False).response

    await drive(once, count)


# ---- NATS: through its broker


async def serve_nats() -> None:
    nats: Any = importlib.import_module("nats")
    client = await nats.connect(f"nats://{HOST}:{NATS_PORT}")

    async def answer(message: Any) -> None:
        await message.respond(ANSWER)

    await client.subscribe("r", cb=answer)
    await client.flush()
    say("READY")
    await asyncio.get_running_loop().create_future()


async def ask_nats(count: int) -> None:
    nats: Any = importlib.import_module("nats")
    client = await nats.connect(f"nats://{HOST}:{NATS_PORT}")
    await drive(lambda: client.request("r", b"", timeout=TIMEOUT), count)


# ---- Zenoh: threads instead of asyncio


def _zenoh_session(*, listening: bool) -> Any:
    zenoh: Any = importlib.import_module("zenoh")
    config = zenoh.Config()
    for key, value in (
        ("mode", '"peer"'), ("scouting/multicast/enabled", "false"),
        ("transport/shared_memory/enabled", "false"),  # no mesh of devices has it
        ("listen/endpoints", json.dumps([f"tcp/{HOST}:{ZENOH_PORT}"] if listening else [])),
        ("connect/endpoints", json.dumps([] if listening else [f"tcp/{HOST}:{ZENOH_PORT}"])),
    ):  # fmt: skip
        config.insert_json5(key, value)
    return zenoh.open(config)


def serve_zenoh() -> None:
    session = _zenoh_session(listening=True)
    kept = session.declare_queryable("r", lambda query: query.reply("r", ANSWER))
    say("READY")
    threading.Event().wait()
    kept.undeclare()


def ask_zenoh(count: int) -> None:
    session = _zenoh_session(listening=False)
    time.sleep(1)

    def once() -> None:
        session.get("r").recv().ok.payload.to_bytes()

    for _ in range(WARM_UP):
        once()
    seconds = []
    for _ in range(count):
        began = time.perf_counter()
        once()
        seconds.append(time.perf_counter() - began)
    began, under_way = time.perf_counter(), deque[Any]()
    for _ in range(2 * count):
        under_way.append(session.get("r"))
        if len(under_way) == IN_FLIGHT:
            under_way.popleft().recv()
    while under_way:
        under_way.popleft().recv()
    report(seconds, 2 * count, time.perf_counter() - began)


SERVE: dict[str, Callable[[], object]] = {
    "aiocoap": lambda: asyncio.run(serve_aiocoap()), "nats": lambda: asyncio.run(serve_nats()), "zenoh": serve_zenoh,
}  # fmt: skip
ASK: dict[str, Callable[[int], object]] = {
    "aiocoap": lambda count: asyncio.run(ask_aiocoap(count)), "nats": lambda count: asyncio.run(ask_nats(count)),
    "zenoh": ask_zenoh,
}  # fmt: skip

if __name__ == "__main__":
    _, role, library, *rest = sys.argv
    if role == "serve":
        SERVE[library]()
    else:
        ASK[library](int(rest[0]))
