"""A real mosquitto of our own, and a client that writes down everything it retains."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from edgecache.adapters.mqtt.bridge import MqttBridge
from edgecache.adapters.mqtt.timing import Timing
from edgecache.config.schema import Mqtt
from edgecache.core.vocabulary import BridgeFenced, BrokerChanged, Identity
from edgecache.model.ids import NodeId, node_id_from_bytes
from tests.lab.tools import require_tool

MESH = "mabcdefghijklmnopqrstuvwxyz"
QUICK = Timing(
    backoff=0.1, backoff_max=0.5, settle=0.1, hold=0.3, birth_jitter=0.05, reassert=0.1, patience=0.1, journal=0.02,
    goodbye=0.5,
)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Mosquitto:
    """A broker on 127.0.0.1 that forgets everything when it stops."""

    def __init__(self, directory: Path, *extra: str, listener: str = "", anonymous: bool = True) -> None:
        self.port = free_port()
        self._config = directory / f"mosquitto-{self.port}.conf"
        lines = [f"listener {self.port} 127.0.0.1", f"allow_anonymous {str(anonymous).lower()}", "user root", *extra]
        self._config.write_text("\n".join(lines) + "\n" + listener)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Mosquitto:
        self._process = subprocess.Popen(
            [require_tool("mosquitto"), "-c", self._config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        end = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                assert time.monotonic() < end, "mosquitto does not start"
                assert self._process.poll() is None, "mosquitto ended"
                time.sleep(0.02)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> Mosquitto:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.kill()


class Recorder:
    """Subscribed to everything: what came, in order, and what is retained by it."""

    def __init__(self, port: int) -> None:
        self.log: list[tuple[str, str]] = []
        self.retained: dict[str, str] = {}
        self._client = Client(CallbackAPIVersion.VERSION2)
        self._ready = threading.Event()
        self._client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._on_message
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()
        assert self._ready.wait(5)

    def _on_message(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        payload = message.payload.decode()
        self.log.append((message.topic, payload))
        if payload:
            self.retained[message.topic] = payload
        else:
            self.retained.pop(message.topic, None)

    def publish(self, topic: str, payload: str, *, retain: bool = False) -> None:
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(5)

    def of(self, topic: str) -> list[str]:
        return [payload for where, payload in list(self.log) if where == topic]

    def has(self, expected: dict[str, str]) -> bool:
        return expected.items() <= self.retained.items()

    def configs(self) -> dict[str, dict[str, Any]]:
        found = dict(self.retained)
        return {topic: json.loads(payload) for topic, payload in found.items() if topic.endswith("/config")}

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def node(number: int) -> NodeId:
    return node_id_from_bytes(number.to_bytes(16, "big"))


class Agent:
    """A MqttBridge and what it said."""

    def __init__(
        self, number: int, config: Mqtt, directory: Path, timing: Timing = QUICK, site: str = "home"
    ) -> None:
        self.me = Identity(node(number), MESH, site, f"pi{number}", 1, ())
        self.events: list[BrokerChanged | BridgeFenced] = []
        journal = directory / f"published-{number}.json"
        self.bridge = MqttBridge(config, self.me, journal, self.events.append, timing=timing, rng=random.Random(number))
        self.bridge.start()

    async def ready(self) -> None:
        await until(lambda: self.bridge.status.reachable)

    async def bridging(self, term: int) -> None:
        self.bridge.start_bridge(term)
        await until(lambda: self.bridge.status.bridging)

    def publish(self, number: int = 0, value: float = 21.5) -> None:
        """Two readings and the status of a node."""
        owner = node(number)
        self.bridge.node_status(owner, f"pi{number}", True)
        self.bridge.publish_reading(owner, f"pi{number}", "attic", value, "Cel")
        self.bridge.publish_reading(owner, f"pi{number}", "host/memory_used", 0.437, "/")

    async def settled(self) -> None:
        await until(lambda: self.bridge.status.bridging and self.bridge.status.waiting == 0)

    @property
    def fenced(self) -> list[int]:
        return [event.term for event in self.events if isinstance(event, BridgeFenced)]


async def until(condition: Callable[[], bool], timeout: float = 8.0) -> None:
    async with asyncio.timeout(timeout):
        while not condition():
            await asyncio.sleep(0.01)


def config_for(port: int, **changes: Any) -> Mqtt:
    return Mqtt(**{"enabled": True, "host": "127.0.0.1", "port": port, **changes})
