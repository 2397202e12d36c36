"""The retention machine with a store that obeys when it is told to."""

from __future__ import annotations

from dataclasses import dataclass, field

from edgecache.core import vocabulary as v
from edgecache.core.retention import Retention, RetentionConfig, RetentionView
from edgecache.model.content import CHUNK_BYTES, BlobInfo
from edgecache.model.have import HaveSet
from edgecache.model.ids import BlobId, blob_id_from_root, node_id_from_bytes, sha256

CHUNK = CHUNK_BYTES
CAP = 100 * CHUNK
ME = v.Identity(node_id_from_bytes(bytes(16)), "mesh", "home", "pi", 1, ())


def info(number: int, chunks: int = 4) -> BlobInfo:
    return BlobInfo(blob(number), chunks * CHUNK, sha256(b"%d" % number))


def blob(number: int) -> BlobId:
    return blob_id_from_root(b"root %d" % number)


@dataclass
class Cache:
    """The machine and a store that does what it is told when `obey` is called."""

    config: RetentionConfig = RetentionConfig()
    cap: int = CAP
    now: float = 50.0
    evicted: list[BlobId] = field(default_factory=list)
    stubs: list[BlobId] = field(default_factory=list)
    """Evicted when their fetch was refused: only the manifest was there."""

    def __post_init__(self) -> None:
        self.machine = Retention(ME, self.config, self.cap)

    def hear(self, event: v.Event | v.Notice) -> v.Outbox:
        out = v.Outbox()
        self.machine.handle(event, self.now, out)
        asked = [notice.blob for notice in out.notices if isinstance(notice, v.RoomRefused)]
        for effect in out.effects:
            if isinstance(effect, v.EvictBlob):
                (self.stubs if effect.blob in asked else self.evicted).append(effect.blob)
        return out

    def held(self, number: int, chunks: int = 4, *, pinned: bool = False, have: int | None = None) -> v.Outbox:
        there = HaveSet.full(chunks if have is None else have)
        return self.hear(v.BlobHeld(info(number, chunks), there, 1, pinned, complete=len(there) == chunks))

    def room(self, number: int, chunks: int) -> v.Outbox:
        return self.hear(v.RoomWanted(blob(number), chunks * CHUNK))

    def stored(self, number: int, chunks: int) -> None:
        for index in range(chunks):
            self.hear(v.ChunkStored(v.RequestId(1), blob(number), index, CHUNK, 0.1))

    def fetched(self, number: int, chunks: int) -> None:
        assert granted(self.room(number, chunks)) == [blob(number)]
        self.stored(number, chunks)
        self.hear(v.BlobCompleted(blob(number)))

    def obey(self) -> v.Outbox:
        """The store drops what it was told to; what the machine said to that."""
        said = v.Outbox()
        while self.evicted:
            out = self.hear(v.BlobGone(self.evicted.pop(0)))
            said.effects += out.effects
            said.notices += out.notices
        return said


def granted(out: v.Outbox) -> list[BlobId]:
    return [notice.blob for notice in out.notices if isinstance(notice, v.RoomGranted)]


def refused(out: v.Outbox) -> list[str]:
    return [notice.why for notice in out.notices if isinstance(notice, v.RoomRefused)]


def admitted(out: v.Outbox) -> list[v.PutAdmitted]:
    return [effect for effect in out.effects if isinstance(effect, v.PutAdmitted)]


def view(held: int, promised: int, blobs: int, pinned: int = 0) -> RetentionView:
    return RetentionView(CAP, held * CHUNK, promised * CHUNK, pinned * CHUNK, blobs)
