"""Programs that are followed, files that are checked, a torrent; and small races of real contestants."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compare.catalogue import SINGLE, SWARM, able, needs
from tests.compare.entrant import Check
from tests.compare.entrants.torrents import bencoded, torrent_of
from tests.compare.ground import make_content, sha256_of
from tests.compare.process import Failed, Program, wait_for
from tests.compare.scenario import MIB, varied
from tests.compare.single import single
from tests.compare.swarm import swarm


def test_torrent(tmp_path: Path) -> None:
    assert bencoded({"b": 3, "a": "x", "c": {"d": b""}}) == b"d1:a1:x1:bi3e1:cd1:d0:ee"
    content = make_content(tmp_path / "source" / "blob", 300_000)
    assert sha256_of(content.path) == content.sha256
    data = content.path.read_bytes()
    pieces = b"".join(hashlib.sha1(part).digest() for part in (data[:262144], data[262144:]))
    torrent = torrent_of(content.path, "http://10.77.0.1:6969/announce")
    assert torrent.startswith(b"d8:announce30:http://10.77.0.1:6969/announce4:infod6:lengthi300000e4:name4:blob")
    assert torrent.endswith(b"12:piece lengthi262144e6:pieces40:" + pieces + b"ee")


def test_a_check_knows_a_wrong_file(tmp_path: Path) -> None:
    path = tmp_path / "copy"
    path.write_bytes(b"right")
    for digest, right in ((hashlib.sha256(b"right").hexdigest(), True), (hashlib.sha256(b"wrong").hexdigest(), False)):
        check = Check(path, digest)
        check.join(10)
        assert check.right is right


def test_a_program_is_followed() -> None:
    code = "import sys; print('READY', flush=True); print('DONE', sys.stdin.readline().strip(), sum(range(10**6)))"
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    program = Program(process)
    program.line("READY", 10)
    program.sample()
    assert program.rss_peak >= program.rss > MIB
    assert program.said("DONE") is None
    program.tell("GO")
    assert program.line("DONE", 10) == "GO 499999500000"
    wait_for("it ends", lambda: program.ended() == 0, 10)
    assert program.cpu > 0
    with pytest.raises(Failed, match="does not say MORE"):
        program.line("MORE", 5)


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.parametrize("name", SWARM)
def test_a_small_swarm(name: str) -> None:
    if able(needs(SWARM), [name], sys.executable)[1]:
        pytest.skip(f"{name} is not installed")
    scenario = varied("s2", nodes=4, mib=2, slow_mbit=20)
    row = swarm(name, scenario, limit=30, peers_python=sys.executable)
    assert row.error is None
    assert row.killed_at_s is not None
    assert row.fast_s is not None
    assert row.fast_s > 0.9 * row.bound_s
    assert row.slow_s is not None
    assert row.seed_copies is not None
    assert row.seed_copies >= 1
    assert all(node.received >= scenario.size for node in row.nodes if node.finished_s is not None)
    assert sum(node.cpu_s for node in row.nodes) > 0
    assert all(node.rss_peak > MIB for node in row.nodes)


@pytest.mark.slow
@pytest.mark.system
@pytest.mark.parametrize("name", SINGLE)
def test_a_small_file(name: str) -> None:
    if able(needs(SINGLE), [name], sys.executable)[1]:
        pytest.skip(f"{name} is not installed")
    row = single(name, 8, limit=30, peers_python=sys.executable)
    assert row.error is None
    assert row.mb_s is not None
    assert row.mb_s > 1
