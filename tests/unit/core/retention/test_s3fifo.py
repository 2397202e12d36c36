"""The queues of S3-FIFO, and how many requests they miss beside FIFO and LRU."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from random import Random

import pytest

from edgecache.core.retention import RetentionConfig
from edgecache.core.retention.policy import plan_eviction
from edgecache.core.retention.s3fifo import S3Fifo
from edgecache.model.ids import BlobId


def name(number: int) -> BlobId:
    return BlobId(f"b{number}")


def anything(blob: BlobId) -> bool:
    return True


def queues(cap: int = 100, **sizes: int) -> S3Fifo:
    made = S3Fifo(cap, RetentionConfig())
    for blob, size in sizes.items():
        made.admit(BlobId(blob), size)
    return made


def test_newcomers_leave_in_order_and_are_remembered() -> None:
    cache = queues(a=4, b=4, c=4)
    assert [cache.evict(anything) for _ in range(4)] == ["a", "b", "c", None]
    assert cache.ghosts == ("a", "b", "c")
    assert len(cache) == 0


def test_a_ghost_comes_back_into_main() -> None:
    cache = queues(a=4)
    cache.evict(anything)
    cache.admit(BlobId("a"), 4)
    assert cache.in_main(BlobId("a"))
    assert cache.ghosts == ()


def test_the_ghost_remembers_as_many_bytes_as_main_holds_and_a_bounded_number() -> None:
    cache = queues()
    for number in range(30):
        cache.admit(name(number), 9)
        cache.evict(anything)
    assert cache.ghosts == tuple(name(number) for number in range(20, 30))
    few = S3Fifo(100, RetentionConfig(ghosts_max=3))
    for number in range(30):
        few.admit(name(number), 1)
        few.evict(anything)
    assert len(few.ghosts) == 3


def test_two_uses_lead_to_main_and_one_does_not() -> None:
    cache = queues(a=5, b=5, c=5)
    cache.use(BlobId("a"))
    cache.use(BlobId("b"))
    cache.use(BlobId("b"))
    assert cache.evict(anything) == "a"
    cache.admit(BlobId("d"), 5)
    assert cache.evict(anything) == "c"
    assert cache.in_main(BlobId("b"))
    cache.use(BlobId("nobody"))


def test_too_large_for_probation_goes_to_main() -> None:
    cache = queues(a=10, b=11)
    assert not cache.in_main(BlobId("a"))
    assert cache.in_main(BlobId("b"))
    cache.resize(BlobId("a"), 12)
    assert cache.in_main(BlobId("a"))
    cache.resize(BlobId("a"), 3)
    assert cache.in_main(BlobId("a"))


def test_growth_counts_in_probation() -> None:
    cache = queues(a=30, b=2)
    cache.resize(BlobId("b"), 10)
    assert cache.evict(anything) == "b"
    assert cache.evict(anything) == "a"


def test_main_gives_used_blobs_another_round_for_each_use_up_to_three() -> None:
    cache = queues(a=30, b=30, c=30)
    for _ in range(9):
        cache.use(BlobId("a"))
    cache.use(BlobId("b"))
    assert cache.evict(anything) == "c"
    cache.admit(BlobId("d"), 30)
    assert cache.evict(anything) == "b"
    assert cache.evict(anything) == "d"
    assert cache.evict(anything) == "a"
    assert cache.ghosts == ()


def test_main_gives_when_probation_is_within_its_share() -> None:
    cache = queues(a=30, b=9)
    assert cache.evict(anything) == "a"
    assert cache.evict(anything) == "b"


def test_those_that_may_not_go_are_passed_over_in_place() -> None:
    cache = queues(a=5, b=5, c=30, d=30)
    stays = {"a", "c"}
    assert cache.evict(lambda blob: blob not in stays) == "b"
    assert cache.evict(lambda blob: blob not in stays) == "d"
    assert cache.evict(lambda blob: blob not in stays) is None
    assert cache.blobs() == ["a", "c"]


def test_a_plan_changes_nothing_until_it_is_taken() -> None:
    cache = queues(a=5, b=5, c=30)
    plan = plan_eviction(cache, 8, anything)
    assert plan.victims == ("a", "c")
    assert (plan.freed, plan.enough) == (35, True)
    assert cache.blobs() == ["a", "b", "c"]
    assert plan.after.blobs() == ["b"]
    assert plan.after.ghosts == ("a",)
    assert cache.ghosts == ()


def test_a_plan_that_cannot_help_takes_nothing_unless_told_to() -> None:
    cache = queues(a=5, b=5)
    plan = plan_eviction(cache, 11, anything)
    assert (plan.victims, plan.freed, plan.enough) == ((), 0, False)
    plan = plan_eviction(cache, 11, anything, as_far_as=True)
    assert (plan.victims, plan.freed, plan.enough) == (("a", "b"), 10, False)
    assert plan_eviction(cache, 0, anything).victims == ()


# ---- miss ratios

Request = tuple[int, int]


def trace(seed: int, *, skew: float, scans: bool) -> list[Request]:
    """(object, size): Zipf over objects of mixed sizes, with runs of objects that are used once in between."""
    rng = Random(seed)
    objects = 2000
    weights = [1 / (rank + 1) ** skew for rank in range(objects)]
    sizes = [min(64, int(rng.paretovariate(1.2))) for _ in range(objects)]
    chosen = rng.choices(range(objects), weights, k=15_000)
    requests, once = [], objects
    for at, number in enumerate(chosen):
        requests.append((number, sizes[number]))
        if scans and at % 50 == 0:
            requests += [(once + step, rng.choice(sizes)) for step in range(20)]
            once += 20
    return requests


def run_s3fifo(requests: list[Request], cap: int) -> tuple[float, float]:
    cache, used = S3Fifo(cap, RetentionConfig()), 0

    def fetch(number: int, size: int) -> bool:
        nonlocal used, cache
        if name(number) in cache:
            cache.use(name(number))
            return True
        while used + size > cap:
            used -= sizes[cache.evict(anything) or name(-1)]
        cache.admit(name(number), size)
        sizes[name(number)] = size
        used += size
        return False

    sizes: dict[BlobId, int] = {}
    return ratios(requests, fetch)


def run_list(requests: list[Request], cap: int, *, lru: bool) -> tuple[float, float]:
    cache: OrderedDict[int, int] = OrderedDict()
    used = 0

    def fetch(number: int, size: int) -> bool:
        nonlocal used
        if number in cache:
            if lru:
                cache.move_to_end(number)
            return True
        while used + size > cap:
            used -= cache.popitem(last=False)[1]
        cache[number] = size
        used += size
        return False

    return ratios(requests, fetch)


def ratios(requests: list[Request], fetch: Callable[[int, int], bool]) -> tuple[float, float]:
    """Missed requests, missed bytes."""
    missed = [size for number, size in requests if not fetch(number, size)]
    return len(missed) / len(requests), sum(missed) / sum(size for _, size in requests)


@pytest.mark.parametrize("skew", [0.8, 1.0])
@pytest.mark.parametrize("share", [0.05, 0.2])
def test_fewer_requests_and_bytes_are_missed_than_with_fifo(skew: float, share: float) -> None:
    requests = trace(1, skew=skew, scans=False)
    cap = int(sum(dict(requests).values()) * share)
    s3, fifo = run_s3fifo(requests, cap), run_list(requests, cap, lru=False)
    assert s3[0] < fifo[0]
    assert s3[1] < fifo[1]


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_one_time_blobs_hurt_less_than_with_lru(share: float) -> None:
    requests = trace(2, skew=0.9, scans=True)
    cap = int(sum(size for number, size in dict(requests).items() if number < 2000) * share)
    s3, lru = run_s3fifo(requests, cap), run_list(requests, cap, lru=True)
    assert s3[0] < lru[0]
    assert s3[1] < lru[1]
