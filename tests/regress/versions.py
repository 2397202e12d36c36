"""The version to compare with: found, written to a directory, and measured there."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

from tests.regress.comparison import Figures

ROOT = Path(__file__).resolve().parents[2]
MEASURE = Path(__file__).with_name("measure.py")
BASE_VARIABLE = "EDGECACHE_BASE"
"""Names the commit to compare with; `none` for no comparison."""

MEASURE_TIMEOUT = 1800.0


class NoBase(Exception):
    """There is nothing to compare with; says why."""


def _git(*words: str) -> bytes:
    """Reads from the repository; raises NoBase when there is none, or no such commit."""
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, timeout=60, check=False)
    except OSError as error:
        raise NoBase(f"git cannot be run: {error}") from error
    if done.returncode:
        raise NoBase(f"git {' '.join(words)}: {done.stderr.decode(errors='replace').strip() or 'no'}")
    return done.stdout


def default_base() -> str:
    """What EDGECACHE_BASE names; else the last commit if the tree differs from it, else the one before."""
    named = os.environ.get(BASE_VARIABLE, "")
    if named == "none":
        raise NoBase(f"{BASE_VARIABLE} is none")
    if named:
        return named
    return "HEAD" if _git("status", "--porcelain", "--", "edgecache").strip() else "HEAD~1"


def check_out(base: str, directory: Path) -> str:
    """Write the package of that commit to `directory`; the commit's id."""
    commit = _git("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}").decode().strip()
    with tarfile.open(fileobj=io.BytesIO(_git("archive", "--format=tar", commit, "edgecache"))) as archive:
        archive.extractall(directory, filter="data")
    return commit


def measured(tree: Path, form: str) -> Figures:
    """The figures of the version in `tree`; raises NoBase for one that is too old."""
    if not (tree / "edgecache" / "sim" / "contest.py").exists():
        raise NoBase("that version has no edgecache.sim.contest: it is too old to be compared")
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONHASHSEED": "0"}
    done = subprocess.run(
        [sys.executable, str(MEASURE), form], capture_output=True, text=True, cwd=tree, env=environment,
        timeout=MEASURE_TIMEOUT, check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{MEASURE.name} in {tree}: {done.stderr.strip()}")
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found
