"""libcoap's client on another host: what there is, a reading of any node, its changes, a whole blob."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.lab.agents import eventually, sample
from tests.lab.netlab import NetLab
from tests.lab.tools import require_tool
from tests.system.conftest import MakeMesh

pytestmark = pytest.mark.system

CLIENT = "coap-client-notls"
CLIENT_HOST = 2
OBSERVED = 3
KNOWN = 10.0


class Leaf:
    """A constrained device that speaks plain CoAP. The client's exit code is 0 even on errors: only output counts."""

    def __init__(self, lab: NetLab, server: int, directory: Path) -> None:
        self._lab, self._directory = lab, directory
        self._command = [str(require_tool(CLIENT)), "-m", "get"]
        self._base = f"coap://{lab.address(server)}"

    def get(self, path: str, *options: str) -> bytes:
        """The body."""
        target = self._directory / "body"
        target.unlink(missing_ok=True)
        done = self._lab.run(CLIENT_HOST, [*self._command, *options, "-o", str(target), self._base + path])
        assert target.exists(), f"{path}: {done.stdout} {done.stderr}"
        return target.read_bytes()

    def observe(self, path: str, seconds: int) -> subprocess.Popen[str]:
        """A client that prints each notification on a line of its own, and ends after so long."""
        command = [*self._command, "-s", str(seconds), "-w", self._base + path]
        return self._lab.popen(CLIENT_HOST, command, stdout=subprocess.PIPE, text=True)


def test_libcoap(make_mesh: MakeMesh, tmp_path: Path) -> None:
    """It asks one node for what another measures."""
    thermometer, content = tmp_path / "millidegrees", sample(21, 1_000_000)
    thermometer.write_text("21500\n")
    source = {"type": "file", "series": "attic_temperature", "path": str(thermometer), "unit": "Cel", "scale": 0.001}
    with NetLab(3) as lab:
        mesh = make_mesh(lab, range(2))
        asked, measuring = mesh
        asked.configure({"coap": {"enabled": True}})
        measuring.configure({"readings": {"interval": "200ms", "sources": [source]}})
        mesh.start()
        mesh.meet()
        (tmp_path / "content").write_bytes(content)
        blob = asked.put(tmp_path / "content")
        eventually("the reading is known", lambda: asked.ask("readings")["readings"], KNOWN)
        leaf = Leaf(lab, asked.host, tmp_path)
        reading = f"/reading/{measuring.node}/attic_temperature"

        listed = leaf.get("/.well-known/core").decode()
        assert f'<{reading}>;rt="edgecache.reading";ct="110 112";obs' in listed
        assert f'</blob/{blob}>;rt="edgecache.blob";ct=42;sz=1000000' in listed

        (record,) = json.loads(leaf.get(reading))
        assert (record["n"], record["u"], record["v"]) == ("attic_temperature", "Cel", 21.5)
        assert measuring.node in record["bn"]

        watching = leaf.observe(reading, OBSERVED)
        assert watching.stdout is not None
        seen = [json.loads(watching.stdout.readline())[0]["v"]]
        thermometer.write_text("30250\n")
        seen += [json.loads(line)[0]["v"] for line in watching.stdout if line.strip()]
        assert seen[0] == 21.5
        assert seen[-1] == 30.25

        assert leaf.get(f"/blob/{blob}") == content
        assert leaf.get(f"/blob/{blob}", "-b", "512") == content
