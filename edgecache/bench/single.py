"""One source, one sink, loopback, TLS: MB/s, CPU seconds per GB, peak memory, beside a bare aiocoap control."""

from __future__ import annotations

import io
import json
import os
import pstats
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from edgecache.bench.measure import usage
from edgecache.bench.stage import pid_of, random_file, stage, warm
from edgecache.fleet.agents import Agent, free_port


def single(mib: int, runs: int, *, profile: bool) -> dict[str, Any]:
    """`runs` pairs of edgecache and control, taking turns."""
    ours: list[dict[str, float]] = []
    control: list[dict[str, float]] = []
    for _ in range(runs):
        with stage(2, {}) as (source, sink):
            path = source.directory / "content"
            random_file(path, mib)
            ours.append(_edgecache(source, sink, path))
            control.append(_control(source, sink, path))
    result: dict[str, Any] = {
        "mib": mib, "runs": runs, "edgecache": _medians(ours), "aiocoap": _medians(control),
        "speed_ratio": statistics.median(o["mb_s"] / c["mb_s"] for o, c in zip(ours, control, strict=True)),
        "cpu_ratio": statistics.median(
            o["cpu_s_per_gb"] / c["cpu_s_per_gb"] for o, c in zip(ours, control, strict=True)
        ),
    }
    if profile:
        result["profile"] = _profile(mib)
    return result


def _edgecache(source: Agent, sink: Agent, path: Path) -> dict[str, float]:
    blob = source.command("put", str(path)).strip()
    pids = pid_of(source), pid_of(sink)
    warm(sink.directory, path.stat().st_size)
    before = [usage(pid) for pid in pids]
    written = sink.ask("status")["store"]
    began = time.monotonic()
    sink.ask("get", blob=blob)
    seconds = time.monotonic() - began
    after = [usage(pid) for pid in pids]
    store = sink.ask("status")["store"]
    size = path.stat().st_size
    return {
        **_figures(size, seconds, sum(a.cpu - b.cpu for a, b in zip(after, before, strict=True))),
        "source_cpu_s_per_gb": (after[0].cpu - before[0].cpu) / size * 1e9,
        "sink_cpu_s_per_gb": (after[1].cpu - before[1].cpu) / size * 1e9,
        "source_rss_peak_mib": after[0].rss_peak / 2**20, "sink_rss_peak_mib": after[1].rss_peak / 2**20,
        "written_ratio": (store["written"] - written["written"]) / size,
        "fsyncs_per_8_mib": (store["fsyncs"] - written["fsyncs"]) / (size / 2**23),
    }


def _figures(size: int, seconds: float, cpu: float) -> dict[str, float]:
    return {"seconds": seconds, "mb_s": size / seconds / 1e6, "cpu_s_per_gb": cpu / size * 1e9}


def _control(source: Agent, sink: Agent, path: Path) -> dict[str, float]:
    port = free_port()
    module = [sys.executable, "-m", "edgecache.bench.control"]
    data = source.directory / "data", sink.directory / "data"
    size = path.stat().st_size

    def start(role: str, file: Path, home: Path, *extra: str) -> subprocess.Popen[str]:
        words = [*module, role, str(file), str(port), str(home / "node.crt"), str(home / "node.key"), *extra]
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    server = start("serve", path, data[0])
    warm(sink.directory, size)
    client: subprocess.Popen[str] | None = None
    try:
        assert server.stdout is not None, "it was asked for"
        server.stdout.readline()
        before = usage(server.pid).cpu
        client = start("fetch", sink.directory / "control.out", data[1], str(size))
        assert client.stdout is not None, "it was asked for"
        seconds = json.loads(client.stdout.readline())["seconds"]
        used, peak = usage(client.pid), usage(server.pid)
        return {
            **_figures(size, seconds, used.cpu + peak.cpu - before),
            "source_rss_peak_mib": peak.rss_peak / 2**20, "sink_rss_peak_mib": used.rss_peak / 2**20,
        }
    finally:
        for process in (server, client):
            if process is not None:
                process.kill()
                process.wait()


def _profile(mib: int) -> dict[str, list[str]]:
    """Where each end spends its time: functions by own time, of a run of its own under cProfile."""
    with stage(2, {}, wrappers={n: _profiler(n) for n in (0, 1)}) as (source, sink):
        path = source.directory / "content"
        random_file(path, mib)
        sink.ask("get", blob=source.command("put", str(path)).strip())
        for agent in (source, sink):
            agent.stop()
        return {role: _top(number) for number, role in enumerate(("source", "sink"))}


def _profile_file(number: int) -> Path:
    return Path(f"/tmp/edgecache-profile-{os.getpid()}-{number}")  # noqa: S108 - holds no secret, removed below


def _profiler(number: int) -> list[str]:
    return [sys.executable, "-m", "cProfile", "-o", str(_profile_file(number)), "-m", "edgecache"]


def _top(number: int, count: int = 15) -> list[str]:
    text = io.StringIO()
    pstats.Stats(str(_profile_file(number)), stream=text).strip_dirs().sort_stats("tottime").print_stats(count)
    _profile_file(number).unlink()
    lines = text.getvalue().splitlines()
    start = next(i for i, line in enumerate(lines) if line.lstrip().startswith("ncalls"))
    return [line.strip() for line in lines[start:] if line.strip()]


def _medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: round(statistics.median(row[key] for row in rows), 3) for key in rows[0]}
