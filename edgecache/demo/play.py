"""The acts of the demo, in order; the exit code is 0 only if everything that it shows was true."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgecache.adapters.mdns.sockets import multicast_selftest
from edgecache.adapters.system.addresses import interfaces, usable_hosts
from edgecache.demo.content import prepare
from edgecache.demo.show import Screen, watch
from edgecache.demo.subscriber import Subscriber
from edgecache.demo.swarm import Fetch, Swarm
from edgecache.fleet.agents import Agent, free_port, set_up, wait_until

NAMES = ("hall", "kitchen", "attic", "garage", "cellar")
RATE = "50Mbit/s"
REQUIRE_MDNS = "EDGECACHE_DEMO_REQUIRE_MDNS"
OTHERS_SHARE = 0.40
"""Of all bytes fetched at least this comes from nodes that did not publish: else it was a star, no web."""
IN_FLIGHT_CHUNKS = 16
CHUNK = 256 * 1024
MEET_TIMEOUT = 30.0
READINGS_TIMEOUT = 20.0
MQTT_TIMEOUT = 30.0


class Demo:
    """One run."""

    def __init__(self, file: str | None, *, keep: bool) -> None:
        self._file, self._keep = file, keep
        self._screen = Screen()
        self._directory = Path(tempfile.mkdtemp(prefix="edgecache-demo-"))
        self._agents = [Agent(name, self._directory / name) for name in NAMES]
        self._broker: subprocess.Popen[bytes] | None = None
        self._subscriber: Subscriber | None = None
        self._names: dict[str, str] = {}

    def run(self) -> int:
        """All acts; the exit code."""
        try:
            mdns = self._prepare()
            self._meet(mdns)
            swarm = self._share()
            self._account(swarm)
            self._readings()
            self._mqtt()
        except BaseException:
            for agent in self._agents:
                self._screen.say(f"--- log of {agent.name}\n{agent.log_tail()}")
            self._clean_up()
            raise
        good = not self._screen.failed
        self._screen.heading("All of it was true." if good else f"{self._screen.failed} of the checks failed.")
        if self._keep:
            self._leave_up()
        else:
            self._clean_up()
        return 0 if good else 1

    def _prepare(self) -> bool:
        screen = self._screen
        screen.heading(f"Five agents on this machine, in {self._directory}")
        screen.say("  making their keys, one mesh CA, and a certificate for each ...")
        set_up(self._agents)
        reason = asyncio.run(multicast_selftest(usable_hosts(interfaces())))
        if reason:
            screen.say(f"  {reason}: the agents get each other's addresses as seeds instead of mDNS")
            if os.environ.get(REQUIRE_MDNS):
                screen.check("multicast works, as was demanded", False, reason)
        broker = free_port()
        self._broker = subprocess.Popen(
            [sys.executable, "-m", "edgecache.demo.broker", str(broker)], stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._subscriber = Subscriber(broker)
        ports = [free_port() for _ in self._agents]
        for agent, port in zip(self._agents, ports, strict=True):
            seeds = [f"127.0.0.1:{other}" for other in ports if other != port] if reason else []
            agent.configure({
                "listen": {"port": port if reason else 0},
                "limits": {"upload": RATE, "download": RATE},
                "discovery": {"mdns": not reason, "seeds": seeds},
                "readings": {"interval": "2s", "sources": [{"type": "host"}]},
                "mqtt": {"enabled": True, "host": "127.0.0.1", "port": broker},
            })  # fmt: skip
        return not reason

    def _meet(self, mdns: bool) -> None:
        screen, agents = self._screen, self._agents
        screen.heading("They find each other" + (" by mDNS" if mdns else ""))
        began = time.monotonic()
        for agent in agents:
            agent.start()

        def linked() -> list[dict[str, Any]] | None:
            views = [agent.ask("peers")["peers"] for agent in agents]
            full = all(sum(peer["linked"] for peer in view) == len(agents) - 1 for view in views)
            return [peer for view in views for peer in view] if full else None

        found = wait_until("four links on each agent", linked, MEET_TIMEOUT)
        elapsed = time.monotonic() - began
        screen.check(f"each has {len(agents) - 1} authenticated links", True, f"{elapsed:.1f} s from start")
        for agent in agents:
            agent.node = agent.ask("status")["node"]
            self._names[agent.node] = agent.name
        if mdns:

            def by_mdns() -> bool:
                views = [agent.ask("peers")["peers"] for agent in agents]
                return all(peer["seen_via"] == "mdns" for view in views for peer in view)

            seen = {peer["seen_via"] for peer in found}
            if not by_mdns():
                wait_until("everybody seen by mDNS", by_mdns, MEET_TIMEOUT)
            screen.check("each has seen every other by mDNS", True, "at first " + ", ".join(sorted(seen)))

    def _share(self) -> Swarm:
        screen, (publisher, *others) = self._screen, self._agents
        path, origin = prepare(self._file, self._directory / "content")
        size = path.stat().st_size
        screen.heading(f"{publisher.name} shares {size / 1e6:.1f} MB: {origin}")
        blob = publisher.command("put", str(path)).strip()
        screen.say(f"  {blob}")
        screen.heading("The other four fetch it at once; every node has 50 Mbit/s up and 50 Mbit/s down")
        victim = others[1]
        swarm = Swarm(blob, size, others, victim)
        began = time.monotonic()
        watch(screen, swarm, swarm.run)
        elapsed = time.monotonic() - began
        star = len(others) * size * 8 / 50e6
        screen.say(f"  {elapsed:.1f} s for all four; from the publisher alone it would take {star:.1f} s")
        for fetch in swarm.fetches:
            screen.check(f"{fetch.agent.name} has it, every chunk verified", fetch.finished, fetch.error)
        expected = publisher.command("id", str(path)).strip()
        for agent in others:
            copy = self._directory / f"{agent.name}.copy"
            agent.command("get", blob, "-o", str(copy))
            same = agent.command("id", str(copy)).strip() == expected
            screen.check(f"the copy of {agent.name} has the id of the original", same)
            copy.unlink()
        return swarm

    def _account(self, swarm: Swarm) -> None:
        screen, publisher = self._screen, self._agents[0]
        screen.heading("Who gave how much to whom (MB)")
        givers = [agent.node for agent in self._agents]
        rows = [[fetch.agent.name, *(_given(fetch, giver) for giver in givers)] for fetch in swarm.fetches]
        screen.table(["to \\ from", *(self._names[giver] for giver in givers)], rows)
        total = sum(sum(fetch.received.values()) for fetch in swarm.fetches)
        others = total - sum(fetch.received.get(publisher.node, 0) for fetch in swarm.fetches)
        share = others / total if total else 0.0
        what = f"at least {OTHERS_SHARE:.0%} of the bytes came from nodes that did not publish"
        screen.check(what, share >= OTHERS_SHARE, f"{share:.0%}")
        self._account_victim(swarm, swarm.victim.fetch)

    def _account_victim(self, swarm: Swarm, fetch: Fetch) -> None:
        victim, screen = swarm.victim, self._screen
        share = victim.killed_at / fetch.chunks
        screen.check(f"{fetch.agent.name} was killed (SIGKILL) at 40 to 60 %", 0.40 <= share <= 0.60, f"{share:.0%}")
        allowed = victim.missing + IN_FLIGHT_CHUNKS * CHUNK
        screen.check(
            "after its restart it fetched no more than what was missing or in flight", victim.refetched <= allowed,
            f"{victim.refetched / 1e6:.1f} MB of {victim.missing / 1e6:.1f} MB missing",
        )

    def _readings(self) -> None:
        screen, last = self._screen, self._agents[-1]
        screen.heading(f"Readings of every node, as {last.name} sees them")

        def complete() -> list[dict[str, Any]] | None:
            rows: list[dict[str, Any]] = last.ask("readings")["readings"]
            return rows if {row["node"] for row in rows if "value" in row} >= set(self._names) else None

        rows = wait_until("readings of all nodes", complete, READINGS_TIMEOUT)
        screen.table(("node", "series", "value", "unit", "age"), [_reading(row) for row in rows])
        screen.check("every node's readings are here", True, f"{len(rows)} series")

    def _mqtt(self) -> None:
        screen, subscriber = self._screen, self._subscriber
        assert subscriber is not None, "the broker was started first"
        screen.heading("What a dashboard sees on the MQTT broker")

        def complete() -> Mapping[str, bytes] | None:
            latest = subscriber.latest()
            states = [topic for topic in latest if not topic.endswith("/config")]
            told = all(any(node in topic for topic in states) for node in self._names)
            return latest if told and len(states) < len(latest) else None

        latest = wait_until("messages about all nodes", complete, MQTT_TIMEOUT)
        entities = {topic: payload for topic, payload in latest.items() if topic.endswith("/config") and payload}
        ids = [json.loads(payload)["unique_id"] for payload in entities.values()]
        screen.check("the elected bridge published the readings of every node", True, f"{subscriber.messages} messages")
        screen.check("Home Assistant would show each series once", len(ids) == len(set(ids)), f"{len(ids)} entities")
        examples = [topic for topic in sorted(latest) if not topic.endswith("/config")]
        for topic in examples[:: max(1, len(examples) // 8)][:8]:
            screen.say(f"  {self._named(topic)} = {latest[topic].decode(errors='replace')[:60]}")

    def _named(self, topic: str) -> str:
        for node, name in self._names.items():
            topic = topic.replace(node, f"{node[:6]}…({name})")
        return topic

    def _leave_up(self) -> None:
        screen, agent = self._screen, self._agents[-1]
        screen.heading("The mesh stays up")
        pids = [agent.process.pid for agent in self._agents if agent.process]
        for words in ("peers", "ls", "readings --follow"):
            screen.say(f"  {agent.call} {words}")
        screen.say(f"end it with: kill {' '.join(map(str, pids))} {self._broker.pid if self._broker else ''}")
        screen.say(f"and remove {self._directory}")

    def _clean_up(self) -> None:
        if self._subscriber is not None:
            self._subscriber.stop()
        for agent in self._agents:
            agent.stop()
        if self._broker is not None:
            self._broker.terminate()
            try:
                self._broker.wait(3.0)
            except subprocess.TimeoutExpired:
                self._broker.kill()
                self._broker.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


def _given(fetch: Fetch, giver: str) -> str:
    return "-" if giver == fetch.agent.node else f"{fetch.received.get(giver, 0) / 1e6:.1f}"


def _reading(row: Mapping[str, Any]) -> tuple[str, ...]:
    value = row.get("value", row.get("failure"))
    shown = f"{value:.5g}" if isinstance(value, float) else str(value)
    return (row["name"], row["series"], shown, row.get("unit", ""), f"{row['age']:.1f} s")
