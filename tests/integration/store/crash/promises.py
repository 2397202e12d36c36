"""What a store must still have after a crash: every promise that was made, and nothing that was not asked for."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import Any

from edgecache.model.errors import NotFound
from edgecache.model.have import HaveSet
from edgecache.store.disk import DiskStore
from tests.conformance.sample import Sample


@dataclass(slots=True)
class Blob:
    """What was promised of one blob. Sets of values hold all that may be seen."""

    asked: bool = False
    """It may be here."""
    sure: bool = False
    """It must be here."""
    complete: bool = False
    """It must be complete."""
    chunks: set[int] = field(default_factory=set)
    """Chunks that must be here after a power cut."""
    written: set[int] = field(default_factory=set)
    """Chunks that must be here after a kill."""
    pinned: set[bool] = field(default_factory=lambda: {False})


class Promises:
    """Follows the lines that the workload writes."""

    def __init__(self, samples: dict[str, Sample]) -> None:
        self.samples = samples
        self.blobs = {name: Blob() for name in samples}
        self.epoch = 0
        self.meta: set[bytes | None] = {None}

    def follow(self, lines: bytes) -> None:
        """More was asked or promised."""
        for line in lines.splitlines():
            mark: dict[str, Any] = json.loads(line)
            if "asked" in mark:
                self._asked(mark["asked"], mark)
            else:
                self._done(mark["done"], mark)

    def _asked(self, kind: str, mark: dict[str, Any]) -> None:
        if kind == "meta":
            self.meta.add(mark["value"].encode())
        if "name" not in mark:
            return
        blob = self.blobs[mark["name"]]
        if kind in ("begin", "put"):
            blob.asked = True
        if kind == "remove":
            self.blobs[mark["name"]] = Blob(asked=True, pinned={True, False})
        if kind == "pin":
            blob.pinned.add(mark["pinned"])
        if kind == "put" and mark["pin"]:
            blob.pinned.add(True)

    def _done(self, kind: str, mark: dict[str, Any]) -> None:
        if kind == "epoch":
            self.epoch = mark["value"]
        elif kind == "meta":
            self.meta = {mark["value"].encode()}
        elif kind == "count":
            pass
        elif kind == "flush":
            for flushed in self.blobs.values():
                flushed.chunks |= flushed.written
                flushed.sure |= bool(flushed.chunks)
        else:
            self._done_to(self.blobs[mark["name"]], kind, mark)

    def _done_to(self, blob: Blob, kind: str, mark: dict[str, Any]) -> None:
        if kind == "chunk":
            blob.written.add(mark["index"])
        elif kind == "pin":
            blob.sure, blob.pinned = True, {mark["pinned"]}
        elif kind == "remove":
            self.blobs[mark["name"]] = Blob()
        elif kind in ("verify", "put"):
            blob.sure = blob.complete = True
            blob.chunks = blob.written = set(range(self.samples[mark["name"]].info.chunks))
            if mark.get("pin"):
                blob.pinned = {True}

    def at_this_moment(self) -> Promises:
        """A copy that later lines do not change."""
        frozen = copy.copy(self)
        frozen.blobs = copy.deepcopy(self.blobs)
        frozen.meta = set(self.meta)
        return frozen

    def check(self, store: DiskStore, *, killed: bool) -> None:
        """Assert that the store keeps them, and that every byte it gives is right."""
        known = {sample.blob for sample in self.samples.values()}
        assert {shown.info.blob for shown in store.blobs()} <= known
        for name, blob in self.blobs.items():
            self._check_blob(store, name, blob, killed=killed)
        assert store.meta_get("peers") in self.meta
        assert store.next_epoch() > self.epoch

    def _check_blob(self, store: DiskStore, name: str, blob: Blob, *, killed: bool) -> None:
        sample = self.samples[name]
        try:
            shown = store.blob(sample.blob)
        except NotFound:
            assert not blob.sure, f"{name} is lost"
            return
        assert blob.asked, f"{name} is here, and nobody asked for it"
        needed = HaveSet.of(blob.written if killed else blob.chunks)
        assert not needed - shown.have, f"{name} lost chunks {list(needed - shown.have)}"
        assert shown.complete or not blob.complete, f"{name} is not complete any more"
        assert not shown.complete or len(shown.have) == sample.info.chunks
        assert shown.pinned in blob.pinned, f"{name} is {'' if shown.pinned else 'not '}pinned"
        for index in shown.have:
            assert store.read(sample.blob, index) == sample.chunk(index)
