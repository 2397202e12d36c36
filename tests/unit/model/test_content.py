"""Sizes, places and digests of chunks, short and long."""

from __future__ import annotations

import hashlib

import pytest

from edgecache.model.content import (
    CHUNK_BYTES,
    LARGE_BLOB_BYTES,
    LARGE_CHUNK_BYTES,
    RULE_FIXED,
    RULE_LARGE,
    BlobInfo,
    chunk_digest,
    rule_of,
    unit_bytes,
)
from edgecache.model.have import HaveSet
from edgecache.model.ids import blob_id_from_root, sha256

BLOB = blob_id_from_root(b"a root")


def info(size: int, chunk_size: int = CHUNK_BYTES) -> BlobInfo:
    """A blob of that size."""
    return BlobInfo(BLOB, size, sha256(b""), chunk_size)


@pytest.mark.parametrize("chunk", [CHUNK_BYTES, LARGE_CHUNK_BYTES])
@pytest.mark.parametrize(
    ("chunks", "rest", "have", "expected"),
    [
        (0, 0, [], (0, 0)),
        (0, 10, [], (0, 0)),
        (0, 10, [0], (0, 10)),
        (1, 0, [0], (1, 0)),
        (2, 7, [0, 1], (2, 0)),
        (2, 7, [1, 2], (1, 7)),
        (2, 7, [0, 1, 2], (2, 7)),
        (3, 0, [2], (1, 0)),
    ],
)
def test_bytes_of_chunks(chunk: int, chunks: int, rest: int, have: list[int], expected: tuple[int, int]) -> None:
    assert info(chunks * chunk + rest, chunk).bytes_of(HaveSet.of(have)) == expected[0] * chunk + expected[1]


@pytest.mark.parametrize("chunk", [CHUNK_BYTES, LARGE_CHUNK_BYTES])
def test_where_chunks_are(chunk: int) -> None:
    blob = info(1025 * chunk + 5, chunk)
    assert (blob.chunks, blob.pages) == (1026, 2)
    assert [blob.offset(index) for index in (0, 1, 1025)] == [0, chunk, 1025 * chunk]
    assert [blob.chunk_bytes(index) for index in (0, 1024, 1025)] == [chunk, chunk, 5]
    assert blob.page_range(1) == range(1024, 1026)
    with pytest.raises(IndexError):
        blob.chunk_bytes(1026)


def test_blobs_of_256_mib_and_more_have_long_chunks() -> None:
    assert (rule_of(0), rule_of(LARGE_BLOB_BYTES - 1)) == (RULE_FIXED, RULE_FIXED)
    assert (rule_of(LARGE_BLOB_BYTES), rule_of(1 << 38)) == (RULE_LARGE, RULE_LARGE)
    assert LARGE_BLOB_BYTES // LARGE_CHUNK_BYTES == 512


@pytest.mark.parametrize("length", [CHUNK_BYTES + 1, LARGE_CHUNK_BYTES])
def test_a_long_chunk_is_named_by_its_leaves(length: int) -> None:
    data = bytes(range(256)) * 2048
    first, rest = hashlib.sha256(data[: 256 * 1024]), hashlib.sha256(data[256 * 1024 : length])
    assert chunk_digest(data[:length]) == hashlib.sha256(first.digest() + rest.digest()).digest()
    assert chunk_digest(memoryview(data)[: 256 * 1024]) == first.digest()


def test_what_hashes_alike_but_is_shorter_is_not_the_chunk() -> None:
    """The two digests of the leaves have, as 64 bytes, the digest of the chunk."""
    data = bytes(LARGE_CHUNK_BYTES)
    digest = chunk_digest(data)
    leaves = sha256(data[:CHUNK_BYTES]) * 2
    assert chunk_digest(leaves) == digest
    blob = info(LARGE_BLOB_BYTES, LARGE_CHUNK_BYTES)
    assert blob.is_chunk(0, data, digest)
    assert not blob.is_chunk(0, leaves, digest)
    assert not blob.is_chunk(0, data[:-1] + b"\1", digest)


@pytest.mark.parametrize(("fits", "unit"), [(0.0, 16384), (65536.0, 65536), (65535.0, 32768), (1e9, CHUNK_BYTES)])
def test_a_unit_is_a_power_of_two_and_at_most_a_chunk(fits: float, unit: int) -> None:
    assert unit_bytes(fits, 16384) == unit
