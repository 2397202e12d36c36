"""kill -9 of any agent at random moments of put and get: what was acknowledged stays, what is served is right."""

from __future__ import annotations

import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator

import pytest

from edgecache.adapters.control.client import ControlClient
from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import EdgecacheError
from tests.lab.agents import Following, LabAgent, Mesh, sample, sha256
from tests.lab.netlab import NetLab
from tests.system.conftest import Figure, MakeMesh

pytestmark = pytest.mark.system

SEED = 2
RATE = "24Mbit/s"
BYTES_PER_SECOND = 3e6
SIZES = (1_500_000, 5_000_000)
PUT_SECONDS = 0.06
FINISHED = 45.0
"""A get whose only source was killed notices, and finds it again."""


class Putting(threading.Thread):
    """A `put` of an agent; `blob` is set when it was acknowledged."""

    def __init__(self, agent: LabAgent, content: bytes) -> None:
        super().__init__(daemon=True, name=f"put at {agent.name}")
        self.agent, self.content, self.blob = agent, content, ""
        self.start()

    def run(self) -> None:
        try:
            with ControlClient(self.agent.socket) as client:
                client.request("put", name="killed", pin=True, size=len(self.content))
                client.send_content(self._parts())
                (reply,) = client.replies()
                self.blob = reply["blob"]
        except (EdgecacheError, OSError):
            return

    def _parts(self) -> Iterator[bytes]:
        for begin in range(0, len(self.content), CHUNK_BYTES):
            yield self.content[begin : begin + CHUNK_BYTES]


class Story:
    """Rounds of put or get with a kill in the middle."""

    def __init__(self, mesh: Mesh, seed: int) -> None:
        self.mesh, self.rng = mesh, random.Random(seed)
        self.acknowledged: dict[LabAgent, dict[str, bytes]] = defaultdict(dict)
        self.tally: dict[str, int] = defaultdict(int)

    def round(self, number: int) -> None:
        """One operation at one agent, and one agent, perhaps another one, killed meanwhile."""
        actor, other, third = self.rng.sample(self.mesh.agents, 3)
        victim = other if number % 3 == 2 else actor
        content = sample(1000 + number, self.rng.randint(*SIZES))
        if number % 3 == 0:
            self.put(actor, third, content)
        else:
            self.get(actor, other, victim, content)
        self.check(victim)

    def check(self, agent: LabAgent) -> None:
        """What it has acknowledged it has, and it is right."""
        for blob, expected in self.acknowledged[agent].items():
            assert agent.blobs()[blob]["complete"], f"{agent.name} has lost {blob}"
            assert agent.content(blob) == expected

    def kill(self, victim: LabAgent, within: float) -> None:
        """SIGKILL at a random moment."""
        time.sleep(self.rng.uniform(0, within))
        victim.kill()

    def put(self, actor: LabAgent, reader: LabAgent, content: bytes) -> None:
        putting = Putting(actor, content)
        self.kill(actor, PUT_SECONDS)
        putting.join(10)
        self.tally["puts acknowledged" if putting.blob else "puts not acknowledged"] += 1
        if putting.blob:
            self.acknowledged[actor][putting.blob] = content
        actor.start()
        actor.up()
        drafts = actor.directory / "data" / "store" / "drafts"
        assert not list(drafts.iterdir()), "a put that was killed leaves nothing"
        for blob, row in actor.blobs().items():
            if row["sha256"] == sha256(content):
                assert row["complete"], "a put is whole or not there"
                assert reader.content(blob) == content, "what it offers is right"

    def get(self, actor: LabAgent, holder: LabAgent, victim: LabAgent, content: bytes) -> None:
        putting = Putting(holder, content)
        putting.join(10)
        blob = putting.blob
        self.acknowledged[holder][blob] = content

        getting = Following(actor, blob)
        self.kill(victim, 0.9 * len(content) / BYTES_PER_SECOND)
        if victim is actor:
            getting.join(10)
            stored = actor.on_disk(blob, content)
            assert len(stored) >= getting.have, "what was reported was written"
            self.tally["chunks before the kill"] += len(stored)
        victim.start()
        victim.up()
        if victim is actor and not getting.reply:
            getting = Following(actor, blob)
        getting.done(FINISHED)
        assert actor.content(blob) == content
        self.acknowledged[actor][blob] = content
        if victim is actor:
            missing = sum(
                len(content[index * CHUNK_BYTES : (index + 1) * CHUNK_BYTES])
                for index in set(range(-(-len(content) // CHUNK_BYTES))) - stored
            )
            fetched = sum(actor.ask("status")["fetched"].values())
            assert fetched == missing, f"{fetched} bytes were fetched again, {missing} were missing"
            self.tally["chunks after the kill"] += -(-missing // CHUNK_BYTES)


@pytest.mark.parametrize(
    "rounds", [6, pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(900)])]
)
def test_kill_nine(make_mesh: MakeMesh, figure: Figure, rounds: int) -> None:
    with NetLab(3) as lab:
        mesh = make_mesh(lab, range(3), limits={"download": RATE})
        mesh.start()
        mesh.meet()
        story = Story(mesh, SEED)
        for number in range(rounds):
            story.round(number)
        for agent in mesh:
            story.check(agent)
        figure("tally", str(dict(story.tally)))
