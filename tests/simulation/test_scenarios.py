"""Whole meshes, played out. What a failure prints is enough to play it again."""

from __future__ import annotations

import json

import pytest

from edgecache.core.node import NodeConfig
from edgecache.sim.__main__ import main
from edgecache.sim.catalogue import (
    FILM_BYTES,
    LINK,
    SCENARIOS,
    bridging,
    fleet,
    hostile,
    publisher_cut,
    returning,
    split,
    swarm,
)
from edgecache.sim.report import difference
from edgecache.sim.scenario import Failed, Scenario, play
from edgecache.sim.workload import everybody_has_what_they_want, expect, fetch, join, publish


def test_a_fleet_joins_fetches_and_loses_a_tenth() -> None:
    report = play(fleet(40), seed=1)
    assert report.live == 36
    assert report.wishes >= 35
    assert report.publisher_share < 0.25, "everybody gives"
    assert report.fetch_worst < 10.0


@pytest.mark.parametrize("devices", [4, 8])
def test_a_swarm_is_close_to_what_the_links_allow(devices: int) -> None:
    """Real agents on four such links took 1.34 times size over rate, and 64 % did not come from the publisher."""
    report = play(swarm(devices), seed=1)
    bound = FILM_BYTES / LINK.uplink
    assert bound < report.fetch_worst < 1.3 * bound
    assert report.publisher_share < 1.5 / (devices - 1), "hardly more than one copy leaves the publisher"
    assert report.redundant < 1.02


@pytest.mark.parametrize("seed", [1, 2])
def test_restarted_devices_go_on_where_they_were(seed: int) -> None:
    report = play(returning(12), seed)
    assert report.wishes == 11
    assert report.redundant < 1.15, "what the disks had kept was not fetched again"


@pytest.mark.parametrize("seed", [1, 4, 6, 7])
def test_two_halves_find_each_other_again(seed: int) -> None:
    assert play(split(12), seed).wishes == 11


def test_a_fetch_waits_for_the_only_one_that_has_the_rest() -> None:
    report = play(publisher_cut(8), seed=1)
    assert report.wishes == 7
    assert report.fetch_worst > 39.0, "nobody could finish before the cable was plugged in again"


@pytest.mark.parametrize("seed", [1, 5])
def test_lies_and_slowness_do_not_spread(seed: int) -> None:
    report = play(hostile(16), seed)
    assert report.wishes >= 14
    assert report.warnings["misbehaved"] > 0


def test_the_bridge_is_handed_over_within_fifteen_seconds() -> None:
    assert play(bridging(6), seed=1).live == 6


def test_the_same_seed_is_the_same_run_and_another_is_not() -> None:
    first, again, other = (play(fleet(10), seed) for seed in (1, 1, 2))
    assert difference(first, again) == []
    assert any(line.startswith("digest") for line in difference(first, other))


def hopeless(seconds: float) -> Scenario:
    """Somebody wants what nobody has put."""
    happenings = [(0.0, join(range(3))), (2.0, fetch([1], "nowhere", 1000))]
    return Scenario("hopeless", 3, happenings, everybody_has_what_they_want, deadline=seconds)


def test_a_failure_says_how_to_see_it_again() -> None:
    with pytest.raises(Failed) as failed:
        play(hopeless(20.0), seed=9)
    lines = failed.value.message.splitlines()
    assert lines[0] == "not there after 20 s: 1 wishes are open"
    assert lines[-1] == "replay: python -m edgecache.sim hopeless --devices 3 --seed 9"
    assert any("FetchWanted" in line or "Flood" in line or "TimerFired" in line for line in lines[2:-1])


def test_an_expectation_that_does_not_hold_fails_the_run() -> None:
    happenings = [(0.0, join(range(2))), (1.0, expect("a miracle", lambda mesh: False))]
    with pytest.raises(Failed, match="expected a miracle at 1 s"):
        play(Scenario("miracle", 2, happenings, lambda mesh: True, deadline=5.0), seed=1)


def test_the_settings_of_the_nodes_are_the_scenarios_to_choose() -> None:
    quick = [(0.0, join(range(4))), (3.0, publish(0, "a", 1000)), (5.0, fetch(range(1, 4), "a", 1000))]
    scenario = Scenario("quick", 4, quick, everybody_has_what_they_want, deadline=20.0, faithful=True)
    assert play(scenario, 1, NodeConfig()).wishes == 3


def test_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bridging", "--seed", "3", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["scenario"], shown["seed"], shown["devices"]) == ("bridging", 3, SCENARIOS["bridging"][1])
    assert main(["bridging", "--seed", "3"]) == 0
    assert shown["digest"] in capsys.readouterr().out


def test_the_command_line_reports_failure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bridging", "--devices", "1"]) == 1
    assert "replay: python -m edgecache.sim bridging --devices 1 --seed 1" in capsys.readouterr().err
