"""One seed is one run, whatever the hash seed of the process: 200 devices, twice, side by side."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

DEVICES = 200
CPU_SECONDS = 60.0

RUN = """
import resource, sys
from edgecache.sim.__main__ import main
code = main(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
sys.stderr.write(f"{used.ru_utime + used.ru_stime}")
raise SystemExit(code)
"""


def start(hash_seed: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", RUN, "fleet", "--devices", str(DEVICES), "--seed", "1", "--json"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[dict[str, Any], float]:
    shown, told = process.communicate(timeout=300)
    assert process.returncode == 0, told
    report: dict[str, Any] = json.loads(shown)
    return report, float(told)


@pytest.mark.timeout(320)
def test_two_hundred_devices_twice() -> None:
    running = [start(hash_seed) for hash_seed in ("1", "31337")]
    (first, seconds), (second, _) = [finish(process) for process in running]
    assert first["digest"] == second["digest"]
    assert first == second
    assert first["live"] == DEVICES * 9 // 10
    assert first["wishes"] >= first["live"] - 1, "everybody that lives has the blob"
    assert first["publisher_share"] < 0.1
    assert seconds < CPU_SECONDS
