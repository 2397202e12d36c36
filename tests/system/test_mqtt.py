"""A real mosquitto: every node's readings are there once, whatever becomes of broker and bridge."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.lab.agents import LabAgent, Mesh, eventually
from tests.lab.broker import LabBroker, Subscriber
from tests.lab.netlab import NetLab
from tests.system.conftest import Figure, MakeMesh

pytestmark = pytest.mark.system

BROKER_HOST = 3
BRIDGED = 30.0
RESTARTED = 40.0
HANDED_OVER = 15.0
"""Promised, from the death of the bridge to the next reading at the broker."""
SETTLED = 30.0
AGREED = 5.0
BRIDGE = "edgecache/bridge/"


class House:
    """Three nodes with a thermometer each, a broker, and somebody who looks on."""

    def __init__(self, lab: NetLab, make_mesh: MakeMesh, directory: Path) -> None:
        self.broker = LabBroker(lab, BROKER_HOST, directory)
        self.mesh: Mesh = make_mesh(lab, range(3))
        self._thermometers = {agent: directory / f"{agent.name}.temperature" for agent in self.mesh}
        for agent in self.mesh:
            self.warm(agent, 20.0)
            source = {"type": "file", "series": "room", "path": str(self._thermometers[agent]), "unit": "Cel"}
            sources = [source, {"type": "host", "metrics": ["load", "memory"], "interval": "2s"}]
            agent.configure({
                "readings": {"interval": "200ms", "sources": sources},
                "mqtt": {"enabled": True, "host": self.broker.address},
            })  # fmt: skip
        self.broker.start()
        self.subscriber = Subscriber(self.broker)

    def start(self) -> float:
        """Everybody; seconds until all of it is at the broker."""
        self.mesh.start()
        self.mesh.meet()
        return eventually("all entities are at the broker", lambda: self.complete(self.subscriber.latest()), BRIDGED)

    def warm(self, agent: LabAgent, degrees: float) -> None:
        """What its thermometer shows from now on."""
        self._thermometers[agent].write_text(f"{degrees}\n")

    def series(self) -> set[tuple[str, str]]:
        """Every node and series."""
        return {(agent.node, name) for agent in self.mesh for name in ("room", "host/load1", "host/memory_used")}

    def complete(self, latest: dict[str, str]) -> bool:
        """Every series has its state and its entity, and every node and the bridge are online."""
        states = {f"edgecache/{node}/{series}" for node, series in self.series()}
        online = {f"edgecache/{agent.node}/_availability" for agent in self.mesh}
        described = {config["state_topic"] for config in entities(latest).values()}
        return (
            states <= set(latest) and states <= described and bridge_availability(latest) == "online"
            and all(latest.get(topic) == "online" for topic in online)
        )  # fmt: skip

    def shown(self, agent: LabAgent) -> str | None:
        """What the broker has of its thermometer."""
        return self.subscriber.latest().get(f"edgecache/{agent.node}/room")

    def bridge(self) -> LabAgent:
        """The one that all come to agree on."""

        def believed() -> set[str]:
            return {agent.ask("status")["bridge"] for agent in self.mesh}

        eventually("all agree on the bridge", lambda: len(believed()) == 1 and None not in believed(), AGREED)
        (node,) = believed()
        return next(agent for agent in self.mesh if agent.node == node)

    def assert_no_duplicates(self) -> None:
        """Over the whole time each series had one entity, under one topic, and each topic one unique id."""
        seen: dict[str, set[str]] = {}
        for message in self.subscriber.messages:
            if message.topic.endswith("/config") and message.payload:
                config = json.loads(message.payload)
                seen.setdefault(config["state_topic"], set()).add(f"{config['unique_id']} at {message.topic}")
        assert all(len(ids) == 1 for ids in seen.values()), seen
        assert set(Counter(next(iter(ids)) for ids in seen.values()).values()) == {1}


def entities(latest: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Home Assistant's discovery messages by unique id."""
    configs = [json.loads(payload) for topic, payload in latest.items() if topic.endswith("/config")]
    return {config["unique_id"]: config for config in configs}


def bridge_availability(latest: dict[str, str]) -> str | None:
    found = [said for topic, said in latest.items() if topic.startswith(BRIDGE) and topic.endswith("/availability")]
    return found[0] if found else None


def test_readings_at_the_broker(make_mesh: MakeMesh, tmp_path: Path, figure: Figure) -> None:
    with NetLab(4) as lab:
        house = House(lab, make_mesh, tmp_path)
        figure("all entities at the broker", f"{house.start():.1f} s after all were linked")
        bridge, (first, *_) = house.bridge(), house.mesh

        for node, series in house.series():
            unique = f"edgecache_{node}_{series.replace('/', '-2f')}"
            config = entities(house.subscriber.latest())[unique]
            assert config["device"]["identifiers"] == [f"edgecache_{node}"]
            assert f"edgecache/{node}/_availability" in {each["topic"] for each in config["availability"]}
            if series == "room":
                assert (config["unit_of_measurement"], config["device_class"]) == ("°C", "temperature")
        house.warm(first, 23.5)
        seconds = eventually("it is there", lambda: house.shown(first) == "23.5", 5.0)
        figure("a changed reading", f"{seconds:.1f} s later")

        house.broker.kill()
        house.broker.start()
        back = time.monotonic()
        late = Subscriber(house.broker)
        eventually("all entities are there again", lambda: house.complete(late.latest()), RESTARTED)
        figure("all entities again", f"{time.monotonic() - back:.1f} s after the broker's restart")
        assert house.bridge() is bridge, "an outage of the broker is no reason to change the bridge"
        house.assert_no_duplicates()


def hand_over(house: House, way: str, degrees: float) -> float:
    """The bridge goes, another takes over, the old one comes back as one of many; seconds without readings."""
    old, lab = house.bridge(), house.mesh[0].lab
    survivor = next(agent for agent in house.mesh if agent is not old)
    if way == "killed":
        old.kill()
    else:
        lab.carrier(old.host, up=False)
    gone = time.monotonic()
    house.warm(survivor, degrees)
    eventually("readings flow again", lambda: house.shown(survivor) == str(degrees), HANDED_OVER)
    seconds = time.monotonic() - gone

    offline = f"edgecache/{old.node}/_availability"
    eventually("the old one is offline", lambda: house.subscriber.latest().get(offline) == "offline", SETTLED)
    late = Subscriber(house.broker)
    eventually("the bridge is online", lambda: bridge_availability(late.latest()) == "online", SETTLED)
    (told,) = [message for message in late.messages if message.topic == offline]
    assert (told.payload, told.retained) == ("offline", True)
    late.stop()

    if way == "killed":
        old.start()
        old.up()
    else:
        lab.carrier(old.host, up=True)
    house.mesh.meet(30.0)
    house.warm(old, degrees + 0.5)
    eventually("its readings are there", lambda: house.shown(old) == str(degrees + 0.5), SETTLED)
    eventually("all is as before", lambda: house.complete(house.subscriber.latest()), SETTLED)
    assert house.bridge() is not old, "whoever was replaced does not come back by itself"
    return seconds


@pytest.mark.parametrize(
    "ways",
    [
        ["killed"],
        ["cut-off"],
        pytest.param(["killed", "cut-off"] * 4, marks=[pytest.mark.slow, pytest.mark.timeout(600)], id="many"),
    ],
    ids=lambda ways: ways[0],
)
def test_hand_over(make_mesh: MakeMesh, tmp_path: Path, figure: Figure, ways: list[str]) -> None:
    with NetLab(4) as lab:
        house = House(lab, make_mesh, tmp_path)
        house.start()
        for number, way in enumerate(ways):
            seconds = hand_over(house, way, 25.0 + number)
            figure("handed over", f"{seconds:.1f} s after the bridge was {way}")
        house.assert_no_duplicates()
