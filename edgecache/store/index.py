"""The index: blobs, manifests, chunk maps and small facts, in SQLite. Every statement of the store is in this file.

The database is in WAL mode and owned by one process through one connection, so it needs no shared memory file. A commit
is either durable (synced when it returns) or lazy: it survives the end of the process at once, and a power cut as soon
as any durable commit follows, because the log is synced as a whole. A lazy commit that is lost takes nothing with it
but itself and the lazy ones after it.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from edgecache.model.errors import NotFound, StoreBusy, StoreCorrupt, StoreError, StoreFull, StoreNewer
from edgecache.model.ids import BlobId
from edgecache.store.files import Files

CHECKPOINT_BYTES = 4 * 1024 * 1024
"""Size of the log at which its pages move to the database: 1,000 pages, SQLite's own default."""

MAP_COMMITS_MAX = 16
"""Lazy map commits until one is durable. More saves syncs; fewer leave less to hash again after a power cut."""

_MAP_BYTES = 128
_EPOCH = "epoch"


@dataclass(frozen=True, slots=True)
class BlobRow:
    """A blob as it is in the index."""

    id: BlobId
    root: bytes
    complete: bool
    pinned: bool
    wanted: bool
    name: str
    added: float


@dataclass(frozen=True, slots=True)
class MapRow:
    """Bits of the chunks of one manifest page of a blob."""

    blob: BlobId
    page: int
    bits: int


class Index:
    """The database at `path`. Thread-safe. Raises no errors but StoreError and its kinds, and NotFound from `page`.

    Without `create` an empty database is StoreCorrupt. `schema` has one script for each version, applied in turn.
    """

    def __init__(
        self,
        path: Path,
        files: Files,
        *,
        create: bool = True,
        checkpoint_bytes: int = CHECKPOINT_BYTES,
        schema: Traversable | None = None,
    ) -> None:
        self.path = path
        self._wal = path.with_name(path.name + "-wal")
        self._files = files
        self._checkpoint_bytes = checkpoint_bytes
        self._lock = threading.RLock()
        with self._translated():
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            self._set_up(schema or resources.files(__package__) / "schema", create)
        except BaseException:
            self._db.close()
            raise
        self._wal_bytes = files.size(self._wal)
        # What a killed process left in the log may not be synced.
        self._lazy_rows = self._wal_bytes > 0
        self._lazy_maps = 0

    def close(self) -> None:
        """Move the log into the database and let go of both."""
        with self._lock, self._translated():
            self._db.close()

    # ---- opening

    def _set_up(self, schema: Traversable, create: bool) -> None:
        with self._translated():
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self._db.execute("PRAGMA trusted_schema = OFF")
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            steps = sorted(entry.name for entry in schema.iterdir() if entry.name.endswith(".sql"))
            if version > len(steps):
                raise StoreNewer(
                    f"{self.path} has version {version}, this edgecache knows {len(steps)}",
                    hint="install the newer edgecache again, or use another data directory",
                )
            if version < 0 or (version == 0 and not create):
                what = "is missing or empty, but there are blobs" if version == 0 else f"has version {version}"
                raise StoreCorrupt(f"{self.path} {what}", hint=damaged_hint(self.path.parent))
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA wal_autocheckpoint = 0")
            self._db.execute("PRAGMA foreign_keys = ON")
            if 0 < version < len(steps):
                self._back_up(version)
            for number in range(version + 1, len(steps) + 1):
                self._migrate(number, (schema / f"v{number:04}.sql").read_text("utf-8"))
        self._files.sync_directory(self.path.parent)

    def _back_up(self, version: int) -> None:
        partial = self.path.with_name(f"{self.path.name}.partial")
        self._files.unlink(partial)
        copy = sqlite3.connect(partial, isolation_level=None)
        try:
            self._db.backup(copy)
        finally:
            copy.close()
        descriptor = self._files.open(partial, write=True)
        try:
            self._files.sync(descriptor)
        finally:
            self._files.close(descriptor)
        self._files.rename(partial, self.path.with_name(f"{self.path.name}.v{version:04}"))
        self._files.sync_directory(self.path.parent)

    def _migrate(self, version: int, script: str) -> None:
        try:
            self._db.executescript(f"BEGIN IMMEDIATE; {script}; PRAGMA user_version = {version}; COMMIT;")
        except sqlite3.Error:
            self._roll_back()
            raise

    # ---- transactions

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._store_error(error) from error
        except UnicodeDecodeError as error:  # in the text of SQLite's own error
            raise StoreCorrupt(f"{self.path}: {error}", hint=damaged_hint(self.path.parent)) from error

    def _store_error(self, error: sqlite3.Error) -> StoreError:
        what = f"{self.path}: {error}"
        if isinstance(error, sqlite3.ProgrammingError):
            return StoreError(f"{self.path} is closed")
        match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF:  # no code: text is not UTF-8
            case sqlite3.SQLITE_FULL:
                return StoreFull(what, hint="free some space on that disk; the store goes on by itself")
            # The last two: tables are not as our statements expect, rows contradict each other.
            case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_ERROR | sqlite3.SQLITE_CONSTRAINT:
                return StoreCorrupt(what, hint=damaged_hint(self.path.parent))
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return StoreBusy(what, hint="another program has the index open; close it")
        return StoreError(what, hint="see `dmesg` for what the disk says")

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    @contextmanager
    def _transaction(self, *, durable: bool) -> Iterator[sqlite3.Connection]:
        with self._lock, self._translated():
            self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise
            if durable:
                self._lazy_rows, self._lazy_maps = False, 0
            self._account(durable)

    def _account(self, durable: bool) -> None:
        size = self._files.size(self._wal)
        starts_log = self._wal_bytes == 0
        self._files.count(written=max(0, size - self._wal_bytes), fsyncs=int(durable) + int(starts_log))
        self._wal_bytes = size
        if size < self._checkpoint_bytes:
            return
        with suppress(sqlite3.OperationalError):  # the commit holds; a disk that stays bad shows at the next one
            busy = self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
            if not busy:
                self._files.count(written=size, fsyncs=2)
                self._wal_bytes = 0

    def check(self) -> None:
        """StoreCorrupt unless the whole database is sound; reads all of it."""
        with self._lock, self._translated():
            found = self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise StoreCorrupt(f"{self.path}: {found}", hint=damaged_hint(self.path.parent))

    # ---- blobs

    def blobs(self) -> list[BlobRow]:
        """All blobs."""
        with self._lock, self._translated():
            return [
                BlobRow(blob, root, bool(complete), bool(pinned), bool(wanted), name, added)
                for blob, root, complete, pinned, wanted, name, added in self._typed(
                    "SELECT id, root, complete, pinned, wanted, name, added FROM blob ORDER BY added, id",
                    (str, bytes, int, int, int, str, float),
                )
            ]

    def pages(self) -> list[tuple[BlobId, int]]:
        """Which manifest pages are here."""
        with self._lock, self._translated():
            return [(blob, page) for blob, page in self._typed("SELECT blob, page FROM page", (str, int))]

    def maps(self) -> list[MapRow]:
        """The chunk maps of incomplete blobs."""
        with self._lock, self._translated():
            rows = self._typed("SELECT blob, page, bits FROM chunk_map", (str, int, bytes))
            return [MapRow(blob, page, int.from_bytes(bits, "little")) for blob, page, bits in rows]

    def _typed(self, query: str, types: tuple[type, ...]) -> Iterator[tuple[Any, ...]]:
        """Rows as the schema wants them; a damaged database can have others, which SQLite does not check."""
        for row in self._db.execute(query):
            if tuple(map(type, row)) != types:
                raise StoreCorrupt(f"{self.path} has a row that cannot be", hint=damaged_hint(self.path.parent))
            yield row

    def insert(self, row: BlobRow, pages: Iterable[bytes] = ()) -> None:
        """Add a blob, or complete one that is here. With `complete` durable, and then all pages must be given."""
        with self._transaction(durable=row.complete) as db:
            self._insert(db, row, pages)
            self._lazy_rows |= not row.complete

    def insert_all(self, rows: Iterable[tuple[BlobRow, Iterable[bytes]]]) -> None:
        """The same for several complete blobs, all of them or none; durable."""
        given = list(rows)
        if not given:
            return
        with self._transaction(durable=True) as db:
            for row, pages in given:
                self._insert(db, row, pages)

    def _insert(self, db: sqlite3.Connection, row: BlobRow, pages: Iterable[bytes]) -> None:
        db.execute(
            "INSERT INTO blob (id, root, complete, pinned, wanted, name, added) VALUES (?, ?, ?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET complete = excluded.complete, pinned = excluded.pinned, "
            "wanted = excluded.wanted, name = excluded.name",
            (row.id, row.root, row.complete, row.pinned, row.wanted, row.name, row.added),
        )
        db.executemany(
            "INSERT OR REPLACE INTO page (blob, page, digests) VALUES (?, ?, ?)",
            ((row.id, number, digests) for number, digests in enumerate(pages)),
        )
        if row.complete:
            db.execute("DELETE FROM chunk_map WHERE blob = ?", (row.id,))

    def insert_page(self, blob: BlobId, page: int, digests: bytes) -> None:
        """Add a manifest page, lazily."""
        with self._transaction(durable=False) as db:
            db.execute("INSERT OR REPLACE INTO page (blob, page, digests) VALUES (?, ?, ?)", (blob, page, digests))
            self._lazy_rows = True

    def page(self, blob: BlobId, page: int) -> bytes:
        """The digests of one manifest page; NotFound when it is not here."""
        with self._lock, self._translated():
            row = self._db.execute("SELECT digests FROM page WHERE blob = ? AND page = ?", (blob, page)).fetchone()
        if row is None or type(row[0]) is not bytes:
            raise NotFound(f"page {page} of the manifest of {blob} is not here")
        return row[0]

    def save_maps(self, maps: Iterable[MapRow]) -> None:
        """Record chunks whose bytes are synced. With it, blobs and pages that were added lazily become durable.

        A map that is lost costs time only: recovery finds the bytes and hashes them. What it needs for that is kept.
        """
        durable = self._lazy_rows or self._lazy_maps + 1 >= MAP_COMMITS_MAX
        with self._transaction(durable=durable) as db:
            self._put_maps(db, maps)
        if not durable:
            self._lazy_maps += 1

    @property
    def needs_sync(self) -> bool:
        """Whether blobs or pages that chunks depend on are not durable yet."""
        return self._lazy_rows

    def demote(self, blob: BlobId, maps: Iterable[MapRow]) -> None:
        """A blob has only these chunks, lazily: reads would find out again."""
        with self._transaction(durable=False) as db:
            db.execute("UPDATE blob SET complete = 0 WHERE id = ?", (blob,))
            db.execute("DELETE FROM chunk_map WHERE blob = ?", (blob,))
            self._put_maps(db, maps)

    def _put_maps(self, db: sqlite3.Connection, maps: Iterable[MapRow]) -> None:
        db.executemany(
            "INSERT OR REPLACE INTO chunk_map (blob, page, bits) VALUES (?, ?, ?)",
            ((row.blob, row.page, row.bits.to_bytes(_MAP_BYTES, "little")) for row in maps),
        )

    def set_complete(self, blob: BlobId) -> None:
        """All chunks are here, verified and synced; durable."""
        with self._transaction(durable=True) as db:
            db.execute("UPDATE blob SET complete = 1 WHERE id = ?", (blob,))
            db.execute("DELETE FROM chunk_map WHERE blob = ?", (blob,))

    def set_pinned(self, blob: BlobId, pinned: bool) -> None:
        """Durable."""
        with self._transaction(durable=True) as db:
            db.execute("UPDATE blob SET pinned = ? WHERE id = ?", (pinned, blob))

    def set_wanted(self, blob: BlobId, wanted: bool) -> None:
        """Lazy: a fetch that a power cut forgets in its first seconds is asked for again."""
        with self._transaction(durable=False) as db:
            db.execute("UPDATE blob SET wanted = ? WHERE id = ?", (wanted, blob))

    def delete(self, blob: BlobId) -> None:
        """Forget a blob with its pages and map; durable."""
        with self._transaction(durable=True) as db:
            db.execute("DELETE FROM blob WHERE id = ?", (blob,))

    # ---- small facts

    def get(self, key: str) -> bytes | None:
        """A value of the key-value table."""
        with self._lock, self._translated():
            row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def put(self, key: str, value: bytes, *, durable: bool) -> None:
        """Set a value of the key-value table."""
        with self._transaction(durable=durable) as db:
            db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (key, value))

    def next_epoch(self) -> int:
        """A number above all that this index ever gave; durable."""
        with self._transaction(durable=True) as db:
            row = db.execute("SELECT value FROM meta WHERE key = ?", (_EPOCH,)).fetchone()
            epoch = 1 if row is None else int(row[0]) + 1
            db.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (_EPOCH, b"%d" % epoch))
        return epoch


def damaged_hint(root: Path) -> str:
    """What a person can do about a damaged index."""
    return (
        f"the disk may be failing. Nothing was removed: move {root} away and start again; "
        "blobs come back from the mesh, and files that only this node had are still in its 'blobs' directory"
    )
