"""The store on disk is a chunk store, whatever its settings."""

from __future__ import annotations

import pytest

from edgecache.model.content import CHUNK_BYTES
from edgecache.ports import ChunkStore, NodeMemory
from tests.conformance.chunk_store import ChunkStoreConformance, Make
from tests.integration.store.conftest import Opener


class TestDiskStore(ChunkStoreConformance):
    @pytest.fixture
    def make(self, opened: Opener) -> Make:
        def make(cap: int) -> ChunkStore:
            return opened(cap=cap)

        return make


class TestDiskStoreThatSyncsAlwaysAndKeepsNoFilesOpen(ChunkStoreConformance):
    @pytest.fixture
    def make(self, opened: Opener) -> Make:
        def make(cap: int) -> ChunkStore:
            return opened(cap=cap, batch_bytes=CHUNK_BYTES, open_files=0)

        return make


def test_it_is_what_the_node_remembers_in(opened: Opener) -> None:
    memory: NodeMemory = opened()
    assert memory.next_epoch() == 1
    assert memory.meta_get("peers") is None
    memory.meta_set("peers", b"[]")
    memory.meta_set("seen", b"\x00\xff", durable=False)
    assert memory.meta_get("peers") == b"[]"
    assert memory.next_epoch() == 2
