"""The comparison's own parts: bounds, rows, tables, plots, who takes part."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.compare import plots
from tests.compare.__main__ import parser
from tests.compare.catalogue import SWARM, able, needs
from tests.compare.report import markdown, median_text, swarm_groups, swarm_title
from tests.compare.rows import SwarmRow, append, load, parse
from tests.compare.scenario import SCENARIOS, fluid_bound, varied
from tests.unit.compare.sample import rows, swarm_row


def test_bounds() -> None:
    assert fluid_bound(10**6, 8, 80, 7, 800) == pytest.approx(1.0), "the seed's uplink"
    assert fluid_bound(10**6, 80, 4, 7, 800) == pytest.approx(2.0), "the slowest downlink"
    assert fluid_bound(10**6, 80, 80, 7, 16) == pytest.approx(3.5), "all uplinks together"
    assert SCENARIOS["s1"].bound() == pytest.approx(5.369, abs=0.001)
    s2 = SCENARIOS["s2"]
    assert s2.bound() == pytest.approx(5.369, abs=0.001), "for the fast ones"
    assert s2.slow_bound() == pytest.approx(53.69, abs=0.01)
    assert s2.fast == [3, 4, 5, 6, 7]


def test_scenarios_with_other_numbers() -> None:
    changed = varied("s3", mbit=20, nodes=4, loss_percent=None, congestion="bbr")
    assert (changed.mbit, changed.nodes, changed.loss_percent, changed.congestion) == (20, 4, 2, "bbr")
    with pytest.raises(ValueError, match="host 2"):
        varied("s2", nodes=2)
    with pytest.raises(ValueError, match="two hosts"):
        varied("s1", nodes=1)


def test_rows_survive_their_file(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    for row in rows():
        append(path, row)
    assert [asdict(row) for row in load([path])] == [asdict(row) for row in rows()]
    assert parse('{"kind": "idle", "contestant": "x", "seconds": 1, "core_percent": 50}').slow_wires, "as it was then"
    for junk in ("{}", "nonsense", '{"kind": "swarm", "nodes": []}', '{"kind": "idle", "colour": 1}'):
        with pytest.raises(ValueError, match="not a row"):
            parse(junk)


def test_median_text() -> None:
    assert median_text([3.0, None, 1.0, 2.0], 1) == "2.0 (1.0-3.0)"
    assert median_text([1.26], 1) == "1.3"
    assert median_text([None], 1) == "-"


def test_tables() -> None:
    text = markdown(rows())
    times, copies, used = "6.70 (6.40-7.00) | 1.25", "2.00 (2.00-2.00) | 2.00 (2.00-2.00)", "3.5 (3.5-3.5) | 70 (70-70)"
    assert f"| edgecache | {times} | {copies} | {used} | 2 |" in text
    assert "| edgecache | 268 | 5.5 | 50 | 60 | 1 |" in text
    assert "| edgecache | 400 | 900 | 2000 | 5000 | 1 |" in text
    assert "| edgecache | 52.0 | 0.12 | 1 |" in text


def test_what_went_wrong_is_shown() -> None:
    broken = swarm_row("other", [9.0])
    broken.error, broken.fast_s = "Failed: it did not start", None
    assert "| 2, 1 of them not finished |" in markdown([swarm_row("other", [8.0]), broken])
    assert "did not start" in broken.line()


def test_rows_of_other_settings_have_their_own_table() -> None:
    slow_core = swarm_row("edgecache", [20.0])
    slow_core.core_percent = 50
    groups = swarm_groups([*rows(), swarm_row("edgecache", [14.0], varied("s1", mbit=20)), slow_core])
    assert len(groups) == 3
    assert any(title.endswith("the contestants held to 50 % of one core") for title in groups)
    slow_core.slow_wires = True
    assert "the harness and its network held to" in next(iter(swarm_groups([slow_core])))
    titles = {swarm_title(asdict(scenario)) for scenario in SCENARIOS.values()}
    assert len(titles) == 3


def test_what_is_plotted() -> None:
    own = [row for row in rows() if isinstance(row, SwarmRow) and row.contestant == "edgecache"]
    assert plots.finish_times(own) == pytest.approx([6.0, 6.35, 6.7])
    assert plots.uploads(own) == [64, 16, 16, 16]


def test_who_takes_part() -> None:
    names, left_out = able(needs(SWARM), ["edgecache", "libtorrent-tcp"], "/nowhere/python")
    assert names == ["edgecache"]
    assert left_out == ["libtorrent-tcp left out: /nowhere/python has no libtorrent"]
    with pytest.raises(ValueError, match="no contestant 'eMule'"):
        able(needs(SWARM), ["eMule"], sys.executable)


def test_command_line() -> None:
    words = ["swarm", "--scenario", "s1", "--contestant", "edgecache", "--slow-core", "--runs", "1"]
    given = parser().parse_args(words)
    assert (given.scenario, given.contestant, given.slow_core, given.runs) == (["s1"], ["edgecache"], 50.0, 1)
    with pytest.raises(SystemExit):
        parser().parse_args(["swarm", "--scenario", "s9"])
