"""What every `ports.ChunkStore` does. A test class of an implementation inherits this and gives the fixture `make`."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from edgecache.model.content import CHUNK_BYTES, ManifestRoot
from edgecache.model.errors import NotFound, StoreCorrupt, StoreError, StoreFull
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId, blob_id_from_root, sha256
from edgecache.ports import ChunkStore, SmallBlob
from edgecache.wire.manifest import encode_root
from tests.conformance.sample import Sample

MIB = 1024 * 1024

Make = Callable[[int], ChunkStore]
"""An empty store with that byte cap."""

ODD = 3 * CHUNK_BYTES + 1000
"""Three full chunks and a short one."""


class ChunkStoreConformance:
    @pytest.fixture
    def store(self, make: Make) -> ChunkStore:
        return make(64 * MIB)

    @pytest.fixture
    def sample(self) -> Sample:
        return Sample(ODD)

    # ---- begin and manifest

    def test_an_empty_store_has_nothing(self, store: ChunkStore, sample: Sample) -> None:
        assert store.blobs() == []
        assert store.find(prefix="b") == []
        assert store.usage().used == 0
        for ask in (store.blob, store.root, store.remove, store.complete, store.whole_is_right):
            with pytest.raises(NotFound):
                ask(sample.blob)
        with pytest.raises(NotFound):
            store.read(sample.blob, 0)
        with pytest.raises(NotFound):
            store.set_pinned(sample.blob, True)
        with pytest.raises(NotFound):
            store.put_page(sample.blob, 0, sample.pages[0])

    def test_begin_shows_the_blob_with_nothing_of_it(self, store: ChunkStore, sample: Sample) -> None:
        shown = store.begin(sample.blob, sample.root, pin=False)
        assert shown == store.blob(sample.blob)
        assert store.blobs() == [shown]
        assert shown.info == sample.info
        assert (shown.have, shown.pages) == (HaveSet(), HaveSet())
        assert (shown.pinned, shown.complete, shown.wanted) == (False, False, False)
        assert store.root(sample.blob) == sample.root

    def test_begin_refuses_what_is_not_the_root_of_that_id(self, store: ChunkStore, sample: Sample) -> None:
        for root in (Sample(ODD, 1).root, sample.root[:-1], b"", b"\xff" * 100):
            with pytest.raises(StoreCorrupt):
                store.begin(sample.blob, root, pin=False)
        assert store.blobs() == []

    def test_begin_again_goes_on_and_may_pin(self, store: ChunkStore, sample: Sample) -> None:
        sample.fetch(store, [1])
        again = store.begin(sample.blob, sample.root, pin=True)
        assert again.have == HaveSet.of([1])
        assert again.pinned
        assert store.begin(sample.blob, sample.root, pin=False).pinned
        assert store.usage().used == ODD

    def test_pages_are_checked_and_kept(self, store: ChunkStore, sample: Sample) -> None:
        store.begin(sample.blob, sample.root, pin=False)
        page = sample.pages[0]
        with pytest.raises(NotFound):
            store.page(sample.blob, 0)
        for number, data in ((0, page[:-32]), (0, page + page[:32]), (0, bytes(len(page))), (1, page), (-1, page)):
            with pytest.raises(StoreCorrupt):
                store.put_page(sample.blob, number, data)
        store.put_page(sample.blob, 0, page)
        store.put_page(sample.blob, 0, page)
        assert store.page(sample.blob, 0) == page
        assert store.blob(sample.blob).pages == HaveSet.of([0])
        assert [store.chunk_digest(sample.blob, i) for i in range(4)] == [sha256(one) for one in sample.chunks()]
        for index in (-1, 4):
            with pytest.raises(NotFound):
                store.chunk_digest(sample.blob, index)

    # ---- chunks

    def test_chunks_come_in_any_order_and_are_readable_at_once(self, store: ChunkStore, sample: Sample) -> None:
        sample.begin(store)
        for index in (3, 0, 2):
            store.put_chunk(sample.blob, index, sample.chunk(index))
            assert store.read(sample.blob, index) == sample.chunk(index)
        assert store.blob(sample.blob).have == HaveSet.of([0, 2, 3])
        with pytest.raises(NotFound):
            store.read(sample.blob, 1)

    def test_a_chunk_needs_its_page(self, store: ChunkStore, sample: Sample) -> None:
        store.begin(sample.blob, sample.root, pin=False)
        with pytest.raises(NotFound):
            store.put_chunk(sample.blob, 0, sample.chunk(0))

    def test_a_wrong_chunk_is_refused(self, store: ChunkStore, sample: Sample) -> None:
        sample.begin(store)
        good = sample.chunk(0)
        for data in (sample.chunk(1), good[:-1], good + b"x", b"", bytes(CHUNK_BYTES)):
            with pytest.raises(StoreCorrupt):
                store.put_chunk(sample.blob, 0, data)
        for index in (-1, 4, 1 << 40):
            with pytest.raises(NotFound):
                store.put_chunk(sample.blob, index, good)
        assert not store.blob(sample.blob).have

    @pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
    def test_any_buffer_will_do(
        self, store: ChunkStore, sample: Sample, kind: Callable[[bytes], bytes | bytearray | memoryview]
    ) -> None:
        sample.begin(store)
        store.put_chunk(sample.blob, 0, kind(sample.chunk(0)))
        store.put_chunk(sample.blob, 0, kind(sample.chunk(0)))
        assert store.read(sample.blob, 0) == sample.chunk(0)

    def test_parts_of_a_chunk_are_read(self, store: ChunkStore, sample: Sample) -> None:
        sample.fetch(store)
        for _ in range(2):  # the first read of a chunk checks it, the second need not
            assert store.read(sample.blob, 1, 100, 50) == sample.chunk(1)[100:150]
            assert store.read(sample.blob, 1, 100) == sample.chunk(1)[100:]
            assert store.read(sample.blob, 3, 999, 1) == sample.chunk(3)[999:]
            assert store.read(sample.blob, 3, 1000) == b""
        for index, offset, size in ((3, 999, 2), (3, 1001, None), (1, -1, 2), (1, 5, -1), (4, 0, 1), (-1, 0, 1)):
            with pytest.raises(NotFound):
                store.read(sample.blob, index, offset, size)

    # ---- the whole

    def test_a_blob_is_complete_after_the_last_chunk(self, store: ChunkStore, sample: Sample) -> None:
        sample.fetch(store, [0, 1, 2])
        with pytest.raises(NotFound):
            store.complete(sample.blob)
        assert not store.blob(sample.blob).complete
        store.put_chunk(sample.blob, 3, sample.chunk(3))
        assert not store.blob(sample.blob).complete
        store.complete(sample.blob)
        store.complete(sample.blob)
        assert store.blob(sample.blob).complete
        assert sample.read_all(store) == sample.content

    def test_a_manifest_that_lies_about_the_whole_is_found_out(self, store: ChunkStore, sample: Sample) -> None:
        root = encode_root(ManifestRoot(ODD, sha256(b"else"), tuple(map(sha256, sample.pages))))
        blob = blob_id_from_root(root)
        store.begin(blob, root, pin=False)
        store.put_page(blob, 0, sample.pages[0])
        for index, data in enumerate(sample.chunks()):
            store.put_chunk(blob, index, data)
        store.complete(blob)
        assert store.blob(blob).complete, "every chunk is what its id stands for"
        assert not store.whole_is_right(blob)
        assert not store.whole_is_right(blob)
        assert store.remove(blob) == ODD

    def test_the_whole_is_right_when_the_manifest_does_not_lie(self, store: ChunkStore, sample: Sample) -> None:
        sample.fetch(store, [0, 1, 2])
        with pytest.raises(NotFound):
            store.whole_is_right(sample.blob)
        store.put_chunk(sample.blob, 3, sample.chunk(3))
        assert store.whole_is_right(sample.blob), "it need not be complete"
        store.complete(sample.blob)
        assert store.whole_is_right(sample.blob)

    # ---- drafts

    @pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, ODD])
    @pytest.mark.parametrize("step", [1000, CHUNK_BYTES, CHUNK_BYTES + 7, 10 * MIB])
    def test_a_put_blob_is_complete_and_has_its_name_from_its_bytes(
        self, store: ChunkStore, size: int, step: int
    ) -> None:
        sample = Sample(size, seed=size)
        draft = store.draft()
        for at in range(0, size, step):
            draft.write(memoryview(sample.content)[at : at + step])
        assert store.blobs() == []
        shown = draft.commit(name="model.bin", pin=True)
        assert shown == store.blob(sample.blob)
        assert (shown.complete, shown.pinned, shown.name) == (True, True, "model.bin")
        assert shown.have == HaveSet.full(sample.info.chunks)
        assert shown.pages == HaveSet.full(sample.info.pages)
        assert store.root(sample.blob) == sample.root
        assert [store.page(sample.blob, i) for i in range(sample.info.pages)] == sample.pages
        assert sample.read_all(store) == sample.content
        store.complete(sample.blob)
        assert store.usage().used == size

    def test_an_aborted_draft_leaves_nothing(self, store: ChunkStore, sample: Sample) -> None:
        draft = store.draft()
        draft.write(sample.content)
        assert store.usage().used > 0
        draft.abort()
        draft.abort()
        assert store.usage().used == 0
        with pytest.raises(StoreError):
            draft.commit(name="", pin=False)
        with pytest.raises(StoreError):
            draft.write(b"more")
        assert store.blobs() == []

    def test_a_draft_ends_with_its_commit(self, store: ChunkStore, sample: Sample) -> None:
        draft = store.draft()
        draft.write(sample.content)
        draft.commit(name="", pin=False)
        draft.abort()
        with pytest.raises(StoreError):
            draft.commit(name="", pin=False)
        assert sample.read_all(store) == sample.content
        assert store.usage().used == ODD

    def test_the_same_file_twice_is_one_blob(self, store: ChunkStore, sample: Sample) -> None:
        first = sample.put(store, name="a")
        second = sample.put(store, name="b", pin=True)
        assert second.info == first.info
        assert (second.pinned, second.name, second.added) == (True, "a", first.added)
        assert sample.put(store).pinned
        assert store.blobs() == [second]
        assert store.usage().used == ODD
        assert sample.read_all(store) == sample.content

    def test_a_put_completes_what_was_fetched_in_part(self, store: ChunkStore, sample: Sample) -> None:
        sample.fetch(store, [2])
        store.set_pinned(sample.blob, True)
        store.set_wanted(sample.blob, True)
        assert store.read(sample.blob, 2) == sample.chunk(2)
        shown = sample.put(store, name="a")
        assert (shown.complete, shown.pinned, shown.name) == (True, True, "a")
        assert sample.read_all(store) == sample.content
        store.flush()
        assert store.usage().used == ODD

    def test_small_blobs_are_kept_together_as_if_each_was_put(self, store: ChunkStore) -> None:
        samples = [Sample(size, seed) for seed, size in enumerate((20_000, 1, CHUNK_BYTES, 20_000, 0, 7))]
        small = [SmallBlob(sample.content, f"dir/{seed}", pin=seed == 1) for seed, sample in enumerate(samples)]
        shown = store.small.keep([*small, small[0]])
        assert shown[-1] == shown[0]
        assert store.usage().used == sum(len(sample.content) for sample in samples)
        for seed, sample in enumerate(samples):
            assert store.blob(sample.blob) == shown[seed]
            assert sample.read_all(store) == sample.content
            assert [store.page(sample.blob, page) for page in range(sample.info.pages)] == sample.pages
            store.remove(sample.blob)
            alone = sample.put(store, name=str(seed), pin=seed == 1)
            assert replace(shown[seed], added=0.0) == replace(alone, added=0.0)

    def test_a_batch_completes_pins_and_names_what_is_here(self, store: ChunkStore) -> None:
        begun, there, new = (Sample(1000, seed) for seed in range(3))
        begun.begin(store)
        store.set_wanted(begun.blob, True)
        there.put(store, name="first")
        shown = store.small.keep([SmallBlob(one.content, "second", pin=True) for one in (begun, there, new)])
        assert [(one.complete, one.pinned, one.wanted) for one in shown] == [(True, True, False)] * 3
        assert [one.name for one in shown] == ["second", "first", "second"]
        assert store.usage().used == 3000

    def test_a_batch_beyond_the_cap_leaves_nothing(self, make: Make) -> None:
        store = make(50_000)
        with pytest.raises(StoreFull):
            store.small.keep([SmallBlob(Sample(20_000, seed).content) for seed in range(3)])
        assert (store.blobs(), store.usage().used) == ([], 0)
        assert len(store.small.keep([SmallBlob(Sample(20_000, seed).content) for seed in range(2)])) == 2

    def test_two_drafts_do_not_mix(self, store: ChunkStore) -> None:
        samples = [Sample(ODD, seed) for seed in range(2)]
        drafts = [store.draft() for _ in samples]
        for at in range(0, ODD, 10_000):
            for draft, sample in zip(drafts, samples, strict=True):
                draft.write(sample.content[at : at + 10_000])
        for draft, sample in zip(drafts, samples, strict=True):
            assert draft.commit(name="", pin=False).info == sample.info
            assert sample.read_all(store) == sample.content

    # ---- flags, finding, removing

    def test_flags_are_kept(self, store: ChunkStore, sample: Sample) -> None:
        sample.put(store)
        store.set_pinned(sample.blob, True)
        store.set_wanted(sample.blob, True)
        assert (store.blob(sample.blob).pinned, store.blob(sample.blob).wanted) == (True, True)
        store.set_pinned(sample.blob, False)
        store.set_wanted(sample.blob, False)
        assert (store.blob(sample.blob).pinned, store.blob(sample.blob).wanted) == (False, False)

    def test_blobs_are_found_by_prefix_and_by_digest_of_the_whole(self, store: ChunkStore) -> None:
        samples = [Sample(1000, seed) for seed in range(5)]
        for sample in samples:
            sample.put(store)
        wanted = samples[3]
        assert store.find(prefix=wanted.blob[:12]) == [wanted.blob]
        assert store.find(prefix=wanted.blob) == [wanted.blob]
        assert sorted(store.find(prefix="b")) == sorted(sample.blob for sample in samples)
        assert store.find(prefix="bzzzzzzz") == []
        assert store.find(sha256=sha256(wanted.content)) == [wanted.blob]
        assert store.find(sha256=sha256(b"else")) == []

    def test_a_removed_blob_is_gone_and_can_come_back(self, store: ChunkStore, sample: Sample) -> None:
        sample.put(store)
        assert store.remove(sample.blob) == ODD
        for ask in (store.blob, store.root, store.remove):
            with pytest.raises(NotFound):
                ask(sample.blob)
        assert store.usage().used == 0
        shown = sample.begin(store)
        assert not shown.have
        with pytest.raises(NotFound):
            store.read(sample.blob, 0)
        store.put_chunk(sample.blob, 1, sample.chunk(1))
        assert store.remove(sample.blob) == CHUNK_BYTES
        store.flush()
        assert store.blobs() == []

    # ---- room

    def test_the_cap_holds_for_what_was_begun(self, make: Make) -> None:
        store = make(2 * ODD)
        for seed in range(2):
            Sample(ODD, seed).begin(store)
        third = Sample(1, 2)
        with pytest.raises(StoreFull):
            store.begin(third.blob, third.root, pin=False)
        with pytest.raises(StoreFull):
            third.put(store)
        store.remove(Sample(ODD, 0).blob)
        third.put(store)
        assert store.usage().used == ODD + 1

    def test_a_draft_beyond_the_cap_leaves_nothing(self, make: Make) -> None:
        store = make(ODD)
        big, fits = Sample(ODD + 1), Sample(ODD)
        with pytest.raises(StoreFull):
            big.put(store)
        assert store.usage().used == 0
        fits.put(store)
        assert fits.read_all(store) == fits.content

    # ---- threads

    def test_readers_and_a_writer_share_it(self, store: ChunkStore) -> None:
        samples = [Sample(12 * CHUNK_BYTES, seed) for seed in range(2)]
        for sample in samples:
            sample.begin(store)

        def write() -> None:
            for index in range(12):
                for sample in samples:
                    store.put_chunk(sample.blob, index, sample.chunk(index))
                store.flush()

        def read(sample: Sample) -> int:
            read = 0
            while read < 12:
                for index in store.blob(sample.blob).have:
                    assert store.read(sample.blob, index) == sample.chunk(index)
                read = len(store.blob(sample.blob).have)
            return read

        with ThreadPoolExecutor(5) as pool:
            readers = [pool.submit(read, sample) for sample in samples * 2]
            pool.submit(write).result(60)
            assert [reader.result(60) for reader in readers] == [12] * 4
        assert all(store.whole_is_right(sample.blob) for sample in samples)

    def test_a_reader_of_a_removed_blob_ends_with_not_found(self, store: ChunkStore, sample: Sample) -> None:
        def read(blob: BlobId) -> bool:
            while True:
                try:
                    assert store.read(blob, 1) == sample.chunk(1)
                except NotFound:
                    return True

        sample.put(store)
        with ThreadPoolExecutor(2) as pool:
            readers = [pool.submit(read, sample.blob) for _ in range(2)]
            store.read(sample.blob, 0)
            store.remove(sample.blob)
            assert all(reader.result(60) for reader in readers)

    def test_a_closed_store_says_so(self, store: ChunkStore, sample: Sample) -> None:
        sample.put(store)
        draft = store.draft()
        draft.write(b"x")
        store.close()
        store.close()
        with pytest.raises(StoreError):
            store.read(sample.blob, 0)
        with pytest.raises(StoreError):
            draft.commit(name="", pin=False)
