"""Swarms in many sizes: bounds, figures, the command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from edgecache.model.content import CHUNK_BYTES
from edgecache.sim.__main__ import main
from edgecache.sim.contest import CONTESTS, MBIT, Contest, contend
from edgecache.sim.scaling import LINKS, draw, line, row, sweep
from edgecache.sim.scenario import Failed

SMALL = Contest(4, 8 * CHUNK_BYTES)


def test_the_bound_is_the_seeds_uplink_the_slowest_downlink_or_all_uplinks() -> None:
    assert SMALL.bound(SMALL.leechers) == SMALL.size / (50 * MBIT)
    mixed = Contest(4, SMALL.size, LINKS["mixed"])
    assert mixed.bound(mixed.leechers) == SMALL.size / (10 * MBIT)
    assert mixed.bound([3]) == SMALL.size / (100 * MBIT)
    weak = replace(Contest(3, SMALL.size, (100 * MBIT, 10 * MBIT, 10 * MBIT)))
    assert weak.bound(weak.leechers) == SMALL.size / (10 * MBIT)


def test_the_slow_and_the_killed_are_not_among_the_fast() -> None:
    contest = CONTESTS["s2"]
    assert contest.slow not in contest.fast
    assert contest.killed not in contest.leechers
    assert contest.rate(1) == 5 * MBIT


def test_one_is_slow_and_one_is_killed() -> None:
    contest = replace(CONTESTS["s2"], nodes=5, size=32 * CHUNK_BYTES, slow=1, killed=2)
    showing = contend(contest)
    assert len(showing.fast) == 2
    assert showing.slow is not None
    assert showing.slow > contest.size / contest.slow_rate > showing.last
    assert showing.seed_payload >= 1.0
    assert showing.seed_copies > showing.seed_payload, "headers"


@pytest.mark.parametrize("seed", [3, 9, 19, 44])
def test_what_a_slow_fellow_has_under_way_is_not_waited_for_long(seed: int) -> None:
    contest = CONTESTS["s2"]
    assert contend(contest, seed, strict=False).last < 1.3 * contest.bound(contest.fast)


def test_a_showing_counts_what_was_done() -> None:
    showing = contend(SMALL, strict=False)
    assert list(showing.fast) == sorted(showing.fast)
    assert len(showing.fast) == 3
    assert showing.last > SMALL.bound(SMALL.leechers)
    assert showing.redundant >= 1.0
    assert showing.requests >= 3 * 8
    assert showing.events > showing.requests
    assert showing.messages > 0


def test_being_strict_changes_nothing() -> None:
    assert contend(SMALL, 3, strict=True) == contend(SMALL, 3, strict=False)


def test_one_that_takes_too_long_says_how_to_see_it_again() -> None:
    with pytest.raises(Failed, match="replay: the command --seed 2"):
        contend(replace(SMALL, patience=-10.0), 2, command="the command")


def test_a_row_knows_both_bounds() -> None:
    one = row("equal", 4, 8)
    assert one.fluid == SMALL.size / (50 * MBIT)
    assert one.discrete == pytest.approx(one.fluid * (1 + 1 / 8)), "1 + floor(log2 3) / 8"
    assert 1.0 < one.over_discrete < one.over_fluid < 10
    assert one.quick == pytest.approx(one.over_fluid)
    assert line(one).startswith("| equal | 4 | 8 |")


def test_the_bound_in_chunks_grows_with_the_logarithm() -> None:
    found = {one.nodes: one.discrete / one.fluid for one in sweep(["equal"], [2, 3, 9], [2])}
    assert found == pytest.approx({2: 1.0, 3: 1.5, 9: 2.5})


def test_quick_links_are_compared_with_their_own_bound() -> None:
    one = row("mixed", 4, 8)
    assert one.discrete == one.fluid == SMALL.size / (10 * MBIT)
    assert one.quick > 1.0


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["scaling", "--nodes", "2,3", "--chunks", "4", "--links", "equal"]
    assert main([*words, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(one["nodes"], one["chunks"]) for one in rows] == [(2, 4), (3, 4)]
    assert main(words) == 0
    shown = capsys.readouterr().out.splitlines()
    assert len(shown) == 4
    assert all(text.count("|") == shown[0].count("|") for text in shown)


def test_the_command_refuses_a_swarm_of_one(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["scaling", "--nodes", "1"])
    assert "at least 2 nodes" in capsys.readouterr().err


def test_a_picture_is_small(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "scaling.png"
    draw([row(kind, nodes, 4) for kind in LINKS for nodes in (2, 3)], path)
    assert 5_000 < path.stat().st_size < 60_000
