"""Plans of eviction, and the machine's books, whatever happens."""

from __future__ import annotations

from collections.abc import Callable

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from edgecache.core import vocabulary as v
from edgecache.core.retention import Retention, RetentionConfig
from edgecache.core.retention.policy import plan_eviction
from edgecache.core.retention.s3fifo import S3Fifo
from edgecache.model.content import CHUNK_BYTES, BlobInfo
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId, blob_id_from_root, node_id_from_bytes, sha256

CAP = 100
NAMES = [BlobId(f"b{number}") for number in range(30)]

names = st.sampled_from(NAMES)
moves = st.lists(
    st.one_of(
        st.tuples(st.just("admit"), names, st.integers(1, 40)),
        st.tuples(st.just("use"), names, st.just(0)),
        st.tuples(st.just("evict"), names, st.just(0)),
        st.tuples(st.just("resize"), names, st.integers(1, 40)),
        st.tuples(st.just("remove"), names, st.just(0)),
    ),
    max_size=80,
)


def anything(blob: BlobId) -> bool:
    return True


def played(story: list[tuple[str, BlobId, int]]) -> S3Fifo:
    queues = S3Fifo(CAP, RetentionConfig(ghosts_max=10))
    actions: dict[str, Callable[[BlobId, int], object]] = {
        "admit": lambda blob, size: None if blob in queues else queues.admit(blob, size),
        "use": lambda blob, _: queues.use(blob),
        "evict": lambda blob, size: queues.evict(anything),
        "resize": lambda blob, size: queues.resize(blob, size) if blob in queues else None,
        "remove": lambda blob, size: queues.remove(blob),
    }
    for what, blob, size in story:
        actions[what](blob, size)
    return queues


def total(queues: S3Fifo, blobs: list[BlobId] | tuple[BlobId, ...]) -> int:
    return sum(queues.size(blob) for blob in blobs)


@settings(max_examples=300)
@given(moves, st.integers(0, 200), st.sets(names), st.booleans())
def test_a_plan_frees_enough_and_hardly_more_and_spares_what_stays(
    story: list[tuple[str, BlobId, int]], need: int, stays: set[BlobId], as_far_as: bool
) -> None:
    queues = played(story)
    before, ghosts = queues.blobs(), queues.ghosts
    plan = plan_eviction(queues, need, lambda blob: blob not in stays, as_far_as=as_far_as)
    may_go = [blob for blob in before if blob not in stays]
    assert (queues.blobs(), queues.ghosts) == (before, ghosts), "planning changes nothing"
    assert not stays & set(plan.victims)
    assert len(set(plan.victims)) == len(plan.victims)
    assert sorted([*plan.after.blobs(), *plan.victims]) == sorted(before)
    assert plan.freed == total(queues, plan.victims)
    assert plan.enough == (total(queues, may_go) >= need)
    if plan.enough:
        assert plan.freed >= need
        assert not plan.victims or total(queues, plan.victims[:-1]) < need, "at most one blob too many"
    else:
        assert sorted(plan.victims) == (sorted(may_go) if as_far_as else [])


@settings(max_examples=300)
@given(moves)
def test_queues_keep_their_bounds_and_their_order(story: list[tuple[str, BlobId, int]]) -> None:
    queues = played(story)
    assert len(set(queues.blobs())) == len(queues)
    assert not set(queues.ghosts) & set(queues.blobs())
    assert len(queues.ghosts) <= 10
    for blob in queues.blobs():
        assert queues.in_main(blob) or queues.size(blob) <= queues.probation_bytes
    for blob in queues.ghosts:
        again = queues.copy()
        again.admit(blob, 1)
        assert again.in_main(blob), "who comes back from the ghost has proved itself"
        assert blob not in again.ghosts
    drained = []
    while (victim := queues.evict(anything)) is not None:
        drained.append(victim)
    assert len(drained) == len(set(drained))
    assert len(queues) == 0


BLOBS = [
    BlobInfo(blob_id_from_root(b"%d" % number), 1 + number * CHUNK_BYTES * 3 // 2, sha256(b"%d" % number))
    for number in range(12)
]
infos = st.sampled_from(BLOBS)


class Books(RuleBasedStateMachine):
    """A store that obeys, users and peers that do anything, and the machine in between."""

    @initialize(share=st.sampled_from([0.3, 0.6, 1.2]))
    def start(self, share: float) -> None:
        self.cap = int(sum(info.size for info in BLOBS) * share)
        self.machine = Retention(
            v.Identity(node_id_from_bytes(bytes(16)), "mesh", "home", "pi", 1, ()), RetentionConfig(), self.cap
        )
        self.now = 0.0
        self.leaving: list[BlobId] = []
        self.asked: dict[BlobId | v.RequestId, bool] = {}
        self.missing: dict[BlobId, list[int]] = {}
        self.kept: set[BlobId] = set()
        self.pinned: set[BlobId] = set()
        self.read: dict[BlobId, float] = {}
        self.puts: dict[v.RequestId, BlobInfo] = {}
        self.requests = 0

    def hear(self, event: v.Event | v.Notice) -> None:
        out = v.Outbox()
        self.machine.handle(event, self.now, out)
        refused = [notice.blob for notice in out.notices if isinstance(notice, v.RoomRefused)]
        for notice in out.notices:
            if isinstance(notice, v.RoomGranted):
                self.asked[notice.blob] = True
            elif isinstance(notice, v.RoomRefused):
                del self.asked[notice.blob]
                assert notice.why
        for effect in out.effects:
            if isinstance(effect, v.PutAdmitted):
                self.admitted(effect)
            elif isinstance(effect, v.EvictBlob):
                self.evicted(effect.blob, stub=effect.blob in refused)

    def admitted(self, effect: v.PutAdmitted) -> None:
        if effect.refusal:
            del self.asked[effect.request]
        else:
            self.asked[effect.request] = True

    def evicted(self, blob: BlobId, *, stub: bool) -> None:
        assert blob not in self.pinned or stub
        assert blob not in self.asked, "nobody who was promised room loses its blob"
        assert self.read.get(blob, -1000.0) + 60 <= self.now or stub
        self.leaving.append(blob)

    def here(self, info: BlobInfo) -> bool:
        return info.blob in self.kept or info.blob in self.missing or info.blob in self.leaving

    @rule(info=infos, pin=st.booleans())
    def fetch(self, info: BlobInfo, pin: bool) -> None:
        if self.here(info) or any(put.blob == info.blob for put in self.puts.values()):
            return
        self.hear(v.FetchWanted(info.blob, pin))
        if pin:
            self.pinned.add(info.blob)
        self.missing[info.blob] = list(range(info.chunks))
        self.asked[info.blob] = False
        self.hear(v.RoomWanted(info.blob, info.size))
        if info.blob not in self.asked:
            del self.missing[info.blob]
            self.pinned.discard(info.blob)

    @rule(info=infos, count=st.integers(1, 20))
    def store(self, info: BlobInfo, count: int) -> None:
        if not self.asked.get(info.blob):
            return
        missing = self.missing[info.blob]
        for index in missing[:count]:
            self.hear(v.ChunkStored(v.RequestId(1), info.blob, index, info.chunk_bytes(index), 0.1))
        del missing[:count]
        if not missing:
            del self.missing[info.blob], self.asked[info.blob]
            self.kept.add(info.blob)
            self.hear(v.BlobCompleted(info.blob))

    @rule(info=infos)
    def give_up(self, info: BlobInfo) -> None:
        if info.blob in self.missing and self.asked.pop(info.blob, None) is not None:
            del self.missing[info.blob]
            self.kept.add(info.blob)
            self.hear(v.FetchUnwanted(info.blob))

    @rule(info=infos)
    def put(self, info: BlobInfo) -> None:
        if self.here(info):
            return
        self.requests += 1
        request = v.RequestId(self.requests)
        self.asked[request] = False
        self.hear(v.PutWanted(request, info.size))
        if request in self.asked:
            self.puts[request] = info

    @rule(done=st.booleans())
    def end_put(self, done: bool) -> None:
        if not self.puts:
            return
        request = next(iter(self.puts))
        info = self.puts.pop(request)
        granted = self.asked.pop(request)
        if done and granted and not self.here(info):
            self.kept.add(info.blob)
            self.hear(v.BlobHeld(info, HaveSet.full(info.chunks), info.pages, info.blob in self.pinned, complete=True))
        self.hear(v.PutEnded(request))

    @rule(count=st.integers(1, 5))
    def obey(self, count: int) -> None:
        for blob in self.leaving[:count]:
            self.leaving.remove(blob)
            self.kept.discard(blob)
            self.missing.pop(blob, None)
            self.hear(v.BlobGone(blob))

    @rule(info=infos, pinned=st.booleans())
    def pin(self, info: BlobInfo, pinned: bool) -> None:
        if info.blob in self.kept and info.blob not in self.leaving:
            (self.pinned.add if pinned else self.pinned.discard)(info.blob)
            self.hear(v.BlobPinned(info.blob, pinned))

    @rule(info=infos)
    def use(self, info: BlobInfo) -> None:
        if info.blob in self.kept and info.blob not in self.leaving:
            self.read[info.blob] = self.now
        self.hear(v.BlobRead(info.blob))

    @rule(seconds=st.sampled_from([1.0, 61.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(info=infos)
    def remove(self, info: BlobInfo) -> None:
        if info.blob in self.kept and info.blob not in self.leaving:
            self.kept.discard(info.blob)
            self.pinned.discard(info.blob)
            self.hear(v.BlobGone(info.blob))

    @invariant()
    def bounds_hold(self) -> None:
        view = self.machine.view()
        assert min(view.held, view.promised) >= 0
        assert view.held + view.promised <= self.cap

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        assert self.leaving or all(self.asked.values()), "who waits, waits for an eviction"

    @invariant()
    def the_books_agree(self) -> None:
        blobs = self.machine._blobs
        queued = set(self.machine._queues.blobs())
        assert self.machine.view().held == sum(blob.held for blob in blobs.values())
        assert self.machine._leaving == sum(blob.size for blob in blobs.values() if blob.leaving)
        assert queued == {name for name, blob in blobs.items() if blob.size and not blob.leaving}
        assert all(self.machine._queues.size(name) == blobs[name].size for name in queued)
        assert set(blobs) <= self.kept | set(self.missing) | set(self.leaving)


Books.TestCase.settings = settings(max_examples=60, stateful_step_count=50)
TestBooks = Books.TestCase
