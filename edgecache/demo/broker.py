"""The embedded MQTT broker (amqtt) as a process of its own: `python -m edgecache.demo.broker PORT`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys

from amqtt.broker import Broker


async def _serve(port: int) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    broker = Broker({
        "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}", "max_connections": 50}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    })  # fmt: skip
    await broker.start()
    await stopping.wait()
    with contextlib.suppress(Exception):
        await broker.shutdown()


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    asyncio.run(_serve(int(sys.argv[1])))
