"""What a start does about what an earlier end left behind: survey the disk, plan, then apply.

The index says which blobs are here; files are only believed where it, or a digest in it, vouches for them:

    a draft                                       remove: its put was never acknowledged
    a data file without a blob in the index       remove: its put or begin was never acknowledged, or its rm was
    a complete blob whose file has another size   demote to the chunks inside the file; the rest is fetched again
    an incomplete blob                            trust its map (synced before it was written) as far as the file reaches;
                                                  hash all other chunks that have any bytes, and take those that match

Other files are not ours to touch. Reads verify each chunk once more, so trust costs nothing that a reader could see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edgecache.model.content import CHUNK_BYTES, PAGE_CHUNKS, BlobInfo
from edgecache.model.errors import NotFound, StoreError
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId, Digest, sha256
from edgecache.store.files import Files

DATA_SUFFIX = ".data"
DRAFT_SUFFIX = ".draft"

_DATA_FILE = re.compile(r"(b[a-z2-7]{53})\.data\Z")


@dataclass(frozen=True, slots=True)
class Kept:
    """A blob of the index as it is found at a start."""

    info: BlobInfo
    complete: bool
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


def data_files(names: Iterable[str]) -> dict[str, str]:
    """The names that are those of data files, by the blob that they belong to."""
    return {match[1]: name for name in names if (match := _DATA_FILE.match(name))}


def plan_recovery(kept: Iterable[Kept], blobs: Path, blob_files: Iterable[str], drafts: Iterable[Path]) -> Plan:
    """Decide from what was found; touches nothing."""
    blobs_kept = list(kept)
    known = {one.info.blob for one in blobs_kept}
    orphans = [blobs / name for blob, name in sorted(data_files(blob_files).items()) if blob not in known]
    have: dict[BlobId, HaveSet] = {}
    check: dict[BlobId, tuple[int, ...]] = {}
    demote: list[BlobId] = []
    for one in blobs_kept:
        inside = HaveSet.full(_chunks_inside(one.info, one.file_bytes))
        if one.complete:
            have[one.info.blob] = inside
            if one.file_bytes != one.info.size:
                demote.append(one.info.blob)
            continue
        have[one.info.blob] = one.mapped & inside
        check[one.info.blob] = _worth_hashing(one, inside)
    drafts_left = [path for path in sorted(drafts) if path.suffix == DRAFT_SUFFIX]
    return Plan((*drafts_left, *orphans), tuple(demote), have, {blob: found for blob, found in check.items() if found})


def _chunks_inside(info: BlobInfo, file_bytes: int) -> int:
    if file_bytes >= info.size:
        return info.chunks
    return file_bytes // CHUNK_BYTES


def _worth_hashing(one: Kept, inside: HaveSet) -> tuple[int, ...]:
    bits = 0
    for first, end in one.data:
        low, high = first // CHUNK_BYTES, -(-end // CHUNK_BYTES)
        bits |= (1 << high) - (1 << low)
    candidates = (HaveSet(bits) & inside) - one.mapped
    return tuple(index for index in candidates if index // PAGE_CHUNKS in one.pages)


def recovered_chunks(
    files: Files, path: Path, info: BlobInfo, indexes: Iterable[int], digest_of: Callable[[int], Digest]
) -> list[int]:
    """Those of the chunks in a data file whose bytes are what the manifest says."""
    found = []
    descriptor = files.open(path, write=False)
    try:
        for index in indexes:
            with suppress(NotFound, StoreError):  # a chunk that cannot be read or checked is not here
                data = files.read_at(descriptor, info.chunk_bytes(index), index * CHUNK_BYTES)
                if sha256(data) == digest_of(index):
                    found.append(index)
    finally:
        files.close(descriptor)
    return found
