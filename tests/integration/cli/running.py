"""The command line, in this process and as a real one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from edgecache.cli.main import main

ROOT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Outcome:
    """What a command left."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, which must be one JSON document."""
        return json.loads(self.out)

    @property
    def json_error(self) -> Any:
        """Standard error, which must be one JSON document."""
        return json.loads(self.err)


def edgecache(*words: str | Path, given: bytes | None = None, env: Mapping[str, str | None] | None = None) -> Outcome:
    """Run in this process."""
    result = CliRunner(env=env).invoke(main, [str(word) for word in words], input=given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


def process(*words: str | Path, **extra: Any) -> subprocess.Popen[bytes]:
    """Start as a user would."""
    command = [sys.executable, "-m", "edgecache", *map(str, words)]
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environ, stdin=pipe, stdout=pipe, stderr=pipe, **extra)


def ended(*words: str | Path) -> Outcome:
    """Run as a user would, to the end."""
    with process(*words) as child:
        out, err = child.communicate(timeout=60)
    return Outcome(child.returncode, out.decode(), err.decode())
