-- What a node remembers between starts: its boot epoch, the peers it knew.
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- One row per blob that is here, wholly or in part. Size and digest of the whole are in the root, which the id names.
CREATE TABLE blob (
    id TEXT PRIMARY KEY,
    root BLOB NOT NULL,
    complete INTEGER NOT NULL CHECK (complete IN (0, 1)),
    pinned INTEGER NOT NULL CHECK (pinned IN (0, 1)),
    wanted INTEGER NOT NULL CHECK (wanted IN (0, 1)),
    name TEXT NOT NULL,
    added REAL NOT NULL
) STRICT;

-- Manifest pages: up to 1,024 chunk digests, one after the other.
CREATE TABLE page (
    blob TEXT NOT NULL REFERENCES blob (id) ON DELETE CASCADE,
    page INTEGER NOT NULL,
    digests BLOB NOT NULL,
    PRIMARY KEY (blob, page)
) STRICT;

-- The chunk map of an incomplete blob: bit i (little-endian) of row p is chunk 1024 p + i. Only chunks whose bytes were
-- synced to the disk before the row was written. A complete blob has no rows.
CREATE TABLE chunk_map (
    blob TEXT NOT NULL REFERENCES blob (id) ON DELETE CASCADE,
    page INTEGER NOT NULL,
    bits BLOB NOT NULL CHECK (length(bits) = 128),
    PRIMARY KEY (blob, page)
) STRICT, WITHOUT ROWID;
