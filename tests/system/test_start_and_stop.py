"""Starting where another agent is already, and stopping in the middle of work."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from edgecache.model.errors import ExitCode
from tests.lab.agents import PORT, Following, LabAgent, eventually, sample
from tests.lab.netlab import NetLab
from tests.system.conftest import Figure, MakeMesh

pytestmark = pytest.mark.system

STARTED = 15.0
STOPPED = 2.0
MIB = 1024 * 1024


def refusal(agent: LabAgent) -> str:
    """What an agent says that ends by itself because something is taken."""
    agent.start()
    assert agent.process is not None
    assert agent.process.wait(STARTED) == ExitCode.BUSY
    return "\n".join(agent.log())


def test_a_busy_port(make_mesh: MakeMesh) -> None:
    """The message names the port, who has it, and what to do; a port of 0 is what to do."""
    with NetLab(1) as lab:
        first, second = make_mesh(lab, [0, 0])
        first.start()
        first.up()
        assert first.process is not None

        said = refusal(second)
        assert f"port {PORT} is taken" in said
        assert f"(pid {first.process.pid})" in said
        assert "another port in the configuration (0 takes any free one)" in said
        assert "Traceback" not in said

        second.configure({"listen": {"port": 0}})
        second.start()
        second.up()
        eventually("both are linked", lambda: first.linked() and second.linked(), STARTED)


@pytest.mark.skipif(os.sched_getscheduler(0) != os.SCHED_OTHER, reason="the tests are run under another policy")
def test_it_does_not_interrupt_who_runs(make_mesh: MakeMesh) -> None:
    with NetLab(1) as lab:
        (agent,) = make_mesh(lab, [0])
        agent.start()
        agent.up()
        threads = [int(entry.name) for entry in Path(f"/proc/{agent.ask('status')['pid']}/task").iterdir()]
        assert {os.sched_getscheduler(thread) for thread in threads} == {os.SCHED_BATCH}


def test_a_busy_data_directory(make_mesh: MakeMesh) -> None:
    with NetLab(2) as lab:
        (agent,) = make_mesh(lab, [0])
        agent.start()
        agent.up()
        assert agent.process is not None
        twin = LabAgent(lab, 1, "twin", agent.directory)

        said = refusal(twin)
        assert f"is in use by process {agent.process.pid}" in said
        assert "its own data directory" in said
        assert "Traceback" not in said
        assert agent.ask("status")["node"] == agent.node, "the first one is not disturbed"


def test_stopping_in_the_middle_of_work(make_mesh: MakeMesh, tmp_path: Path, figure: Figure) -> None:
    """Linked, sending to one and fetching from the other: gone within two seconds, and nothing of it is lost."""
    content = sample(4, 16 * MIB)
    with NetLab(3, up_mbit=100) as lab:
        mesh = make_mesh(lab, range(3), limits={"upload": "20Mbit/s"})
        mesh.start()
        mesh.meet()
        path = tmp_path / "content"
        path.write_bytes(content)
        publisher, middle, last = mesh
        blob = publisher.put(path)
        gets = [Following(agent, blob) for agent in (middle, last)]
        eventually("both have some of it", lambda: all(get.have > 4 for get in gets), 20.0)

        assert middle.process is not None
        began = time.monotonic()
        middle.process.send_signal(signal.SIGTERM)
        assert middle.process.wait(2 * STOPPED) == 0
        seconds = time.monotonic() - began
        figure("stopped", f"{seconds:.2f} s after SIGTERM")
        assert seconds < STOPPED

        middle.start()
        middle.up()
        here = middle.blobs()[blob]
        assert here["have"] >= gets[0].have, "what it had reported it still has"
        assert here["wanted"], "it goes on by itself"
