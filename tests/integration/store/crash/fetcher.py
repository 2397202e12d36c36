"""A fetch that somebody will kill: stores the missing chunks of a blob in random order, and says each on a line."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from edgecache.model.content import CHUNK_BYTES
from edgecache.store.disk import DiskStore
from tests.conformance.sample import Sample

CHUNKS = 60


def sample() -> Sample:
    """The blob that is fetched."""
    return Sample(CHUNKS * CHUNK_BYTES - 5, 42)


def main(root: Path, seed: int) -> None:
    """Fetch until killed or complete."""
    blob = sample()
    store = DiskStore(root, cap=1 << 30, reserve=0, batch_bytes=8 * CHUNK_BYTES)
    missing = list(blob.begin(store).have.missing(CHUNKS))
    random.Random(seed).shuffle(missing)
    print("start", CHUNKS - len(missing), flush=True)
    for index in missing:
        store.put_chunk(blob.blob, index, blob.chunk(index))
        print("chunk", index, flush=True)
    store.complete(blob.blob)
    print("whole", int(store.whole_is_right(blob.blob)), flush=True)
    store.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
