"""One blob, one manifest; one wrong bit, no manifest."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgecache.model.content import CHUNK_BYTES, ManifestRoot, chunk_count, page_count
from edgecache.model.errors import MalformedMessage
from edgecache.model.ids import Digest, blob_id_from_root, sha256
from edgecache.wire.manifest import Manifest, ManifestBuilder, decode_root, encode_root, info_of, page_digests
from tests.property.arbitrary import digests

sizes = st.one_of(st.integers(0, 4 * CHUNK_BYTES), st.integers(0, 6).map(lambda count: count * CHUNK_BYTES))


def manifest_of(data: bytes) -> Manifest:
    builder = ManifestBuilder()
    for start in range(0, len(data), CHUNK_BYTES):
        builder.update(data[start : start + CHUNK_BYTES])
    return builder.finish()


@st.composite
def roots(draw: st.DrawFn) -> ManifestRoot:
    size = draw(st.one_of(st.integers(0, 2**24), st.integers(0, 2**31)))
    pages = draw(st.lists(digests, min_size=page_count(size), max_size=page_count(size)))
    return ManifestRoot(size, draw(digests), tuple(pages))


@given(roots())
@settings(max_examples=100)
def test_root_round_trip(root: ManifestRoot) -> None:
    encoded = encode_root(root)
    assert decode_root(encoded) == root
    info = info_of(encoded)
    assert (info.blob, info.size, info.sha256) == (blob_id_from_root(encoded), root.size, root.sha256)


@given(roots(), st.data())
@settings(max_examples=200)
def test_a_flipped_bit_gives_another_id_or_no_root(root: ManifestRoot, data: st.DataObject) -> None:
    raw = bytearray(encode_root(root))
    at = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[at // 8] ^= 1 << at % 8
    try:
        other = decode_root(bytes(raw))
    except MalformedMessage:
        return
    assert other != root
    assert blob_id_from_root(bytes(raw)) != blob_id_from_root(encode_root(root))


@given(st.binary(max_size=200))
@settings(max_examples=200)
def test_garbage_is_no_root(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_root(raw)


@given(sizes, st.binary(min_size=1, max_size=7), st.data())
@settings(max_examples=25)
def test_same_bytes_same_id_and_any_flipped_bit_is_found(size: int, pattern: bytes, data: st.DataObject) -> None:
    blob = (pattern * (size // len(pattern) + 1))[:size]
    manifest = manifest_of(blob)
    assert manifest_of(bytes(bytearray(blob))) == manifest
    root = decode_root(manifest.root)
    found = [digest for at, page in enumerate(manifest.pages) for digest in page_digests(root, at, page)]
    assert len(found) == chunk_count(size)
    if not size:
        return
    at = data.draw(st.integers(0, 8 * size - 1))
    damaged = bytearray(blob)
    damaged[at // 8] ^= 1 << at % 8
    other = manifest_of(bytes(damaged))
    assert other.blob != manifest.blob
    others = page_digests(decode_root(other.root), 0, other.pages[0])
    differing = [index for index, (one, two) in enumerate(zip(found, others, strict=True)) if one != two]
    assert differing == [at // 8 // CHUNK_BYTES]
    page = bytearray(manifest.pages[0])
    page[at % len(page)] ^= 1
    with pytest.raises(MalformedMessage):
        page_digests(root, 0, bytes(page))


@given(st.lists(digests, min_size=1, max_size=40))
@settings(max_examples=50)
def test_pages_give_back_their_digests(listed: list[Digest]) -> None:
    page = b"".join(listed)
    root = ManifestRoot(len(listed) * CHUNK_BYTES, listed[0], (sha256(page),))
    assert page_digests(root, 0, page) == listed
