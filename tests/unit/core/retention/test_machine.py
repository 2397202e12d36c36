"""Room for fetches, and what goes for it."""

from __future__ import annotations

import pytest

from edgecache.core import vocabulary as v
from edgecache.model.content import BlobInfo
from edgecache.model.have import HaveSet
from edgecache.model.ids import sha256
from tests.unit.core.retention.cache import CHUNK, ME, Cache, blob, granted, refused, view


def test_room_that_is_there_is_granted_at_once_and_promised() -> None:
    cache = Cache()
    assert granted(cache.room(1, 60)) == [blob(1)]
    assert cache.machine.view() == view(held=0, promised=60, blobs=1)
    cache.stored(1, 25)
    assert cache.machine.view() == view(held=25, promised=35, blobs=1)
    cache.stored(1, 35)
    cache.hear(v.BlobCompleted(blob(1)))
    assert cache.machine.view() == view(held=60, promised=0, blobs=1)


def test_a_promise_is_not_given_twice() -> None:
    cache = Cache()
    cache.room(1, 60)
    out = cache.room(2, 60)
    assert not granted(out)
    assert len(refused(out)) == 1
    assert not cache.evicted
    assert granted(cache.room(3, 40)) == [blob(3)]


def test_asking_again_replaces_the_promise() -> None:
    cache = Cache()
    cache.room(1, 60)
    assert granted(cache.room(1, 80)) == [blob(1)]
    assert cache.machine.view() == view(held=0, promised=80, blobs=1)
    assert granted(cache.room(2, 20)) == [blob(2)]


def test_what_is_needed_goes_and_room_is_granted_when_it_has_gone() -> None:
    cache = Cache()
    for number in range(25):
        cache.held(number, 4)
    out = cache.room(100, 10)
    assert not granted(out)
    assert cache.evicted == [blob(0), blob(1), blob(2)]
    cache.evicted.pop()
    assert not granted(cache.obey())
    cache.evicted.append(blob(2))
    assert granted(cache.obey()) == [blob(100)]
    assert cache.machine.view() == view(held=88, promised=10, blobs=23)


def test_nobody_overtakes() -> None:
    cache = Cache()
    for number in range(25):
        cache.held(number, 4)
    cache.room(100, 10)
    cache.room(101, 2)
    assert [blob(n) for n in range(3)] == cache.evicted
    cache.evicted.pop()
    cache.evicted.pop()
    assert not granted(cache.obey())
    cache.evicted += [blob(1), blob(2)]
    assert granted(cache.obey()) == [blob(100), blob(101)]


def test_who_no_longer_wants_it_makes_place_for_the_next() -> None:
    cache = Cache()
    for number in range(25):
        cache.held(number, 4)
    cache.room(100, 8)
    cache.room(101, 8)
    assert len(cache.evicted) == 4
    cache.hear(v.FetchUnwanted(blob(100)))
    cache.evicted = cache.evicted[:2]
    assert granted(cache.obey()) == [blob(101)]


def test_pins_stay_and_the_refusal_says_so() -> None:
    cache = Cache()
    for number in range(20):
        cache.held(number, 4, pinned=True)
    for number in range(20, 25):
        cache.held(number, 4)
    (why,) = refused(cache.room(100, 21))
    assert why == (
        "5.2 MiB are needed and 20.0 MiB of the 25.0 MiB cannot go now (20.0 MiB pinned, the rest in use): "
        "unpin or remove something, or try again later"
    )
    assert not cache.evicted
    cache.room(101, 20)
    assert cache.evicted == [blob(number) for number in range(20, 25)]


def test_a_blob_larger_than_the_cache_is_refused_with_the_setting_to_change() -> None:
    cache = Cache()
    assert refused(cache.room(1, 101)) == ["25.2 MiB are needed and the cache may hold 25.0 MiB: raise store.max_size"]


def test_unpinned_blobs_may_go_again() -> None:
    cache = Cache()
    cache.held(1, 100, pinned=True)
    assert refused(cache.room(2, 1))
    cache.hear(v.BlobPinned(blob(1), pinned=False))
    cache.room(2, 1)
    assert cache.evicted == [blob(1)]


@pytest.mark.parametrize("when", ["with the wish", "before the root", "later"])
def test_a_pinned_fetch_stays(when: str) -> None:
    cache = Cache()
    cache.hear(v.FetchWanted(blob(1), pin=when == "with the wish"))
    if when == "before the root":
        cache.hear(v.BlobPinned(blob(1), pinned=True))
    cache.fetched(1, 50)
    if when == "later":
        cache.hear(v.BlobPinned(blob(1), pinned=True))
    assert refused(cache.room(2, 60))
    assert cache.machine.view() == view(held=50, promised=0, blobs=1, pinned=50)


def test_a_fetch_keeps_its_blob_until_it_ends() -> None:
    cache = Cache()
    cache.hear(v.FetchWanted(blob(1)))
    cache.room(1, 60)
    cache.stored(1, 59)
    assert refused(cache.room(2, 60))
    cache.stored(1, 1)
    cache.hear(v.BlobCompleted(blob(1)))
    cache.room(2, 60)
    assert cache.evicted == [blob(1)]


def test_what_an_abandoned_fetch_left_keeps_its_room_until_it_goes() -> None:
    cache = Cache()
    cache.room(1, 60)
    cache.stored(1, 30)
    cache.hear(v.FetchUnwanted(blob(1)))
    assert cache.machine.view() == view(held=30, promised=30, blobs=1)
    assert not granted(cache.room(2, 70))
    assert cache.evicted == [blob(1)]
    assert granted(cache.obey()) == [blob(2)]
    assert cache.machine.view() == view(held=0, promised=70, blobs=1)


def test_an_abandoned_fetch_can_be_taken_up_again() -> None:
    cache = Cache()
    cache.room(1, 60)
    cache.stored(1, 30)
    cache.hear(v.FetchUnwanted(blob(1)))
    cache.hear(v.FetchWanted(blob(1)))
    assert granted(cache.room(1, 30)) == [blob(1)]
    assert refused(cache.room(2, 41))
    assert granted(cache.room(2, 40)) == [blob(2)]


def test_the_manifest_of_a_refused_fetch_does_not_stay_behind() -> None:
    cache = Cache()
    cache.held(1, 60, pinned=True)
    out = cache.room(2, 50)
    assert [type(notice) for notice in out.notices] == [v.RoomRefused]
    assert cache.stubs == [blob(2)]
    cache.hear(v.BlobGone(blob(2)))
    assert cache.machine.view() == view(held=60, promised=0, blobs=1, pinned=60)


def test_a_refused_fetch_keeps_what_it_has_while_it_may_ask_again() -> None:
    cache = Cache()
    cache.room(1, 40)
    cache.stored(1, 40)
    cache.held(2, 50, pinned=True)
    assert refused(cache.room(1, 20))
    assert refused(cache.room(3, 20))
    assert cache.stubs == [blob(3)]
    cache.now += 31
    cache.room(3, 20)
    assert cache.evicted == [blob(1)]


def test_a_fetch_that_never_got_anything_leaves_nothing() -> None:
    cache = Cache()
    cache.hear(v.FetchWanted(blob(1), pin=True))
    cache.hear(v.FetchUnwanted(blob(1)))
    cache.hear(v.FetchUnwanted(blob(2)))
    cache.hear(v.BlobCompleted(blob(2)))
    assert cache.machine.view() == view(held=0, promised=0, blobs=0)
    assert not cache.machine._blobs


def test_a_fetch_of_what_is_complete_leases_nothing() -> None:
    cache = Cache()
    cache.held(1, 60)
    cache.hear(v.FetchWanted(blob(1)))
    cache.room(2, 60)
    assert cache.evicted == [blob(1)]


def test_a_resumed_fetch_is_leased_from_the_start_and_asks_for_the_rest() -> None:
    cache = Cache()
    there = HaveSet.of([0, 9])
    cache.hear(v.BlobHeld(BlobInfo(blob(1), 10 * CHUNK - 7, sha256(b"")), there, 1, False, False, wanted=True))
    assert cache.machine.view().held == 2 * CHUNK - 7
    assert refused(cache.room(2, 99))
    assert granted(cache.room(1, 8)) == [blob(1)]


def test_the_wish_for_what_is_just_leaving_is_kept() -> None:
    cache = Cache()
    cache.held(1, 60)
    cache.room(2, 50)
    cache.hear(v.FetchWanted(blob(1)))
    assert granted(cache.obey()) == [blob(2)]
    assert not granted(cache.room(1, 60))
    cache.hear(v.BlobGone(blob(2)))
    cache.evicted.clear()
    assert granted(cache.room(1, 60)) == [blob(1)]
    cache.stored(1, 60)
    cache.hear(v.BlobCompleted(blob(1)))
    assert cache.machine.view() == view(held=60, promised=0, blobs=1)


def test_room_for_what_is_just_leaving_is_granted_once_it_has_left() -> None:
    cache = Cache()
    cache.held(1, 60)
    cache.room(2, 50)
    cache.hear(v.FetchUnwanted(blob(2)))
    assert not granted(cache.room(1, 10))
    assert granted(cache.obey()) == [blob(1)]
    assert cache.machine.view() == view(held=0, promised=10, blobs=1)


def test_what_still_comes_of_a_leaving_blob_goes_with_it() -> None:
    cache = Cache()
    cache.room(1, 60)
    cache.hear(v.FetchUnwanted(blob(1)))
    cache.room(2, 60)
    cache.stored(1, 3)
    cache.hear(v.BlobPinned(blob(9), pinned=True))
    assert granted(cache.obey()) == [blob(2)]
    assert cache.machine.view() == view(held=0, promised=60, blobs=1)


def test_what_was_put_again_while_leaving_counts_once() -> None:
    cache = Cache()
    cache.held(1, 60)
    cache.room(2, 50)
    assert cache.evicted == [blob(1)]
    cache.held(1, 60)
    assert cache.machine.view().held == 60 * CHUNK
    assert cache.evicted == [blob(1), blob(1)]
    cache.evicted.pop()
    assert granted(cache.obey()) == [blob(2)]


def test_readers_keep_their_blob_for_a_while() -> None:
    cache = Cache()
    for lease in (v.BlobRead(blob(1)), v.UnitAsked(v.RequestId(1), ME.node, blob(1), 0, CHUNK, CHUNK)):
        cache.held(1, 60)
        cache.hear(lease)
        assert "try again later" in refused(cache.room(2, 60))[0]
        cache.now += cache.config.read_lease + 0.1
        cache.room(2, 60)
        assert cache.evicted == [blob(1)]
        cache.obey()
        cache.hear(v.BlobGone(blob(2)))
        cache.hear(v.FetchUnwanted(blob(2)))
    cache.hear(v.BlobRead(blob(9)))


def test_what_the_user_removed_makes_room() -> None:
    cache = Cache()
    cache.held(1, 50, pinned=True)
    cache.held(2, 50)
    cache.hear(v.BlobRead(blob(2)))
    assert refused(cache.room(3, 60))
    cache.hear(v.BlobGone(blob(1)))
    cache.hear(v.BlobGone(blob(9)))
    assert granted(cache.room(3, 50)) == [blob(3)]


def test_empty_blobs_need_nothing() -> None:
    cache = Cache()
    cache.held(1, 100, pinned=True)
    assert granted(cache.room(2, 0)) == [blob(2)]
    cache.hear(v.BlobCompleted(blob(2)))
    cache.held(3, 0)
    assert cache.machine.view() == view(held=100, promised=0, blobs=1, pinned=100)


def test_used_blobs_outlive_unused_ones() -> None:
    cache = Cache()
    for number in range(25):
        cache.held(number, 4)
    for _ in range(2):
        cache.hear(v.BlobRead(blob(0)))
        cache.hear(v.BlobRead(blob(2)))
    cache.now += 100
    cache.room(100, 12)
    assert cache.evicted == [blob(1), blob(3), blob(4)]


def test_one_scan_does_not_flush_what_is_in_use() -> None:
    cache = Cache()
    for number in range(10):
        cache.held(number, 8)
    for _ in range(2):
        for number in range(10):
            cache.hear(v.BlobRead(blob(number)))
    cache.now += 100
    for number in range(100, 160):
        cache.room(number, 4)
        cache.obey()
        cache.stored(number, 4)
        cache.hear(v.BlobCompleted(blob(number)))
    here = [number for number in range(10) if blob(number) in cache.machine._queues]
    assert len(here) == 10
