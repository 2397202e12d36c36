"""Two bridges at one broker: there is only ever one session, and who lost it does not fight."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgecache.adapters.mqtt.claim import BridgeClaim
from edgecache.adapters.mqtt.session import Level
from tests.integration.mqtt.brokers import Agent, Mosquitto, Recorder, config_for, node, until


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running:
        yield running


@pytest.fixture(params=[Level.V5, Level.V311], ids=["mqtt5", "mqtt3.1.1"])
def level(request: pytest.FixtureRequest) -> Level:
    found = request.param
    assert isinstance(found, Level)
    return found


def agent_at(level: Level, number: int, broker: Mosquitto, directory: Path) -> Agent:
    agent = Agent(number, config_for(broker.port), directory)
    agent.bridge._watch.level = level
    return agent


def test_a_takeover_fences_the_old_bridge_and_leaves_no_duplicates(
    broker: Mosquitto, tmp_path: Path, level: Level
) -> None:
    async def scenario() -> None:
        old, new = (agent_at(level, number, broker, tmp_path) for number in (1, 2))
        await asyncio.gather(old.ready(), new.ready())
        await old.bridging(1)
        for number in (1, 2, 3):
            old.publish(number)
        await old.settled()
        with Recorder(broker.port) as recorder:
            await until(lambda: len(recorder.configs()) == 7)
            configs = recorder.configs()
            topics = new.bridge.topics
            recorder.log.clear()
            await new.bridging(2)
            for number in (1, 2, 3):
                new.publish(number)
            await until(lambda: old.fenced == [2])
            await new.settled()
            assert not old.bridge.status.bridging
            old.publish(1, value=-1.0)
            await asyncio.sleep(1.0)  # longer than the old one would need to come back
            assert new.bridge.status.bridging
            assert new.fenced == []
            assert recorder.retained[topics.bridge_availability] == "online"
            assert recorder.retained[topics.state(node(1), "attic")] == "21.5"
            assert recorder.configs() == configs, "one set of entities, whoever publishes it"
            terms = set(recorder.of(topics.term))
            assert terms == {BridgeClaim(2, node(2)).encode()}
            assert len(recorder.of(topics.bridge_availability)) <= 5, "no fight"
        await asyncio.gather(old.bridge.stop(handover=True), new.bridge.stop(handover=False))

    asyncio.run(scenario())


def test_of_two_with_one_term_one_gives_way(broker: Mosquitto, tmp_path: Path, level: Level) -> None:
    async def scenario() -> None:
        agents = [agent_at(level, number, broker, tmp_path) for number in (1, 2)]
        await asyncio.gather(*(agent.ready() for agent in agents))
        for agent in agents:
            agent.bridge.start_bridge(7)
        await until(lambda: sum(len(agent.fenced) for agent in agents) == 1)
        await asyncio.sleep(0.8)
        assert sorted(agent.fenced for agent in agents) == [[], [7]]
        assert sorted(agent.bridge.status.bridging for agent in agents) == [False, True]
        await asyncio.gather(*(agent.bridge.stop(handover=True) for agent in agents))

    asyncio.run(scenario())


def test_who_comes_back_and_finds_a_higher_term_does_not_take_the_session(broker: Mosquitto, tmp_path: Path) -> None:
    async def scenario() -> None:
        agent = Agent(1, config_for(broker.port), tmp_path)
        topics = agent.bridge.topics
        await agent.ready()
        await agent.bridging(1)
        await agent.settled()
        broker.kill()
        await until(lambda: not agent.bridge.status.reachable)
        await asyncio.to_thread(broker.start)
        with Recorder(broker.port) as recorder:
            recorder.publish(topics.term, BridgeClaim(2, node(2)).encode(), retain=True)
            await until(lambda: agent.fenced == [2])
            await asyncio.sleep(0.5)
            assert recorder.of(topics.bridge_availability) == []
            assert recorder.of(topics.term) == [BridgeClaim(2, node(2)).encode()]
        assert agent.bridge.status.term == 2
        await agent.bridge.stop(handover=True)

    asyncio.run(scenario())


def test_a_term_that_is_too_low_is_refused_before_it_does_harm(broker: Mosquitto, tmp_path: Path) -> None:
    async def scenario() -> None:
        with Recorder(broker.port) as recorder:
            agent = Agent(1, config_for(broker.port), tmp_path)
            recorder.publish(agent.bridge.topics.term, BridgeClaim(9, node(2)).encode(), retain=True)
            await agent.ready()
            agent.bridge.start_bridge(4)
            await until(lambda: agent.fenced == [9])
            assert recorder.of(agent.bridge.topics.bridge_availability) == []
            agent.bridge.start_bridge(10)
            await until(lambda: agent.bridge.status.bridging)
            recorder.publish(agent.bridge.topics.term, BridgeClaim(11, node(3)).encode(), retain=True)
            await until(lambda: agent.fenced == [9, 11])
            await agent.bridge.stop(handover=True)

    asyncio.run(scenario())


def test_the_same_node_may_start_and_stop_in_any_order(broker: Mosquitto, tmp_path: Path) -> None:
    async def scenario() -> None:
        agent = Agent(1, config_for(broker.port), tmp_path)
        await agent.ready()
        await agent.bridge.stop_bridge(handover=True)
        agent.bridge.start_bridge(1)
        agent.bridge.start_bridge(2)
        await agent.settled()
        await agent.bridge.stop_bridge(handover=True)
        agent.publish(1)
        assert agent.bridge.status.waiting == 0, "nothing is kept outside a tenure"
        await agent.bridging(3)
        await agent.settled()
        assert agent.fenced == []
        await agent.bridge.stop(handover=False)

    asyncio.run(scenario())
