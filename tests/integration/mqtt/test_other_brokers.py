"""Brokers that are stricter, or less than mosquitto: TLS, passwords, and amqtt, which only speaks MQTT 3.1.1."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecache.adapters.mqtt.session import Level
from edgecache.config.schema import MqttTls
from tests.integration.mqtt.brokers import Agent, Mosquitto, Recorder, config_for, free_port, node, until
from tests.lab.tools import lacking, require_tool


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CA, and a certificate of it for the name broker.test."""
    directory = tmp_path_factory.mktemp("tls")
    openssl = str(require_tool("openssl"))

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=directory, check=True, capture_output=True, timeout=30)

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA", "-days", "2")
    run("req", *key, "-keyout", "broker.key", "-out", "broker.req", "-subj", "/CN=broker")
    (directory / "names").write_text("subjectAltName=DNS:broker.test\n")
    run(
        "x509", "-req", "-in", "broker.req", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
        "-out", "broker.pem", "-days", "2", "-extfile", "names",
    )  # fmt: skip
    for name in ("broker.key", "broker.pem", "ca.pem"):
        (directory / name).chmod(0o644)
    return directory


@pytest.fixture
def tls_broker(certificates: Path, tmp_path: Path) -> Iterator[Mosquitto]:
    listener = f"certfile {certificates}/broker.pem\nkeyfile {certificates}/broker.key\n"
    with Mosquitto(tmp_path, listener=listener) as running:
        yield running


def test_tls_with_a_private_ca(tls_broker: Mosquitto, certificates: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        for tls in (
            MqttTls(enabled=True, ca=certificates / "ca.pem", server_name="broker.test"),
            MqttTls(enabled=True, insecure=True),
        ):
            agent = Agent(1, config_for(tls_broker.port, tls=tls), tmp_path)
            await agent.ready()
            await agent.bridging(1)
            agent.publish(1)
            await agent.settled()
            await agent.bridge.stop(handover=False)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("tls", "says"),
    [
        ({"ca": "ca.pem"}, "set mqtt.tls.server_name"),
        ({"server_name": "broker.test"}, "give its CA as mqtt.tls.ca"),
        ({"ca": "missing.pem"}, "no such file"),
    ],
)
def test_what_is_wrong_with_tls_is_said_in_one_line_with_the_fix(
    tls_broker: Mosquitto, certificates: Path, tmp_path: Path, tls: dict[str, str], says: str,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    ca = certificates / tls["ca"] if "ca" in tls else None
    config = config_for(tls_broker.port, tls=MqttTls(enabled=True, ca=ca, server_name=tls.get("server_name", "")))

    async def scenario() -> None:
        agent = Agent(1, config, tmp_path)
        await until(lambda: bool(caplog.records))
        await asyncio.sleep(0.5)
        assert agent.events == []
        await agent.bridge.stop(handover=False)

    with caplog.at_level(logging.WARNING):
        asyncio.run(scenario())
    assert len(caplog.records) == 1, "said once, however often it is tried"
    assert says in caplog.records[0].getMessage()


def test_a_wrong_password_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(port: int) -> None:
        agent = Agent(1, config_for(port, username="me", password="wrong"), tmp_path)
        await until(lambda: bool(caplog.records))
        await asyncio.sleep(0.5)
        await agent.bridge.stop(handover=False)

    with Mosquitto(tmp_path, anonymous=False) as broker, caplog.at_level(logging.WARNING):
        asyncio.run(scenario(broker.port))
    assert [record.getMessage().split(": ", 1)[1] for record in caplog.records] == [
        "refused by the broker: Not authorized; trying again"
    ]
    assert "wrong" not in caplog.text


AMQTT = textwrap.dedent("""
    import asyncio, logging, sys
    from amqtt.broker import Broker

    logging.disable(logging.CRITICAL)

    async def main():
        await Broker({
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{sys.argv[1]}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }).start()
        await asyncio.sleep(120)

    asyncio.run(main())
""")


@pytest.fixture
def amqtt() -> Iterator[int]:
    if importlib.util.find_spec("amqtt") is None:
        lacking("amqtt is not installed")
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", AMQTT, str(port)], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.05)
        yield port
    finally:
        process.kill()
        process.wait()


def test_amqtt_retains_hands_over_and_forgets(amqtt: int, tmp_path: Path) -> None:
    async def scenario() -> None:
        old, new = (Agent(number, config_for(amqtt), tmp_path) for number in (1, 2))
        topics = old.bridge.topics
        await asyncio.gather(old.ready(), new.ready())
        assert old.bridge._watch.level is Level.V311
        await old.bridging(1)
        old.publish(1)
        await old.settled()
        await new.bridging(2)
        new.publish(1, value=30.0)
        await until(lambda: old.fenced == [2])
        new.bridge.remove_reading(node(1), "host/memory_used")
        with Recorder(amqtt) as recorder:
            await until(lambda: recorder.has({topics.bridge_availability: "online"}))
            await until(lambda: len(recorder.configs()) == 2)
            shown = {topics.state(node(1), "attic"): "30.0", topics.availability(node(1)): "online"}
            await until(lambda: recorder.has(shown))
            await new.bridge.stop(handover=False)
            await until(lambda: recorder.has({topics.bridge_availability: "offline"}))
        await old.bridge.stop(handover=True)

    asyncio.run(scenario())
