"""Blobs of 256 MiB and more: under rule 3, and those that were put before there was one."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import subprocess
from pathlib import Path

import cbor2
import pytest

from edgecache.daemon.leaves import SiteLeafSource
from edgecache.daemon.readings import ReadingsBoard
from edgecache.model.content import (
    CHUNK_BYTES,
    CHUNK_SIZES,
    LARGE_BLOB_BYTES,
    PAGE_CHUNKS,
    RULE_FIXED,
    RULE_LARGE,
    BlobInfo,
    ManifestRoot,
    chunk_count,
    chunk_digest,
)
from edgecache.model.errors import StoreCorrupt, StoreNewer, UnknownRule
from edgecache.model.have import HaveSet
from edgecache.model.ids import blob_id_from_root, sha256
from edgecache.store.disk import DiskStore
from edgecache.wire.manifest import encode_root, info_of
from tests.integration.store.conftest import Opener
from tests.unit.daemon.stubs import StubEngine

SIZE = LARGE_BLOB_BYTES + 1000
KEPT = (0, 1, 3)


class Large:
    """A large blob of which only a few chunks have bytes that anybody knows."""

    def __init__(self, rule: int) -> None:
        self.chunk_size = CHUNK_SIZES[rule]
        count = chunk_count(SIZE, self.chunk_size)
        self.chunks = {index: os.urandom(self.chunk_size) for index in KEPT} | {count - 1: os.urandom(1000)}
        digests = [
            chunk_digest(self.chunks[index]) if index in self.chunks else sha256(b"%d" % index)
            for index in range(count)
        ]
        self.pages = [b"".join(digests[at : at + PAGE_CHUNKS]) for at in range(0, count, PAGE_CHUNKS)]
        whole = sha256(b"nobody has all of it")
        self.root = encode_root(ManifestRoot(SIZE, whole, tuple(sha256(page) for page in self.pages), rule))
        self.info: BlobInfo = info_of(self.root)

    def begin(self, store: DiskStore) -> None:
        store.begin(self.info.blob, self.root, pin=False)
        for number, page in enumerate(self.pages):
            store.put_page(self.info.blob, number, page)

    def fetch(self, store: DiskStore, *indexes: int) -> None:
        for index in indexes:
            store.put_chunk(self.info.blob, index, self.chunks[index])


@pytest.fixture(params=[RULE_FIXED, RULE_LARGE])
def large(request: pytest.FixtureRequest) -> Large:
    return Large(request.param)


def test_chunks_are_at_their_places_and_survive_a_restart(opened: Opener, tmp_path: Path, large: Large) -> None:
    store = opened()
    large.begin(store)
    last = large.info.chunks - 1
    large.fetch(store, *KEPT, last)
    (data,) = (tmp_path / "store").rglob("*.data")
    with data.open("rb") as file:
        for index, content in large.chunks.items():
            file.seek(index * large.chunk_size)
            assert file.read(len(content)) == content
    store.close()
    store = opened()
    assert store.blob(large.info.blob).info == large.info
    assert store.blob(large.info.blob).have == HaveSet.of([*KEPT, last])
    assert all(store.read(large.info.blob, index) == content for index, content in large.chunks.items())
    end = large.chunk_size
    assert store.read(large.info.blob, 3, end - 70_000, 70_000) == large.chunks[3][end - 70_000 :]


def test_chunks_that_no_map_names_are_found_after_a_kill(opened: Opener, tmp_path: Path, large: Large) -> None:
    store = opened()
    large.begin(store)
    large.fetch(store, 0)
    store.flush()
    large.fetch(store, 3)
    killed = tmp_path / "killed"
    subprocess.run(["cp", "-a", "--sparse=always", tmp_path / "store", killed], check=True, timeout=60)
    after = opened(killed)
    assert after.blob(large.info.blob).have == HaveSet.of([0, 3])
    assert after.recovered.chunks == 1
    assert after.read(large.info.blob, 3) == large.chunks[3]


@pytest.mark.parametrize("place", [7, -7])
def test_a_byte_that_changed_on_the_disk_is_noticed(opened: Opener, tmp_path: Path, large: Large, place: int) -> None:
    store = opened()
    large.begin(store)
    large.fetch(store, 0, 1)
    store.close()
    (data,) = (tmp_path / "store").rglob("*.data")
    with data.open("r+b") as file:
        file.seek(large.chunk_size + (place if place > 0 else large.chunk_size + place))
        file.write(b"\xa5\x5a")
    store = opened()
    assert store.read(large.info.blob, 0) == large.chunks[0]
    with pytest.raises(StoreCorrupt):
        store.read(large.info.blob, 1, 100_000, 10)
    assert store.blob(large.info.blob).have == HaveSet.of([0])


def test_a_data_file_that_was_cut_keeps_whole_chunks_only(opened: Opener, tmp_path: Path, large: Large) -> None:
    store = opened()
    large.begin(store)
    large.fetch(store, *KEPT)
    store.close()
    (data,) = (tmp_path / "store").rglob("*.data")
    os.truncate(data, 3 * large.chunk_size + large.chunk_size // 2)
    assert opened().blob(large.info.blob).have == HaveSet.of([0, 1])


def test_a_root_of_a_later_rule_is_not_taken_for_a_damaged_one(opened: Opener, tmp_path: Path) -> None:
    store = opened()
    later = cbor2.dumps({1: 9, 2: SIZE, 3: bytes(32), 4: [bytes(32)]})
    with pytest.raises(UnknownRule) as raised:
        store.begin(blob_id_from_root(later), later, pin=False)
    assert "newer" in str(raised.value.hint)
    with pytest.raises(StoreCorrupt):
        store.begin(blob_id_from_root(b"another"), later, pin=False)
    Large(RULE_FIXED).begin(store)
    store.close()
    with contextlib.closing(sqlite3.connect(tmp_path / "store" / "index.sqlite3")) as index:
        index.execute("PRAGMA foreign_keys = OFF")
        index.execute("UPDATE blob SET root = ?, id = ?", (later, blob_id_from_root(later)))
        index.execute("UPDATE page SET blob = ?", (blob_id_from_root(later),))
        index.commit()
    with pytest.raises(StoreNewer):
        opened()


def test_bytes_that_hash_alike_but_are_fewer_are_refused(opened: Opener) -> None:
    """The digests of a chunk's leaves, one after the other, have its digest."""
    large, store = Large(RULE_LARGE), opened()
    large.begin(store)
    content = large.chunks[1]
    leaves = sha256(content[:CHUNK_BYTES]) + sha256(content[CHUNK_BYTES:])
    assert chunk_digest(leaves) == store.chunk_digest(large.info.blob, 1)
    with pytest.raises(StoreCorrupt):
        store.put_chunk(large.info.blob, 1, leaves)
    assert not store.blob(large.info.blob).have
    large.fetch(store, 1)


def test_what_is_put_can_be_fetched_and_its_digest_of_the_whole_is_right(opened: Opener, tmp_path: Path) -> None:
    store, piece = opened(), os.urandom(1 << 20)
    draft = store.draft()
    for _ in range(LARGE_BLOB_BYTES >> 20):
        draft.write(piece)
    draft.write(b"end")
    stored = draft.commit(name="", pin=False)
    assert (stored.info.chunks, stored.info.chunk_size) == (513, 512 * 1024)
    assert store.read(stored.info.blob, 512) == b"end"
    assert store.read(stored.info.blob, 1) == piece[512 * 1024 :]
    sink = opened(tmp_path / "sink")
    sink.begin(stored.info.blob, store.root(stored.info.blob), pin=False)
    for number in range(stored.info.pages):
        sink.put_page(stored.info.blob, number, store.page(stored.info.blob, number))
    for index in range(stored.info.chunks):
        sink.put_chunk(stored.info.blob, index, store.read(stored.info.blob, index))
    sink.complete(stored.info.blob)
    assert sink.whole_is_right(stored.info.blob)

    async def leaf() -> None:
        """A client of plain CoAP reads over the borders of chunks, and the end."""
        engine = StubEngine()
        engine.store = sink
        source = SiteLeafSource(engine, ReadingsBoard(engine.node, engine.clock), {})
        begin, size = 100 * CHUNK_BYTES, 3 * CHUNK_BYTES + 9
        assert await source.read_blob(stored.info.blob, begin, size) == (piece * 2)[:size]
        assert await source.read_blob(stored.info.blob, LARGE_BLOB_BYTES - 2, 100) == piece[-2:] + b"end"

    asyncio.run(leaf())
