"""What a bridge publishes at a real broker, and that it survives what happens to brokers."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edgecache.adapters.mqtt.claim import BridgeClaim
from edgecache.core.vocabulary import BrokerChanged
from tests.integration.mqtt.brokers import (
    QUICK,
    Agent,
    Mosquitto,
    Recorder,
    config_for,
    node,
    until,
)

ROOT = Path(__file__).parents[3]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running:
        yield running


def test_everything_is_retained_complete_and_unique(broker: Mosquitto, tmp_path: Path) -> None:
    async def scenario() -> None:
        agent = Agent(1, config_for(broker.port), tmp_path)
        topics = agent.bridge.topics
        await agent.ready()
        assert agent.events == [BrokerChanged(True, 0)]
        await agent.bridging(3)
        for number in (1, 2):
            agent.publish(number)
        agent.bridge.publish_reading(node(2), "pi2", "door", True, "")
        agent.bridge.publish_reading(node(2), "pi2", "broken", None, "Cel")
        agent.bridge.node_status(node(2), "pi2", False)
        await agent.settled()
        with Recorder(broker.port) as late:
            await until(lambda: len(late.configs()) == 6)
            assert json.loads(late.retained[topics.term]) == {"term": 3, "node": node(1)}
            assert late.retained[topics.bridge_availability] == "online"
            assert late.retained[topics.availability(node(1))] == "online"
            assert late.retained[topics.availability(node(2))] == "offline"
            assert late.retained[topics.state(node(1), "attic")] == "21.5"
            assert late.retained[topics.state(node(2), "host/memory_used")] == "43.7"
            assert late.retained[topics.state(node(2), "door")] == "ON"
            assert topics.state(node(2), "broken") not in late.retained
            unique = [config["unique_id"] for config in late.configs().values()]
            assert len(set(unique)) == len(unique)
            for topic, config in late.configs().items():
                assert re.fullmatch(r"homeassistant/(sensor|binary_sensor)/[a-zA-Z0-9_-]+/config", topic)
                assert config["state_topic"] in late.retained
                for availability in config.get("availability", []):
                    assert availability["topic"] in late.retained
            agent.bridge.publish_reading(node(1), "pi1", "attic", None, "Cel")
            await until(lambda: late.retained[topics.state(node(1), "attic")] == "None")
            assert BrokerChanged(True, 3) in agent.events
        await agent.bridge.stop(handover=False)

    asyncio.run(scenario())


def test_a_broker_that_forgot_everything_is_told_again(broker: Mosquitto, tmp_path: Path) -> None:
    async def scenario() -> None:
        agent = Agent(1, config_for(broker.port), tmp_path)
        await agent.ready()
        await agent.bridging(1)
        agent.publish(1)
        await agent.settled()
        with Recorder(broker.port) as before:
            await until(lambda: len(before.retained) == 8)
        broker.kill()
        await until(lambda: not agent.bridge.status.reachable)
        assert BrokerChanged(False, 1) in agent.events
        agent.publish(1, value=22.0)
        agent.publish(1, value=23.0)
        await asyncio.to_thread(broker.start)
        await agent.settled()
        with Recorder(broker.port) as after:
            await until(lambda: set(after.retained) == set(before.retained))
            assert after.retained[agent.bridge.topics.state(node(1), "attic")] == "23.0"
        assert agent.fenced == []
        await agent.bridge.stop(handover=False)

    asyncio.run(scenario())


def test_a_broker_that_comes_later_is_found(tmp_path: Path) -> None:
    broker = Mosquitto(tmp_path)

    async def scenario() -> None:
        agent = Agent(1, config_for(broker.port), tmp_path)
        agent.bridge.start_bridge(1)
        await asyncio.sleep(0.3)
        assert agent.events == []
        await asyncio.to_thread(broker.start)
        await agent.settled()
        await agent.bridge.stop(handover=False)

    try:
        asyncio.run(scenario())
    finally:
        broker.kill()


def test_home_assistants_birth_brings_everything_again(broker: Mosquitto, tmp_path: Path) -> None:
    async def scenario() -> None:
        agent = Agent(1, config_for(broker.port), tmp_path)
        await agent.ready()
        await agent.bridging(1)
        agent.publish(1)
        await agent.settled()
        with Recorder(broker.port) as recorder:
            await until(lambda: len(recorder.retained) == 8)
            recorder.log.clear()
            recorder.publish("homeassistant/status", "offline")
            recorder.publish("homeassistant/status", "online")
            await until(lambda: len({topic for topic, _ in recorder.log}) == 9)
            order = [topic.rsplit("/", 1)[-1] for topic, _ in recorder.log if not topic.startswith("homeassistant/st")]
            assert order.index("config") < order.index("_availability") < order.index("attic")
        await agent.bridge.stop(handover=False)

    asyncio.run(scenario())


def test_a_clean_stop_says_offline_unless_somebody_follows(broker: Mosquitto, tmp_path: Path) -> None:
    async def scenario() -> None:
        with Recorder(broker.port) as recorder:
            said: list[str] = []
            for number, handover in ((1, True), (2, False)):
                agent = Agent(number, config_for(broker.port), tmp_path)
                topics = agent.bridge.topics
                await agent.ready()
                await agent.bridging(number)
                agent.publish(1)
                await agent.settled()
                began = asyncio.get_running_loop().time()
                await agent.bridge.stop(handover=handover)
                assert asyncio.get_running_loop().time() - began < 1.0
                said += ["online"] if handover else ["online", "offline"]
                expected = {topics.bridge_availability: said[-1], topics.availability(node(1)): "online"}
                await until(functools.partial(recorder.has, expected))
                assert recorder.of(topics.bridge_availability) == said

    asyncio.run(scenario())


def test_what_exists_no_longer_is_taken_away_also_after_a_restart(broker: Mosquitto, tmp_path: Path) -> None:
    async def scenario() -> None:
        config = config_for(broker.port)
        agent = Agent(1, config, tmp_path)
        topics = agent.bridge.topics
        await agent.ready()
        await agent.bridging(1)
        for number in (1, 2):
            agent.publish(number)
        await agent.settled()
        with Recorder(broker.port) as recorder:
            await until(lambda: len(recorder.configs()) == 5)
            agent.bridge.remove_reading(node(2), "attic")
            await until(lambda: len(recorder.configs()) == 4)
            await until(lambda: topics.state(node(2), "attic") not in recorder.retained)
            await agent.bridge.stop(handover=True)

            again = Agent(1, config, tmp_path)
            await again.ready()
            await again.bridging(2)
            again.bridge.publish_reading(node(1), "pi1", "attic", 5, "Cel")
            again.bridge.keep_only(node(1), {"attic"})
            await until(lambda: topics.state(node(1), "host/memory_used") not in recorder.retained)
            again.bridge.forget_node(node(2))
            await until(lambda: not [topic for topic in recorder.retained if node(2) in topic])
            assert {c["unique_id"] for c in recorder.configs().values()} == {
                topics.bridge_unique_id, f"edgecache_{node(1)}_attic",
            }  # fmt: skip
            await again.bridge.stop(handover=False)
        assert json.loads((tmp_path / "published-1.json").read_text())["entities"] == [[node(1), "attic", "sensor"]]

    asyncio.run(scenario())


def test_a_device_that_restarts_keeps_its_entities(broker: Mosquitto, tmp_path: Path) -> None:
    async def scenario() -> None:
        agent = Agent(1, config_for(broker.port), tmp_path, replace(QUICK, patience=0.5))
        state = agent.bridge.topics.state(node(2), "attic")
        await agent.ready()
        await agent.bridging(1)
        agent.publish(2)
        await agent.settled()
        with Recorder(broker.port) as recorder:
            await until(lambda: len(recorder.configs()) == 3)
            agent.bridge.keep_only(node(2), set())
            await until(lambda: recorder.retained.get(state) == "None")
            agent.publish(2, value=22.0)
            await until(lambda: recorder.retained.get(state) == "22.0")
            agent.bridge.remove_reading(node(2), "attic")
            agent.bridge.publish_reading(node(2), "pi2", "attic", None, "")
            await asyncio.sleep(0.8)
            assert "" not in [payload for _, payload in recorder.log], "nothing was taken away"
        await agent.bridge.stop(handover=False)

    asyncio.run(scenario())


def test_a_series_that_becomes_a_flag_and_a_node_that_is_renamed(broker: Mosquitto, tmp_path: Path) -> None:
    async def scenario() -> None:
        agent = Agent(1, config_for(broker.port), tmp_path)
        await agent.ready()
        await agent.bridging(1)
        agent.bridge.publish_reading(node(1), "old", "door", 1, "")
        agent.bridge.publish_reading(node(1), "old", "door", True, "")
        agent.bridge.node_status(node(1), "new", True)
        await agent.settled()
        with Recorder(broker.port) as recorder:
            await until(lambda: len(recorder.configs()) == 2)
            (config,) = [c for c in recorder.configs().values() if c["unique_id"] == f"edgecache_{node(1)}_door"]
            assert config["payload_on"] == "ON"
            assert config["device"]["name"] == "new"
        await agent.bridge.stop(handover=False)

    asyncio.run(scenario())


KILLED = textwrap.dedent("""
    import asyncio, sys
    from pathlib import Path
    from tests.integration.mqtt.brokers import Agent, config_for

    async def main():
        agent = Agent(1, config_for(int(sys.argv[1])), Path(sys.argv[2]))
        await agent.ready()
        await agent.bridging(1)
        agent.publish(1)
        await agent.settled()
        print("bridging", flush=True)
        await asyncio.sleep(60)

    asyncio.run(main())
""")


def test_the_will_of_a_killed_bridge_and_the_next_ones_online(broker: Mosquitto, tmp_path: Path) -> None:
    async def scenario() -> None:
        killed = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(broker.port), str(tmp_path)], stdout=subprocess.PIPE, cwd=ROOT
        )
        assert killed.stdout is not None
        assert killed.stdout.readline() == b"bridging\n"
        with killed.stdout, Recorder(broker.port) as recorder:
            standby = Agent(2, config_for(broker.port), tmp_path)
            availability = standby.bridge.topics.bridge_availability
            await standby.ready()
            assert standby.bridge.status.term == 1
            assert standby.bridge.status.holder == node(1)
            os.kill(killed.pid, signal.SIGKILL)
            killed.wait()
            await until(lambda: recorder.retained.get(availability) == "offline", 2.0)
            assert recorder.retained[standby.bridge.topics.availability(node(1))] == "online"
            await standby.bridging(2)
            await until(lambda: recorder.retained.get(availability) == "online", 2.0)
            await standby.bridge.stop(handover=False)

    asyncio.run(scenario())


def test_what_somebody_else_writes_over_us_is_corrected(broker: Mosquitto, tmp_path: Path) -> None:
    async def scenario() -> None:
        agent = Agent(1, config_for(broker.port), tmp_path)
        topics = agent.bridge.topics
        await agent.ready()
        await agent.bridging(5)
        await agent.settled()
        with Recorder(broker.port) as recorder:
            for topic, lie in (
                (topics.bridge_availability, "offline"),
                (topics.bridge_availability, ""),
                (topics.term, "nonsense"),
                (topics.term, BridgeClaim(4, node(9)).encode()),
            ):
                recorder.publish(topic, lie, retain=True)
                await until(lambda lie=lie, topic=topic: recorder.of(topic)[-2:-1] == [lie])  # type: ignore[misc]
            await until(lambda: recorder.retained.get(topics.bridge_availability) == "online")
            count = len(recorder.log)
            for _ in range(50):
                recorder.publish(topics.bridge_availability, "offline", retain=True)
            await until(lambda: recorder.retained.get(topics.bridge_availability) == "online")
            assert len(recorder.log) < count + 50 + 20, "corrections are limited"
        assert agent.fenced == []
        await agent.bridge.stop(handover=False)

    asyncio.run(scenario())
