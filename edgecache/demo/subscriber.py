"""A plain MQTT client that remembers what it was told: the dashboard's place in the demo."""

from __future__ import annotations

import threading
import time

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from edgecache.model.errors import TimedOut

CONNECT_TIMEOUT = 10.0


class Subscriber:
    """Collects the latest payload of every topic."""

    def __init__(self, port: int) -> None:
        self._lock = threading.Lock()
        self._latest: dict[str, bytes] = {}
        self.messages = 0
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="edgecache-demo-subscriber")
        self._client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self._client.on_message = self._received
        deadline = time.monotonic() + CONNECT_TIMEOUT
        while True:
            try:
                self._client.connect("127.0.0.1", port)
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise TimedOut("the embedded broker did not start") from error
                time.sleep(0.1)
        self._client.loop_start()

    def _received(self, client: Client, userdata: object, message: MQTTMessage) -> None:
        with self._lock:
            self.messages += 1
            self._latest[message.topic] = bytes(message.payload)

    def latest(self) -> dict[str, bytes]:
        """The latest payload of every topic, retained ones included."""
        with self._lock:
            return dict(self._latest)

    def stop(self) -> None:
        """Hang up."""
        self._client.disconnect()
        self._client.loop_stop()
