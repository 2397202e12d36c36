"""What is recorded: a store that is opened, used in all ways, killed and opened again. Run with a part's number.

Before and after each call that promises something, a line goes to the file `acknowledged`: what is asked, and what was
promised. A crash between the two may show either.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from edgecache.model.content import CHUNK_BYTES
from edgecache.ports import SmallBlob
from edgecache.store.disk import DiskStore
from tests.conformance.sample import Sample

SIZES = {
    "put": 2 * CHUNK_BYTES + 77,
    "got": 5 * CHUNK_BYTES + 1,
    "both": 4 * CHUNK_BYTES,
    "tiny": 10,
    "late": 900_000,
    "lazy": 300_000,
    "small0": 20_000,
    "small1": 1,
    "small2": CHUNK_BYTES,
    "small3": 4_096,
    "small4": 0,
}

CAP = 64 * 1024 * 1024


@cache
def samples() -> dict[str, Sample]:
    """The blobs of the workload, by name."""
    return {name: Sample(size, seed) for seed, (name, size) in enumerate(SIZES.items())}


def open_store(root: Path) -> DiskStore:
    """With small batches, so that a short run sees everything that a long one does."""
    return DiskStore(root, cap=CAP, reserve=0, batch_bytes=2 * CHUNK_BYTES, checkpoint_bytes=96 * 1024)


class Recorded:
    """A store whose promises are written down."""

    def __init__(self, root: Path) -> None:
        self._marks = os.open(root / "acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.store = open_store(root)
        self.samples = samples()

    def _mark(self, **what: object) -> None:
        os.write(self._marks, json.dumps(what).encode() + b"\n")

    @contextmanager
    def _promise(self, kind: str, **what: object) -> Iterator[None]:
        self._mark(asked=kind, **what)
        yield
        self._mark(done=kind, **what)

    def epoch(self) -> None:
        epoch = self.store.next_epoch()
        self._mark(done="epoch", value=epoch)

    def count(self) -> None:
        usage = self.store.usage()
        self._mark(done="count", written=usage.written, fsyncs=usage.fsyncs)

    def remember(self, value: str) -> None:
        with self._promise("meta", value=value):
            self.store.meta_set("peers", value.encode())

    def begin(self, name: str) -> None:
        with self._promise("begin", name=name):
            self.samples[name].begin(self.store)

    def chunk(self, name: str, index: int) -> None:
        sample = self.samples[name]
        with self._promise("chunk", name=name, index=index):
            self.store.put_chunk(sample.blob, index, sample.chunk(index))

    def flush(self) -> None:
        with self._promise("flush"):
            self.store.flush()

    def verify(self, name: str) -> None:
        with self._promise("verify", name=name):
            self.store.complete(self.samples[name].blob)

    def put(self, name: str, *, pin: bool = False) -> None:
        with self._promise("put", name=name, pin=pin):
            self.samples[name].put(self.store, name=name, pin=pin)

    def keep(self, *names: str, pin: bool = False) -> None:
        for name in names:
            self._mark(asked="put", name=name, pin=pin)
        self.store.small.keep([SmallBlob(self.samples[name].content, name, pin) for name in names])
        for name in names:
            self._mark(done="put", name=name, pin=pin)

    def pin(self, name: str, pinned: bool) -> None:
        with self._promise("pin", name=name, pinned=pinned):
            self.store.set_pinned(self.samples[name].blob, pinned)

    def remove(self, name: str) -> None:
        with self._promise("remove", name=name):
            self.store.remove(self.samples[name].blob)


def first_start(run: Recorded) -> None:
    """Everything once, and a clean end."""
    run.epoch()
    run.count()
    run.put("put", pin=True)
    run.begin("got")
    for index in (4, 0, 5):
        run.chunk("got", index)
    run.remember("one")
    run.flush()
    run.pin("put", False)
    run.chunk("got", 1)
    run.begin("both")
    run.chunk("both", 3)
    run.chunk("both", 0)
    run.put("both")
    run.pin("got", True)
    run.chunk("got", 2)
    run.chunk("got", 3)
    run.verify("got")
    run.put("tiny")
    run.keep("small0", "small1", "tiny", "small2", "small0", "small4")
    run.remove("put")
    run.begin("put")
    run.chunk("put", 2)
    run.flush()
    run.put("put", pin=True)
    run.count()
    run.store.close()


def killed_start(run: Recorded) -> None:
    """A fetch under way, chunks not flushed, a draft half written, and then a kill."""
    run.remember("two")
    run.remove("got")
    run.begin("late")
    for index in (0, 2):
        run.chunk("late", index)
    run.chunk("late", 1)
    draft = run.store.draft()
    draft.write(bytes(3 * CHUNK_BYTES))
    run.begin("got")
    run.chunk("got", 0)
    run.begin("lazy")
    run.chunk("lazy", 1)
    os._exit(0)


def start_after_kill(run: Recorded) -> None:
    """Recovery, and on from there."""
    run.flush()
    run.chunk("late", 3)
    run.chunk("got", 5)
    run.epoch()
    run.flush()
    run.remove("small1")
    run.keep("small1", "small3", pin=True)
    run.verify("late")
    run.remove("both")
    run.put("both")
    run.remove("late")
    run.store.close()


PARTS = (first_start, killed_start, start_after_kill)

if __name__ == "__main__":
    PARTS[int(sys.argv[2])](Recorded(Path(sys.argv[1])))
