"""The layers: import-linter's contracts hold, and would be missed if they did not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.sources import ROOT

LINT = Path(sys.executable).with_name("lint-imports")


def lint(root: Path) -> subprocess.CompletedProcess[str]:
    command, paths = [sys.executable, str(LINT), "--no-cache"], {"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"}
    return subprocess.run(command, cwd=root, env=paths, capture_output=True, text=True, timeout=100, check=False)


def test_contracts_are_kept() -> None:
    result = lint(ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("file", "line", "contract"),
    [
        ("core/node.py", "import time", "Pure layers"),
        ("wire/limits.py", "import edgecache.core.node", "Layers point down"),
        ("core/membership/planted.py", "import edgecache.core.state", "Core machines do not know each other"),
        ("sim/planted.py", "import socket", "The simulator never reaches the world"),
    ],
)
def test_a_planted_import_breaks_its_contract(tmp_path: Path, file: str, line: str, contract: str) -> None:
    shutil.copytree(ROOT / "edgecache", tmp_path / "edgecache", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = tmp_path / "edgecache" / file
    text = planted.read_text() if planted.exists() else '"""Planted."""\nfrom __future__ import annotations\n'
    planted.write_text(text.replace("import annotations\n", f"import annotations\n{line}\n", 1))
    result = lint(tmp_path)
    assert result.returncode != 0
    assert any(contract in row and "BROKEN" in row for row in result.stdout.splitlines()), result.stdout
