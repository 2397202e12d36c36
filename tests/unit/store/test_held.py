"""Arithmetic and names of held blobs."""

from __future__ import annotations

import pytest

from edgecache.model.content import PAGE_CHUNKS
from edgecache.model.have import HaveSet
from edgecache.model.ids import blob_id_from_root
from edgecache.store.held import NAME_CHARACTERS_MAX, clean_name, map_rows
from edgecache.store.index import MapRow

BLOB = blob_id_from_root(b"a root")


def test_map_rows_split_the_chunks_by_page() -> None:
    have = HaveSet.of([0, 5, PAGE_CHUNKS - 1, 2 * PAGE_CHUNKS, 2 * PAGE_CHUNKS + 1])
    assert map_rows(BLOB, have, [0, 1, 2]) == [
        MapRow(BLOB, 0, 1 | 1 << 5 | 1 << PAGE_CHUNKS - 1),
        MapRow(BLOB, 1, 0),
        MapRow(BLOB, 2, 3),
    ]
    assert map_rows(BLOB, have, [2]) == [MapRow(BLOB, 2, 3)]


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("model.bin", "model.bin"),
        ("/srv/images/os.img", "os.img"),
        ("folder/", "folder"),
        ("", ""),
        ("///", ""),
        ("a\x1b[31mred\n", "a\ufffd[31mred\ufffd"),
        ("gpj.\u202eexe", "gpj.\ufffdexe"),
        ("caf\udce9", "caf\ufffd"),
        ("naïve ☃.txt", "naïve ☃.txt"),
        ("x" * 1000, "x" * NAME_CHARACTERS_MAX),
    ],
)
def test_names_are_fit_to_be_shown(given: str, shown: str) -> None:
    assert clean_name(given) == shown
