"""What a start does about what an earlier end left behind: survey the disk, plan, then apply.

The index says which blobs are here; files are only believed where it, or a digest in it, vouches for them:

    a draft                                       remove: its put was never acknowledged
    a data file without a blob in the index       remove: its put or begin was never acknowledged, or its removal was
    a complete blob whose file has another size   demote to the chunks inside the file; the rest is fetched again
    an incomplete blob                            trust its map, written after its chunks were synced, as far as the
                                                  file reaches; hash other chunks that have bytes, take those that match

Reads verify each chunk once more, so trust costs nothing that a reader could see.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgecache.model.content import MAX_PAGES, PAGE_CHUNKS, BlobInfo
from edgecache.model.errors import MalformedMessage, NotFound, StoreCorrupt, StoreError, StoreNewer, UnknownRule
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId
from edgecache.ports import StoredBlob
from edgecache.store.files import Files
from edgecache.store.held import Held, map_rows
from edgecache.store.index import BlobRow, Index, damaged_hint
from edgecache.store.layout import DRAFT_SUFFIX, Layout, data_files
from edgecache.store.pages import PageCache
from edgecache.wire.manifest import info_of


@dataclass(frozen=True, slots=True)
class Kept:
    """A blob of the index, and what is on the disk of it."""

    row: BlobRow
    info: BlobInfo
    mapped: HaveSet
    """Chunks of the committed map."""
    pages: HaveSet
    file_bytes: int
    """Size of its data file; 0 when there is none."""
    data: tuple[tuple[int, int], ...] = ()
    """The parts of its data file that are no holes, as (first, end); looked up for incomplete blobs only."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a start will do; to print it is a dry run."""

    remove: tuple[Path, ...]
    demote: tuple[BlobId, ...]
    have: Mapping[BlobId, HaveSet]
    """Chunks that are trusted."""
    check: Mapping[BlobId, tuple[int, ...]]
    """Chunks to hash."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a start did; for the log."""

    removed: tuple[str, ...]
    """Files that belonged to nothing acknowledged."""
    demoted: tuple[BlobId, ...]
    """Complete blobs that have lost bytes."""
    chunks: int
    """Chunks found by their digests."""


def recover(layout: Layout, files: Files, index: Index, pages: PageCache) -> tuple[dict[BlobId, Held], Recovered]:
    """All blobs as they are after recovery. Needs no free disk space. StoreCorrupt if the index is damaged."""
    kept = _survey(layout, files, index)
    plan = plan_recovery(layout, kept, files.sizes(layout.blobs), files.sizes(layout.drafts))
    if any(path.parent == layout.blobs for path in plan.remove):
        index.check()  # else a damaged index that has lost rows would cost the files of these blobs
    held = {one.info.blob: _held(one, plan) for one in kept}
    for path in plan.remove:
        with suppress(StoreError):  # the next start tries again
            files.unlink(path)
    for blob in plan.demote:
        with suppress(StoreError):  # reads find out again
            index.demote(blob, map_rows(blob, held[blob].shown.have, range(held[blob].info.pages)))
    found = sum(
        _take_matching(held[blob], indexes, layout.data(blob), files, pages) for blob, indexes in plan.check.items()
    )
    return held, Recovered(tuple(path.name for path in plan.remove), plan.demote, found)


def _survey(layout: Layout, files: Files, index: Index) -> list[Kept]:
    mapped: dict[BlobId, int] = {}
    for row in index.maps():
        _require_page(row.page, layout)
        mapped[row.blob] = mapped.get(row.blob, 0) | row.bits << row.page * PAGE_CHUNKS
    pages: dict[BlobId, list[int]] = {}
    for blob, page in index.pages():
        _require_page(page, layout)
        pages.setdefault(blob, []).append(page)
    return [
        _look(blob_row, HaveSet(mapped.get(blob_row.id, 0)), HaveSet.of(pages.get(blob_row.id, ())), layout, files)
        for blob_row in index.blobs()
    ]


def _require_page(page: int, layout: Layout) -> None:
    if not 0 <= page < MAX_PAGES:
        raise StoreCorrupt(f"there is no manifest page {page}", hint=damaged_hint(layout.root))


def _look(row: BlobRow, mapped: HaveSet, pages: HaveSet, layout: Layout, files: Files) -> Kept:
    try:
        info = info_of(row.root)
    except UnknownRule as error:
        raise StoreNewer(f"the manifest root of {row.id}: {error.message}", hint=error.hint) from error
    except MalformedMessage as error:
        raise StoreCorrupt(f"the manifest root of {row.id}: {error.message}", hint=damaged_hint(layout.root)) from error
    if info.blob != row.id:
        raise StoreCorrupt(f"the manifest root of {row.id} is another's", hint=damaged_hint(layout.root))
    path = layout.data(row.id)
    size = files.size(path)
    data: list[tuple[int, int]] = []
    if size and not row.complete:
        descriptor = files.open(path, write=False)
        try:
            data = files.data_ranges(descriptor)
        finally:
            files.close(descriptor)
    return Kept(row, info, mapped, pages, size, tuple(data))


def plan_recovery(layout: Layout, kept: Iterable[Kept], blob_files: Iterable[str], drafts: Iterable[str]) -> Plan:
    """Decide from what was found; touches nothing."""
    remove = [layout.drafts / name for name in sorted(drafts) if name.endswith(DRAFT_SUFFIX)]
    orphans = data_files(blob_files)
    have: dict[BlobId, HaveSet] = {}
    check: dict[BlobId, tuple[int, ...]] = {}
    demote: list[BlobId] = []
    for one in kept:
        blob = one.info.blob
        orphans.pop(blob, None)
        inside = HaveSet.full(_chunks_inside(one.info, one.file_bytes))
        if one.row.complete:
            have[blob] = inside
            if one.file_bytes != one.info.size:
                demote.append(blob)
            continue
        have[blob] = one.mapped & inside
        if worth_hashing := _unmapped(one, inside):
            check[blob] = worth_hashing
    remove += [layout.blobs / name for name in sorted(orphans.values())]
    return Plan(tuple(remove), tuple(demote), have, check)


def _chunks_inside(info: BlobInfo, file_bytes: int) -> int:
    return info.chunks if file_bytes >= info.size else file_bytes // info.chunk_size


def _unmapped(one: Kept, inside: HaveSet) -> tuple[int, ...]:
    bits, size = 0, one.info.chunk_size
    for first, end in one.data:
        bits |= (1 << -(-end // size)) - (1 << first // size)
    candidates = (HaveSet(bits) & inside) - one.mapped
    return tuple(index for index in candidates if index // PAGE_CHUNKS in one.pages)


def _held(one: Kept, plan: Plan) -> Held:
    row, blob = one.row, one.info.blob
    shown = StoredBlob(
        one.info,
        plan.have[blob],
        one.pages,
        pinned=row.pinned,
        complete=row.complete and blob not in plan.demote,
        wanted=row.wanted,
        name=row.name,
        added=row.added,
    )
    return Held(shown, row.root)


def _take_matching(held: Held, indexes: Iterable[int], path: Path, files: Files, pages: PageCache) -> int:
    descriptor = files.open(path, write=False)
    try:
        for index in indexes:
            with suppress(NotFound, StoreError):  # a chunk that cannot be read or checked is not here
                data = files.read_at(descriptor, held.info.chunk_bytes(index), held.info.offset(index))
                if held.info.is_chunk(index, data, pages.digest(held, index)):
                    held.fresh.append(index)
    finally:
        files.close(descriptor)
    found = HaveSet.of(held.fresh)
    held.verified |= found
    held.change(have=held.shown.have | found)
    return len(found)
