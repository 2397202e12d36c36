"""Blob ids are pinned for ever; a manifest that is not exactly right is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cbor2
import pytest

from edgecache.model.content import (
    CHUNK_BYTES,
    LARGE_BLOB_BYTES,
    LARGE_CHUNK_BYTES,
    MAX_BLOB_BYTES,
    PAGE_CHUNKS,
    RULE_LARGE,
    ManifestRoot,
    chunk_digest,
)
from edgecache.model.errors import InvariantBroken, MalformedMessage
from edgecache.model.ids import DIGEST_BYTES, Digest, sha256
from edgecache.wire.limits import ROOT_BYTES_MAX
from edgecache.wire.manifest import ManifestBuilder, decode_root, encode_root, info_of, page_digests

VECTOR_FILE = Path(__file__).parents[2] / "vectors" / "manifest.json"
PINNED: dict[str, list[dict[str, Any]]] = json.loads(VECTOR_FILE.read_text())
DIGEST = b"d" * 32
ROOT = {1: 1, 2: 5, 3: DIGEST, 4: [DIGEST]}


def built(size: int) -> ManifestBuilder:
    """A builder fed with the blob that the vectors describe."""
    builder = ManifestBuilder()
    for index in range(-(-size // CHUNK_BYTES)):
        chunk = (index + 1).to_bytes(8, "big") * (CHUNK_BYTES // 8)
        builder.update(memoryview(chunk)[: size - index * CHUNK_BYTES])
    return builder


@pytest.mark.parametrize("vector", PINNED["vectors"], ids=lambda vector: str(vector["size"]))
def test_ids_are_pinned(vector: dict[str, Any]) -> None:
    builder = built(vector["size"])
    assert builder.size == vector["size"]
    manifest = builder.finish()
    assert manifest.blob == vector["id"]
    assert manifest.root.hex() == vector["root"]
    assert [sha256(page).hex() for page in manifest.pages] == vector["pages"]
    info = info_of(manifest.root)
    assert (info.blob, info.size, info.sha256.hex()) == (vector["id"], vector["size"], vector["sha256"])
    root = decode_root(manifest.root)
    counts = [len(page_digests(root, number, page)) for number, page in enumerate(manifest.pages)]
    assert sum(counts) == info.chunks
    assert counts[:-1] == [PAGE_CHUNKS] * (info.pages - 1)


@pytest.mark.parametrize("vector", PINNED["earlier"], ids=lambda vector: str(vector["size"]))
def test_a_large_blob_that_was_put_under_rule_1_keeps_it(vector: dict[str, Any]) -> None:
    info = info_of(bytes.fromhex(vector["root"]))
    assert (info.blob, info.size, info.sha256.hex()) == (vector["id"], vector["size"], vector["sha256"])
    assert info.chunk_size == CHUNK_BYTES
    assert [page.hex() for page in decode_root(bytes.fromhex(vector["root"])).pages] == vector["pages"]


def test_a_long_chunk_is_listed_as_it_is_checked() -> None:
    size = LARGE_BLOB_BYTES + CHUNK_BYTES + 1
    manifest = built(size).finish()
    assert decode_root(manifest.root).rule == RULE_LARGE
    (page,) = manifest.pages
    digests = page_digests(decode_root(manifest.root), 0, page)
    assert len(digests) == 513
    first, second, ahead, last = (number.to_bytes(8, "big") * (CHUNK_BYTES // 8) for number in (1, 2, 1025, 1026))
    assert digests[0] == chunk_digest(first + second)
    assert digests[512] == chunk_digest(ahead + last[:1])


def test_finish_may_be_asked_again() -> None:
    builder = ManifestBuilder()
    empty = builder.finish()
    builder.update(b"leaf")
    assert builder.finish() == builder.finish() != empty


@pytest.mark.parametrize("leaf", [b"", bytes(CHUNK_BYTES + 1)])
def test_a_leaf_is_never_empty_nor_too_long(leaf: bytes) -> None:
    with pytest.raises(InvariantBroken):
        ManifestBuilder().update(leaf)


def test_only_the_last_leaf_is_short() -> None:
    builder = ManifestBuilder()
    builder.update(bytes(CHUNK_BYTES))
    builder.update(b"end")
    with pytest.raises(InvariantBroken):
        builder.update(b"more")


def test_the_largest_root_fits() -> None:
    root = ManifestRoot(MAX_BLOB_BYTES, Digest(DIGEST), (Digest(DIGEST),) * 1024)
    encoded = encode_root(root)
    assert len(encoded) <= ROOT_BYTES_MAX
    assert decode_root(encoded) == root


@pytest.mark.parametrize(
    "wrong",
    [
        cbor2.dumps(ROOT | {1: 2}),
        cbor2.dumps(ROOT | {1: 3}),
        cbor2.dumps(ROOT | {1: 3, 2: LARGE_BLOB_BYTES - 1}),
        cbor2.dumps(ROOT | {1: 3, 2: 2 * LARGE_BLOB_BYTES + 1}),
        cbor2.dumps(ROOT | {1: True}),
        cbor2.dumps(ROOT | {2: 0}),
        cbor2.dumps(ROOT | {2: -5}),
        cbor2.dumps(ROOT | {2: 5.0}),
        cbor2.dumps(ROOT | {2: MAX_BLOB_BYTES + 1}),
        cbor2.dumps(ROOT | {2: 1024 * CHUNK_BYTES + 1}),
        cbor2.dumps(ROOT | {3: DIGEST[1:]}),
        cbor2.dumps(ROOT | {3: "d" * 32}),
        cbor2.dumps(ROOT | {4: []}),
        cbor2.dumps(ROOT | {4: [DIGEST, DIGEST]}),
        cbor2.dumps(ROOT | {4: [DIGEST + b"x"]}),
        cbor2.dumps(ROOT | {6: "even keys are no exception"}),
        cbor2.dumps({key: ROOT[key] for key in (1, 2, 3)}),
        cbor2.dumps({key: ROOT[key] for key in (2, 1, 3, 4)}),
        cbor2.dumps(ROOT).replace(b"\xa4\x01\x01", b"\xb8\x04\x01\x01"),
        cbor2.dumps(ROOT).replace(b"\x02\x05", b"\x02\x18\x05"),
        cbor2.dumps(ROOT).replace(b"\x04\x81", b"\x04\x98\x01"),
        cbor2.dumps(ROOT) + b"\x00",
        cbor2.dumps(ROOT)[:-1],
        b"\x00" * (ROOT_BYTES_MAX + 1),
        b"",
    ],
)
def test_root_is_refused(wrong: bytes) -> None:
    assert decode_root(cbor2.dumps(ROOT)).size == 5
    assert decode_root(cbor2.dumps(ROOT | {1: 3, 2: 2 * LARGE_BLOB_BYTES})).chunk_size == LARGE_CHUNK_BYTES
    with pytest.raises(MalformedMessage):
        decode_root(wrong)


def test_pages_are_checked_against_their_root() -> None:
    manifest = built(3 * CHUNK_BYTES).finish()
    root, page = decode_root(manifest.root), manifest.pages[0]
    assert len(page_digests(root, 0, page)) == 3
    wrong = [(0, page[:-1]), (0, page[:-DIGEST_BYTES]), (0, page + DIGEST), (0, b""), (1, page), (-1, page)]
    for number, data in wrong:
        with pytest.raises(MalformedMessage):
            page_digests(root, number, data)


def test_a_page_of_another_count_is_refused_even_if_its_digest_fits() -> None:
    page = DIGEST * 2
    root = ManifestRoot(5, Digest(DIGEST), (sha256(page),))
    with pytest.raises(MalformedMessage):
        page_digests(root, 0, page)
