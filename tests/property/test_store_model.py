"""The store on disk against a model that is a dictionary, under any sequence of calls, restarts and kills."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edgecache.model.content import CHUNK_BYTES
from edgecache.model.errors import NotFound, StoreFull
from edgecache.store.disk import DiskStore
from tests.conformance.sample import Sample

SIZES = [0, 10, CHUNK_BYTES, 2 * CHUNK_BYTES + 1, 4 * CHUNK_BYTES - 1]
SAMPLES = [Sample(size, seed) for seed, size in enumerate(SIZES)]
CAP = 7 * CHUNK_BYTES

which = st.sampled_from(SAMPLES)


class StoreModel(RuleBasedStateMachine):
    """`held` is what the store should hold: chunks, completeness and pin of each blob."""

    def __init__(self) -> None:
        super().__init__()
        self.place = Path(tempfile.mkdtemp(prefix="edgecache-model-"))
        self.starts = 0
        self.store = self.open(self.place / "0")
        self.held: dict[int, set[int]] = {}
        self.complete: set[int] = set()
        self.pinned: set[int] = set()
        self.epoch = 0

    def open(self, root: Path) -> DiskStore:
        return DiskStore(root, cap=CAP, reserve=0, batch_bytes=3 * CHUNK_BYTES, open_files=2, checkpoint_bytes=60_000)

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.place)

    def used(self) -> int:
        return sum(SAMPLES[number].info.size for number in self.held)

    @rule(sample=which, pin=st.booleans())
    def begin(self, sample: Sample, pin: bool) -> None:
        number = SAMPLES.index(sample)
        if number not in self.held and self.used() + sample.info.size > CAP:
            with pytest.raises(StoreFull):
                sample.begin(self.store, pin=pin)
            return
        sample.begin(self.store, pin=pin)
        self.held.setdefault(number, set())
        self.pinned |= {number} if pin else set()

    @rule(sample=which, data=st.data())
    def put_chunk(self, sample: Sample, data: st.DataObject) -> None:
        number = SAMPLES.index(sample)
        if not sample.info.chunks:
            return
        index = data.draw(st.integers(0, sample.info.chunks - 1))
        if number not in self.held:
            with pytest.raises(NotFound):
                self.store.put_chunk(sample.blob, index, sample.chunk(index))
            return
        self.store.put_chunk(sample.blob, index, sample.chunk(index))
        self.held[number].add(index)

    @rule(sample=which)
    def verify(self, sample: Sample) -> None:
        number = SAMPLES.index(sample)
        if len(self.held.get(number, ())) < sample.info.chunks or number not in self.held:
            with pytest.raises(NotFound):
                self.store.complete(sample.blob)
            return
        self.store.complete(sample.blob)
        self.complete.add(number)

    @rule(sample=which, pin=st.booleans())
    def put(self, sample: Sample, pin: bool) -> None:
        number = SAMPLES.index(sample)
        if self.used() + sample.info.size > CAP:
            with pytest.raises(StoreFull):
                sample.put(self.store, pin=pin)
            return
        sample.put(self.store, pin=pin)
        self.held[number] = set(range(sample.info.chunks))
        self.complete.add(number)
        self.pinned |= {number} if pin else set()

    @rule(sample=which)
    def abort_a_draft(self, sample: Sample) -> None:
        if self.used() + sample.info.size <= CAP:
            draft = self.store.draft()
            draft.write(sample.content)
            draft.abort()

    @rule(sample=which, pinned=st.booleans())
    def set_pinned(self, sample: Sample, pinned: bool) -> None:
        number = SAMPLES.index(sample)
        if number in self.held:
            self.store.set_pinned(sample.blob, pinned)
            self.pinned.discard(number)
            self.pinned |= {number} if pinned else set()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.held)))
        sample = SAMPLES[number]
        assert self.store.remove(sample.blob) == sum(len(sample.chunk(index)) for index in self.held.pop(number))
        self.complete.discard(number)
        self.pinned.discard(number)

    @rule()
    def flush(self) -> None:
        self.store.flush()

    @rule()
    def start_again(self) -> None:
        self.store.close()
        self.store = self.open(self.place / str(self.starts))
        self.next_epoch()

    @rule()
    def kill(self) -> None:
        """Go on with what the kernel has of the files, as after kill -9."""
        self.starts += 1
        shutil.copytree(self.place / str(self.starts - 1), self.place / str(self.starts))
        self.store.close()
        shutil.rmtree(self.place / str(self.starts - 1))
        self.store = self.open(self.place / str(self.starts))
        self.next_epoch()

    @rule()
    def next_epoch(self) -> None:
        self.epoch += 1
        assert self.store.next_epoch() == self.epoch

    @invariant()
    def it_holds_what_the_model_holds(self) -> None:
        shown = {one.info.blob: one for one in self.store.blobs()}
        assert set(shown) == {SAMPLES[number].blob for number in self.held}
        for number, chunks in self.held.items():
            sample = SAMPLES[number]
            one = shown[sample.blob]
            assert set(one.have) == chunks
            assert (one.complete, one.pinned) == (number in self.complete, number in self.pinned)
            for index in chunks:
                assert self.store.read(sample.blob, index) == sample.chunk(index)
        assert self.store.usage().used == self.used()


StoreModel.TestCase.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
TestStoreModel = StoreModel.TestCase
