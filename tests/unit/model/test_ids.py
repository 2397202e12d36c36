"""Names of nodes and blobs: one text form each."""

from __future__ import annotations

import pytest

from edgecache.model.errors import UsageError
from edgecache.model.ids import (
    BlobRef,
    Digest,
    blob_id_from_bytes,
    blob_id_from_root,
    blob_id_to_bytes,
    node_id_from_bytes,
    node_id_from_spki,
    node_id_to_bytes,
    parse_blob_id,
    parse_blob_ref,
    parse_node_id,
    sha256,
)

NODE = node_id_from_bytes(b"\0" * 16)
BLOB = blob_id_from_root(b"root")


def test_forms_are_pinned() -> None:
    assert NODE == "n" + "a" * 26
    assert node_id_from_spki(b"key") == node_id_from_bytes(sha256(b"key")[:16]) == "nfryock32azdpsitz6qt4pm4oom"
    assert BLOB == "bafebgskncn7bmmn3uma5llflnz53pktuzyiylvcwkzppkhltoz33e"
    assert blob_id_to_bytes(BLOB) == b"\x01" + sha256(b"root")
    assert len(BLOB) == 54


@pytest.mark.parametrize(
    "wrong",
    ["", "n", NODE[:-1], NODE + "a", NODE.upper(), "m" + NODE[1:], NODE[:-1] + "b", NODE[:-1] + "1", NODE + "\n"],
)
def test_node_ids_have_one_form(wrong: str) -> None:
    assert parse_node_id(NODE) == NODE
    with pytest.raises(UsageError):
        parse_node_id(wrong)


@pytest.mark.parametrize(
    "wrong",
    ["", "b", BLOB[:-1], BLOB + "a", BLOB.upper(), "z" + BLOB[1:], BLOB[:-1] + "f", BLOB[:-1] + "0", "bb" + BLOB[2:]],
)
def test_blob_ids_have_one_form(wrong: str) -> None:
    assert parse_blob_id(BLOB) == BLOB
    with pytest.raises(UsageError):
        parse_blob_id(wrong)


@pytest.mark.parametrize("raw", [b"", bytes(15), bytes(17)])
def test_a_node_id_has_16_bytes(raw: bytes) -> None:
    assert node_id_to_bytes(NODE) == bytes(16)
    with pytest.raises(UsageError):
        node_id_from_bytes(raw)


@pytest.mark.parametrize("raw", [b"", bytes(33), b"\x02" + bytes(32), b"\x01" + bytes(31)])
def test_a_blob_id_has_a_version_that_we_know(raw: bytes) -> None:
    with pytest.raises(UsageError):
        blob_id_from_bytes(raw)


def test_what_users_may_write_for_a_blob() -> None:
    digest = Digest(b"\xab" * 32)
    assert parse_blob_ref(BLOB) == BlobRef(blob=BLOB)
    assert parse_blob_ref(BLOB[:8]) == BlobRef(prefix=BLOB[:8])
    assert parse_blob_ref(f"sha256:{'AB' * 32}") == BlobRef(sha256=digest)
    for ref in (BlobRef(blob=BLOB), BlobRef(prefix=BLOB[:20]), BlobRef(sha256=digest)):
        assert parse_blob_ref(str(ref)) == ref
    for wrong in ("", BLOB[:7], "sha256:abcd", "sha256:" + "0" * 63, "x" * 60, BLOB + "a", BLOB[:10].upper()):
        with pytest.raises(UsageError):
            parse_blob_ref(wrong)
