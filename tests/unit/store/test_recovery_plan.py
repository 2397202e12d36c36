"""What recovery decides, from what it is told was found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from edgecache.model.content import CHUNK_BYTES, PAGE_CHUNKS, BlobInfo
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId, blob_id_from_root, sha256
from edgecache.store.index import BlobRow
from edgecache.store.layout import Layout
from edgecache.store.recovery import Kept, Plan, plan_recovery

LAYOUT = Layout(Path("/store"))
BLOB = blob_id_from_root(b"a root")
SIZE = 5 * CHUNK_BYTES + 10


def kept(
    *, complete: bool = False, mapped: HaveSet | None = None, size: int = SIZE, file: int, data: list[int]
) -> Kept:
    """A blob with one page; `data` are the chunks that have bytes."""
    info = BlobInfo(BLOB, size, sha256(b""))
    row = BlobRow(BLOB, b"a root", complete, pinned=False, wanted=False, name="", added=0.0)
    ranges = tuple((at * CHUNK_BYTES, (at + 1) * CHUNK_BYTES) for at in data)
    return Kept(row, info, mapped or HaveSet(), HaveSet.of([0]), file, ranges)


def planned(*found: Kept, blob_files: list[str] | None = None, drafts: list[str] | None = None) -> Plan:
    return plan_recovery(LAYOUT, found, blob_files or [], drafts or [])


def test_nothing_found_is_nothing_to_do() -> None:
    assert planned() == Plan((), (), {}, {})


def test_drafts_and_files_of_no_blob_go_and_nothing_else() -> None:
    orphan = blob_id_from_root(b"another")
    plan = planned(
        kept(complete=True, file=SIZE, data=[]),
        blob_files=[f"{BLOB}.data", f"{orphan}.data", f"{orphan}.data.old", "b.data", "notes"],
        drafts=["2.draft", "1.draft", "1.draft~"],
    )
    drafts = LAYOUT.drafts
    assert plan.remove == (drafts / "1.draft", drafts / "2.draft", LAYOUT.data(BlobId(orphan)))


def test_a_complete_blob_is_trusted_as_far_as_its_file_has_its_size() -> None:
    assert planned(kept(complete=True, file=SIZE, data=[])) == Plan((), (), {BLOB: HaveSet.full(6)}, {})
    for file, chunks in ((0, 0), (CHUNK_BYTES - 1, 0), (2 * CHUNK_BYTES, 2), (SIZE - 1, 5), (SIZE + 1, 6)):
        assert planned(kept(complete=True, file=file, data=[])) == Plan((), (BLOB,), {BLOB: HaveSet.full(chunks)}, {})


def test_an_incomplete_blob_keeps_its_map_and_has_the_rest_hashed() -> None:
    plan = planned(kept(mapped=HaveSet.of([0, 3]), file=SIZE, data=[0, 1, 3, 5]))
    assert plan == Plan((), (), {BLOB: HaveSet.of([0, 3])}, {BLOB: (1, 5)})


def test_a_map_is_not_trusted_beyond_the_end_of_the_file() -> None:
    plan = planned(kept(mapped=HaveSet.of([0, 3]), file=2 * CHUNK_BYTES + 5, data=[0, 1, 2]))
    assert plan == Plan((), (), {BLOB: HaveSet.of([0])}, {BLOB: (1,)})


def test_a_chunk_with_a_single_block_in_it_is_worth_hashing() -> None:
    edge = 2 * CHUNK_BYTES
    found = replace(kept(file=SIZE, data=[]), data=((edge - 4096, edge + 1),))
    assert planned(found).check == {BLOB: (1, 2)}


def test_chunks_without_their_manifest_page_cannot_be_checked() -> None:
    size = (PAGE_CHUNKS + 5) * CHUNK_BYTES
    found = kept(size=size, file=size, data=[PAGE_CHUNKS - 1, PAGE_CHUNKS, PAGE_CHUNKS + 3])
    assert planned(found).check == {BLOB: (PAGE_CHUNKS - 1,)}
