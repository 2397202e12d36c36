"""A real mosquitto on a host of a lab, and a subscriber there that writes down what it gets."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.lab.netlab import NetLab
from tests.lab.tools import require_tool

START_TIMEOUT = 10.0

_SUBSCRIBER = """
import json, sys
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

def tell(**what):
    print(json.dumps(what), flush=True)

client = Client(CallbackAPIVersion.VERSION2)
client.on_connect = lambda client, *rest: client.subscribe(sys.argv[3], 1)
client.on_subscribe = lambda *rest: tell(ready=True)
client.on_message = lambda client, data, message: tell(
    topic=message.topic, payload=message.payload.decode(errors="replace"), retained=message.retain)
client.reconnect_delay_set(1, 1)
client.connect(sys.argv[1], int(sys.argv[2]), 10)
client.loop_forever()
"""


@dataclass(frozen=True, slots=True)
class Published:
    """A message as the subscriber got it."""

    at: float
    """Of the monotonic clock."""
    topic: str
    payload: str
    retained: bool


class LabBroker:
    """Anonymous, on all addresses of its host; forgets everything when it stops."""

    def __init__(self, lab: NetLab, host: int, directory: Path, port: int = 1883) -> None:
        self.lab, self.host, self.port = lab, host, port
        self.address = lab.address(host)
        self._config = directory / f"mosquitto-{host}-{port}.conf"
        self._config.write_text(f"listener {port} 0.0.0.0\nallow_anonymous true\nuser root\npersistence false\n")
        self._process: subprocess.Popen[Any] | None = None

    def start(self) -> None:
        """Returns when it accepts connections."""
        command: list[str | Path] = [require_tool("mosquitto"), "-c", self._config]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = self.lab.popen(self.host, command, **quiet)
        deadline = time.monotonic() + START_TIMEOUT
        probe = f"import socket; socket.create_connection(('{self.address}', {self.port}), 1)"
        while self.lab.run(self.host, [sys.executable, "-c", probe]).returncode:
            assert self._process.poll() is None, f"mosquitto ended with {self._process.returncode}"
            assert time.monotonic() < deadline, "mosquitto does not start"

    def kill(self) -> None:
        """SIGKILL; harmless when it does not run."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def __enter__(self) -> LabBroker:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()


class Subscriber(threading.Thread):
    """Listens on a host of the lab until its program ends; the lab ends it."""

    def __init__(self, broker: LabBroker, topic: str = "#", *, host: int | None = None) -> None:
        super().__init__(daemon=True, name=f"subscriber to {topic}")
        self.messages: list[Published] = []
        where = broker.host if host is None else host
        command = [sys.executable, "-u", "-c", _SUBSCRIBER, broker.address, str(broker.port), topic]
        self._process = broker.lab.popen(where, command, stdout=subprocess.PIPE, text=True)
        self._ready = threading.Event()
        self.start()
        assert self._ready.wait(START_TIMEOUT), "the subscriber does not get through to the broker"

    def run(self) -> None:
        """Read until the end."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told = json.loads(line)
            if told.get("ready"):
                self._ready.set()
            else:
                self.messages.append(Published(time.monotonic(), told["topic"], told["payload"], told["retained"]))

    def latest(self) -> dict[str, str]:
        """The newest payload of each topic that is not empty."""
        newest = {message.topic: message.payload for message in list(self.messages)}
        return {topic: payload for topic, payload in newest.items() if payload}

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        self.join(START_TIMEOUT)
