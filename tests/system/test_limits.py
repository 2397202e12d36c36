"""Rates, shares and quiet hours of real agents, counted at their interfaces; and a swarm that gives way to iperf3."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest

from tests.lab.agents import Following, LabAgent, Mesh, eventually, sample
from tests.lab.netlab import NetLab
from tests.lab.tools import require_tool
from tests.system.conftest import Figure, MakeMesh

pytestmark = pytest.mark.system

MIB = 1024 * 1024


def published(agents: list[LabAgent], directory: Path, seed: int, size: int) -> str:
    """All of these agents have the same blob; its id."""
    path = directory / f"content-{seed}"
    path.write_bytes(sample(seed, size))
    (blob,) = {agent.put(path) for agent in agents}
    return blob


class Meter:
    """What crosses the cable of one node, sampled."""

    def __init__(self, lab: NetLab, node: int, *, up: bool) -> None:
        self._lab, self._node, self._up = lab, node, up

    def total(self) -> int:
        """Bytes so far, headers included."""
        counted = self._lab.counters(self._node)
        return counted.sent_bytes if self._up else counted.received_bytes

    def rates(self, seconds: float, window: float) -> list[float]:
        """Mbit/s in every window of this length, over so many seconds."""
        samples: list[tuple[float, int]] = []
        began = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            samples.append((now, self.total()))
            time.sleep(0.05)
        found = []
        for at, count in samples:
            later = next(((end, total) for end, total in samples if end - at >= window), None)
            if later is not None:
                found.append((later[1] - count) * 8e-6 / (later[0] - at))
        return found


@pytest.mark.parametrize(
    ("direction", "mbit", "blobs"),
    [
        ("upload", 20.0, 1),
        pytest.param("download", 20.0, 2, marks=pytest.mark.slow),
        pytest.param("upload", 2.0, 3, marks=pytest.mark.slow),
        pytest.param("download", 2.0, 3, marks=pytest.mark.slow),
    ],
)
def test_a_rate_is_kept_on_the_wire(
    make_mesh: MakeMesh, tmp_path: Path, figure: Figure, direction: str, mbit: float, blobs: int
) -> None:
    up = direction == "upload"
    with NetLab(3, up_mbit=200, down_mbit=200) as lab:
        mesh = make_mesh(lab, range(3))
        one, *others = mesh
        one.configure({"limits": {direction: f"{mbit:g}Mbit/s"}})
        mesh.start()
        mesh.meet()
        sources, askers = ([one], others[:1]) if up else (others, [one])
        ids = [published(sources, tmp_path, seed, int(mbit * 3) * MIB) for seed in range(blobs)]
        gets = [Following(asker, blob) for asker in askers for blob in ids]
        time.sleep(1.0)
        window = 2.0 if mbit > 10 else 4.0
        rates = Meter(lab, 0, up=up).rates(2 * window, window)
        assert all(get.is_alive() for get in gets), "they had to last"
        figure(f"{direction} at {mbit:g} Mbit/s", f"{min(rates):.2f} to {max(rates):.2f} in any {window:g} s")
        assert 0.95 * mbit <= min(rates)
        assert max(rates) <= 1.05 * mbit


@pytest.mark.slow
def test_a_giver_gets_more_and_a_free_rider_the_remainder(make_mesh: MakeMesh, tmp_path: Path, figure: Figure) -> None:
    with NetLab(4) as lab:
        mesh = make_mesh(lab, range(4))
        server, giver, newcomer, rider = mesh
        server.configure({"limits": {"upload": "80Mbit/s"}})
        mesh.start()
        mesh.meet()
        Following(server, published([giver], tmp_path, 1, 192 * MIB)).done(60.0)
        Following(rider, published([server], tmp_path, 7, 128 * MIB)).done(60.0)
        # Each asks for a blob that nobody else asks for, so that what they get comes from the server alone.
        own = [published([server], tmp_path, 2 + number, 96 * MIB) for number in range(3)]
        gets = [Following(agent, blob) for agent, blob in zip((giver, newcomer, rider), own, strict=True)]
        # The rider has three fetches under way, the others one.
        more = [Following(rider, published([server], tmp_path, 8 + number, 32 * MIB)) for number in range(2)]
        time.sleep(1.0)
        before = {agent.name: server.ask("status")["served"].get(agent.node, 0) for agent in mesh}
        time.sleep(6.0)
        status = server.ask("status")["served"]
        got = {agent.name: status.get(agent.node, 0) - before[agent.name] for agent in (giver, newcomer, rider)}
        assert all(get.is_alive() for get in (*gets, *more))
        weights = {row["node"]: row["weight"] for row in server.ask("peers")["peers"]}
        ideal = {agent.name: weights[agent.node] for agent in (giver, newcomer, rider)}
        total, sum_of = sum(got.values()), sum(ideal.values())
        shares = {name: count / total for name, count in got.items()}
        figure("shares", ", ".join(f"{name} {share:.0%} (weight {ideal[name]:.2f})" for name, share in shares.items()))
        for name, share in shares.items():
            assert share == pytest.approx(ideal[name] / sum_of, abs=0.08)


def iperf(lab: NetLab, sender: int, receiver: int, seconds: int) -> list[float]:
    """Mbit/s that arrived, second by second."""
    server = lab.popen(receiver, ["iperf3", "-s", "-1"], stdout=subprocess.DEVNULL)
    eventually("iperf3 listens", lambda: ":5201" in lab.run(receiver, ["ss", "-ltn"]).stdout, 5.0)
    command = ["iperf3", "-c", lab.address(sender), "-t", str(seconds), "-J"]
    done = lab.run(sender, [*command[:2], lab.address(receiver), *command[3:]], timeout=seconds + 20)
    server.wait(10.0)
    return [part["sum"]["bits_per_second"] / 1e6 for part in json.loads(done.stdout)["intervals"]]


class Shared:
    """A link with a full-sized queue that an agent shares with iperf3: its own downlink, or that of whom it serves."""

    def __init__(self, lab: NetLab, mesh: Mesh, tmp_path: Path, *, up: bool) -> None:
        us, peer = mesh
        self.lab, self.receiver = lab, 1 if up else 0
        source, asker = (us, peer) if up else (peer, us)
        self.blob = published([source], tmp_path, 1, 160 * MIB)
        self.asker = asker

    def ours(self, seconds: float) -> float:
        """Mbit/s on the link while only we use it."""
        (rate, *_) = Meter(self.lab, self.receiver, up=False).rates(seconds + 0.5, seconds)
        return rate


@pytest.mark.slow
@pytest.mark.parametrize("up", [True, False], ids=["upload", "download"])
@pytest.mark.parametrize(("mbit", "queue"), [(20.0, 100.0), (20.0, 50.0), (50.0, 200.0)])
def test_a_background_swarm_gives_way(
    make_mesh: MakeMesh, tmp_path: Path, figure: Figure, up: bool, mbit: float, queue: float
) -> None:
    require_tool("iperf3")
    with NetLab(3, down_mbit=mbit, queue_ms=queue) as lab:
        for node in range(3):
            if node != (1 if up else 0):
                lab.shape(node, down_mbit=0)
        mesh = make_mesh(lab, range(2))
        mesh[0].configure({"limits": {"background": True}})
        mesh.start()
        mesh.meet()
        shared = Shared(lab, mesh, tmp_path, up=up)
        alone = iperf(lab, 2, shared.receiver, 4)
        get = Following(shared.asker, shared.blob)
        time.sleep(6.0)
        idle = shared.ours(5.0)
        beside = iperf(lab, 2, shared.receiver, 16)
        time.sleep(6.0)
        again = shared.ours(3.0)
        assert get.is_alive(), "it had to last"
        kept = (sum(beside) / len(beside)) / (sum(alone[1:]) / len(alone[1:]))
        steady = (sum(beside[4:]) / len(beside[4:])) / (sum(alone[1:]) / len(alone[1:]))
        name = f"{'up' if up else 'down'} {mbit:g} Mbit/s, queue {queue:g} ms"
        figure(f"{name}: iperf3 keeps", f"{kept:.0%}, {steady:.0%} after 4 s")
        figure("we use when it is idle", f"{idle / mbit:.0%}, {again / mbit:.0%} 6 s after it ended")
        assert kept >= 0.85
        assert steady >= 0.9
        assert idle >= 0.75 * mbit
