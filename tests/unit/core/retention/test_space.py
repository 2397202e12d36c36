"""Room for puts, and what the disk has to say."""

from __future__ import annotations

import pytest

from edgecache.core import vocabulary as v
from edgecache.core.retention import RetentionConfig
from edgecache.core.retention.wording import show_bytes
from edgecache.model.have import HaveSet
from tests.unit.core.retention.cache import CAP, CHUNK, ME, Cache, admitted, blob, granted, info, refused, view


def test_the_disk_reserve_bounds_what_is_granted() -> None:
    cache = Cache()
    cache.hear(v.StoreSpace(30 * CHUNK))
    first, second = v.RequestId(1), v.RequestId(2)
    assert admitted(cache.hear(v.PutWanted(first, 20 * CHUNK))) == [v.PutAdmitted(first)]
    why = "2.8 MiB are needed and the disk has no room for them above its reserve: free some space on it"
    assert admitted(cache.hear(v.PutWanted(second, 11 * CHUNK))) == [v.PutAdmitted(second, why)]
    assert admitted(cache.hear(v.PutWanted(second, 10 * CHUNK))) == [v.PutAdmitted(second)]


def test_room_that_the_store_has_taken_off_already_is_not_asked_of_the_disk_again() -> None:
    cache = Cache()
    cache.hear(v.StoreSpace(CHUNK))
    cache.hear(v.BlobHeld(info(1, 60), HaveSet.full(10), 1, False, False, wanted=True))
    assert cache.machine.view() == view(held=10, promised=50, blobs=1)
    assert granted(cache.room(1, 50)) == [blob(1)]
    assert granted(cache.room(2, 30)) == [blob(2)]


def test_room_on_the_disk_is_made_by_eviction_too() -> None:
    cache = Cache()
    for number in range(10):
        cache.held(number, 4)
    cache.hear(v.StoreSpace(5 * CHUNK))
    put = v.RequestId(1)
    assert not admitted(cache.hear(v.PutWanted(put, 10 * CHUNK)))
    assert cache.evicted == [blob(0), blob(1)]
    assert admitted(cache.obey()) == [v.PutAdmitted(put)]


def test_writes_that_fail_for_space_make_more_and_more_room() -> None:
    cache = Cache(RetentionConfig(disk_slack=4 * CHUNK))
    for number in range(20):
        cache.held(number, 4)
    cache.room(100, 20)
    full = v.ChunkFailed(v.RequestId(1), blob(100), 3, v.FetchFailure.STORE_FULL)
    counts = []
    for _ in range(3):
        for failure in (full, full, v.ManifestFailed(v.RequestId(1), ME.node, blob(101), v.FetchFailure.STORE_FULL)):
            cache.hear(failure)
        counts.append(len(cache.evicted))
        cache.obey()
        cache.now += 5
    assert counts == [1, 2, 4]
    cache.stored(100, 1)
    cache.hear(full)
    assert len(cache.evicted) == 1
    cache.hear(v.ChunkFailed(v.RequestId(1), blob(100), 3, v.FetchFailure.TIMEOUT))
    assert len(cache.evicted) == 1


def test_a_fetch_that_never_got_space_ends_without_a_word() -> None:
    cache = Cache()
    cache.room(1, 60)
    cache.hear(v.ChunkFailed(v.RequestId(1), blob(1), 3, v.FetchFailure.STORE_FULL))
    assert refused(cache.room(2, 60))
    cache.now += 31
    cache.room(2, 60)
    assert blob(1) in cache.evicted


@pytest.mark.parametrize("free", [0, -CHUNK])
def test_a_touched_reserve_is_given_back(free: int) -> None:
    cache = Cache(RetentionConfig(disk_slack=7 * CHUNK))
    for number in range(10):
        cache.held(number, 4, pinned=number == 0)
    cache.hear(v.StoreSpace(free))
    assert cache.evicted == [blob(1), blob(2)]
    cache.hear(v.StoreSpace(free))
    assert cache.evicted == [blob(1), blob(2)]
    cache.obey()
    assert not cache.evicted
    cache.hear(v.StoreSpace(0))
    assert cache.evicted == [blob(3), blob(4)]


def test_a_person_is_told_once_when_nothing_can_be_given_back() -> None:
    cache = Cache(RetentionConfig(disk_slack=CHUNK))
    cache.held(1, 4, pinned=True)

    def warnings() -> list[str]:
        out = cache.hear(v.StoreSpace(-CHUNK))
        return [effect.text for effect in out.effects if isinstance(effect, v.Warned)]

    assert warnings() == [
        "512.0 KiB have to be freed on the disk or in the cache, and all that is cached is pinned or in use"
    ]
    assert warnings() == []
    cache.hear(v.StoreSpace(CHUNK))
    assert len(warnings()) == 1


def test_a_lowered_cap_is_reached_at_the_start() -> None:
    cache = Cache()
    for number in range(30):
        cache.held(number, 4)
        cache.obey()
    assert cache.machine.view() == view(held=100, promised=0, blobs=25)


def test_puts_ask_for_room_as_well() -> None:
    cache = Cache()
    for number in range(25):
        cache.held(number, 4)
    first, second = v.RequestId(7), v.RequestId(8)
    assert not admitted(cache.hear(v.PutWanted(first, 6 * CHUNK)))
    assert cache.evicted == [blob(0), blob(1)]
    assert admitted(cache.obey()) == [v.PutAdmitted(first)]
    assert cache.machine.view() == view(held=92, promised=6, blobs=23)
    (refusal,) = admitted(cache.hear(v.PutWanted(second, CAP + 1)))
    assert "store.max_size" in refusal.refusal
    cache.held(200, 6)
    assert cache.machine.view() == view(held=98, promised=0, blobs=24)
    assert not cache.evicted
    cache.hear(v.PutEnded(first))
    cache.hear(v.PutEnded(second))
    assert cache.machine.view() == view(held=98, promised=0, blobs=24)


def test_a_put_given_up_while_waiting_asks_no_more() -> None:
    cache = Cache()
    cache.held(1, 100)
    cache.hear(v.PutWanted(v.RequestId(7), CHUNK))
    cache.hear(v.PutEnded(v.RequestId(7)))
    assert not admitted(cache.obey())
    assert cache.machine.view() == view(held=0, promised=0, blobs=0)


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (5 * 1024**3, "5.0 GiB"), (2**60, "1048576.0 TiB")],
)
def test_sizes_are_written_for_people(size: int, text: str) -> None:
    assert show_bytes(size) == text


def test_a_file_put_twice_takes_its_room_once() -> None:
    cache = Cache()
    cache.held(1, 60)
    cache.hear(v.PutWanted(v.RequestId(7), 40 * CHUNK))
    cache.held(1, 60)
    cache.hear(v.PutEnded(v.RequestId(7)))
    assert cache.machine.view() == view(held=60, promised=0, blobs=1)
    assert not cache.evicted
