"""What is in deploy/: systemd takes the unit and finds it tight, and the container's files agree with each other."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from edgecache.model.errors import ExitCode
from tests.architecture.sources import ROOT
from tests.lab.tools import require_tool

DEPLOY = ROOT / "deploy"
DROP_INS = sorted((DEPLOY / "drop-ins").glob("*.conf"))
PROGRAM = "/opt/edgecache/bin/edgecache"
EXPOSURE = 20
"""Tenths, as systemd-analyze(1) counts: 1.3 without drop-ins when this was written; 10 is no protection at all."""


def unit(folder: Path, *drop_ins: Path) -> Path:
    """The unit as it would be installed, with a program that this machine has."""
    target = folder / "edgecache.service"
    text = (DEPLOY / "edgecache.service").read_text()
    assert PROGRAM in text
    target.write_text(text.replace(PROGRAM, "/bin/true"))
    for path in drop_ins:
        place = folder / "edgecache.service.d" / path.name
        place.parent.mkdir(exist_ok=True)
        place.write_text(path.read_text())
    return target


def analyse(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [require_tool("systemd-analyze"), *words], capture_output=True, text=True, timeout=30, check=False
    )


def complaints(path: Path) -> list[str]:
    done = analyse("verify", "--man=no", "--recursive-errors=no", path)
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "edgecache" in line]
    return lines or ([f"exit code {done.returncode}: {done.stderr}"] if done.returncode else [])


@pytest.mark.parametrize("drop_ins", [(), *[(one,) for one in DROP_INS], DROP_INS], ids=len)
def test_systemd_takes_the_unit_and_finds_it_tight(tmp_path: Path, drop_ins: list[Path]) -> None:
    path = unit(tmp_path, *drop_ins)
    assert not complaints(path)
    done = analyse("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", path)
    assert done.returncode == 0, done.stdout[-300:]


def test_a_misspelt_setting_and_a_lost_protection_are_noticed(tmp_path: Path) -> None:
    path = unit(tmp_path)
    text = path.read_text()
    path.write_text(text.replace("ProtectHome=", "ProtectHouse="))
    assert complaints(path)
    path.write_text(re.sub(r"(?m)^(CapabilityBoundingSet|SystemCallFilter|Protect|Restrict[A-Z]).*\n", "", text))
    assert analyse("security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}", path).returncode


def test_the_agent_is_started_again_unless_that_cannot_help() -> None:
    text = (DEPLOY / "edgecache.service").read_text()
    (line,) = re.findall(r"^RestartPreventExitStatus=(.*)$", text, re.MULTILINE)
    assert {ExitCode(int(code)) for code in line.split()} == {
        ExitCode.USAGE, ExitCode.CONFIG, ExitCode.NOT_FOUND, ExitCode.STORE_CORRUPT, ExitCode.DENIED,
        ExitCode.NEWER_DATA,
    }  # fmt: skip


def test_the_container_is_built_from_what_is_there_and_finds_what_is_mounted() -> None:
    recipe = (DEPLOY / "Dockerfile").read_text()
    for sources in re.findall(r"^COPY (.+) \S+$", recipe, re.MULTILINE):
        assert all((ROOT / source).exists() for source in sources.split())
    environment = dict(re.findall(r"(EDGECACHE_CONFIG|XDG_DATA_HOME)=(\S+)", recipe))
    service = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["edgecache"]
    assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).exists()
    assert service["network_mode"] == "host"
    mounted = {volume.partition(":")[2] for volume in service["volumes"]}
    assert mounted == {str(Path(environment["EDGECACHE_CONFIG"]).parent), environment["XDG_DATA_HOME"] + "/edgecache"}
