"""The index by itself: versions and migrations."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

import edgecache.store
from edgecache.model.errors import StoreCorrupt, StoreError, StoreNewer
from edgecache.store.files import Files
from edgecache.store.index import BlobRow, Index
from tests.conformance.sample import Sample

SCHEMA = Path(edgecache.store.__file__).parent / "schema"


@pytest.fixture
def row() -> BlobRow:
    sample = Sample(10)
    return BlobRow(sample.blob, sample.root, complete=True, pinned=True, wanted=False, name="x", added=1.0)


def schema_with(place: Path, *more: str) -> Path:
    """The versions that there are, and these."""
    schema = shutil.copytree(SCHEMA, place)
    first = len(list(schema.glob("*.sql"))) + 1
    for number, script in enumerate(more, first):
        (schema / f"v{number:04}.sql").write_text(script)
    return schema


def opened(root: Path, schema: Path = SCHEMA) -> Index:
    return Index(root / "index.sqlite3", Files(root), schema=schema)


def test_an_older_index_is_copied_and_then_migrated(tmp_path: Path, row: BlobRow) -> None:
    index = opened(tmp_path)
    index.insert(row, [bytes(32)])
    index.close()
    newer = schema_with(tmp_path / "schema", "ALTER TABLE blob ADD COLUMN origin TEXT")
    index = opened(tmp_path, newer)
    assert index.blobs() == [row]
    index.set_pinned(row.id, False)
    index.close()

    with pytest.raises(StoreNewer):
        opened(tmp_path)
    copy = sqlite3.connect(tmp_path / "index.sqlite3.v0002")
    assert copy.execute("PRAGMA user_version").fetchone() == (2,)
    assert copy.execute("SELECT id, pinned FROM blob").fetchall() == [(row.id, 1)]
    copy.close()
    assert not (tmp_path / "index.sqlite3.partial").exists()


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, row: BlobRow) -> None:
    index = opened(tmp_path)
    index.insert(row, [bytes(32)])
    index.close()
    broken = schema_with(tmp_path / "schema", "DELETE FROM blob; CREATE TABLE blob (twice TEXT)")
    for _ in range(2):
        with pytest.raises(StoreError):
            opened(tmp_path, broken)
    index = opened(tmp_path)
    assert index.blobs() == [row]
    index.close()


def test_an_index_is_not_created_where_there_should_be_one(tmp_path: Path) -> None:
    with pytest.raises(StoreCorrupt):
        Index(tmp_path / "index.sqlite3", Files(tmp_path), create=False)


def test_epochs_only_go_up(tmp_path: Path) -> None:
    seen = []
    for _ in range(3):
        index = opened(tmp_path)
        seen += [index.next_epoch(), index.next_epoch()]
        index.close()
    assert seen == [1, 2, 3, 4, 5, 6]


def test_the_log_is_moved_when_it_has_grown(tmp_path: Path) -> None:
    index = Index(tmp_path / "index.sqlite3", Files(tmp_path), checkpoint_bytes=100_000)
    sizes = []
    for number in range(200):
        index.put(f"key {number % 7}", bytes(5000), durable=number % 2 == 0)
        sizes.append((tmp_path / "index.sqlite3-wal").stat().st_size)
    assert max(sizes) < 130_000
    assert sizes.count(0) > 3
    assert index.get("key 3") == bytes(5000)
    index.check()
    index.close()
