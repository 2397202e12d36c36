"""The virtual clock and its heap."""

from __future__ import annotations

from edgecache.sim.world import World


def test_things_happen_in_order_of_time_and_then_of_scheduling() -> None:
    world, seen = World(1), list[str]()
    world.at(2.0, seen.append, "late")
    world.at(1.0, seen.append, "first")
    world.at(1.0, seen.append, "second")
    world.after(0.5, lambda: world.after(0.5, seen.append, "third"))
    world.run(5.0)
    assert seen == ["first", "second", "third", "late"]
    assert world.now == 5.0


def test_the_past_is_now() -> None:
    world, seen = World(1), list[float]()
    world.at(3.0, lambda: world.at(1.0, lambda: seen.append(world.now)))
    world.run(10.0)
    assert seen == [3.0]


def test_nothing_happens_after_the_end() -> None:
    world, seen = World(1), list[int]()
    world.at(2.0, seen.append, 2)
    world.run(1.0)
    assert not seen
    world.run(2.0)
    assert seen == [2]


def test_random_streams_depend_on_seed_and_name_only() -> None:
    assert World(1).fork("a").random() == World(1).fork("a").random()
    assert World(1).fork("a").random() != World(1).fork("b").random()
    assert World(1).fork("a").random() != World(2).fork("a").random()
