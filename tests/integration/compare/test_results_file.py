"""The section of the results file, and the pictures beside it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.compare import plots
from tests.compare.report import BEGIN, END, replaced, rewrite, swarm_groups
from tests.unit.compare.sample import rows


def test_only_the_section_is_rewritten(tmp_path: Path) -> None:
    results = tmp_path / "RESULTS.md"
    results.write_text("# Results\n\nby hand\n")
    rewrite(results, rows())
    once = results.read_text()
    assert once.startswith("# Results\n\nby hand\n")
    assert once.count(BEGIN) == once.count(END) == 1
    results.write_text(once + "\nmore by hand\n")
    rewrite(results, rows()[3:])
    again = results.read_text()
    assert again.startswith("# Results\n\nby hand\n")
    assert again.endswith("\nmore by hand\n")
    assert "s1:" in once
    assert "s1:" not in again
    with pytest.raises(ValueError, match="without"):
        replaced(BEGIN, "section")


def test_plots_are_small(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    groups = swarm_groups(rows())
    pictures, note = plots.draw(tmp_path / "results", groups)
    assert not note
    (name,) = pictures.values()
    picture = (tmp_path / name).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 60_000


def test_without_matplotlib_there_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert plots.draw(tmp_path, swarm_groups(rows())) == ({}, plots.WITHOUT)
