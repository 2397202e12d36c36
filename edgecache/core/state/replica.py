"""One owner's map as this node has it, and how a push is applied: never a version skipped, the hash always checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum

from edgecache.model.ids import Digest, NodeId
from edgecache.model.instant import Instant
from edgecache.model.pacing import TokenBucket
from edgecache.wire.codec import map_hash
from edgecache.wire.limits import ENTRIES_MAX, OWNER_BYTES_MAX
from edgecache.wire.messages import Entry, Head, StatePush

_TOMBSTONES_MAX = ENTRIES_MAX


class Applied(Enum):
    """What came of a push."""

    NEW = "new"
    OLD = "old"
    GAP = "gap"
    WRONG = "wrong"


@dataclass(slots=True)
class Replica:
    """Entries by key, the signed head that covers them, and since which version deltas can be told (`floor`)."""

    owner: NodeId
    epoch: int = 0
    version: int = 0
    entries: dict[str, Entry] = field(default_factory=dict)
    received: dict[str, Instant] = field(default_factory=dict)
    removed: dict[str, Instant] = field(default_factory=dict)
    floor: int = 0
    map_hash: Digest = Digest(b"")
    signature: bytes = b""
    certificate: bytes = b""
    gone_since: Instant | None = None
    pace: TokenBucket = TokenBucket(0, 0)
    """How much of it is taken in a while; our own map knows no limit."""

    @property
    def head(self) -> Head:
        """Where this replica stands."""
        return Head(self.owner, self.epoch, self.version)

    def in_pace(self, push: StatePush, now: Instant) -> bool:
        """Whether its owner may have us take and pass on so much at this moment; it is then counted."""
        if self.pace.wait(now):
            return False
        self.pace = self.pace.take(size_of(push.entries), now)
        return True

    def apply(self, push: StatePush, now: Instant) -> tuple[Applied, tuple[str, ...]]:
        """Take a push whose signature is good; returns the outcome and the keys that changed."""
        if push.head.position <= (self.epoch, self.version):
            return Applied.OLD, ()
        whole = push.since == 0
        if not whole and (push.epoch != self.epoch or push.since > self.version):
            return Applied.GAP, ()
        merged = {} if whole else dict(self.entries)
        for entry in push.entries:
            known = merged.get(entry.key)
            if known is None or entry.version > known.version:
                merged[entry.key] = entry
        if over_quota(live(merged)) or map_hash(live(merged)) != push.map_hash:
            return Applied.WRONG, ()
        self.epoch, self.version = push.epoch, push.version
        self.floor = push.version if whole else self.floor
        self.map_hash, self.signature = push.map_hash, push.signature
        self.certificate = push.certificate or self.certificate
        return Applied.NEW, self.replace(merged, now)

    def replace(self, entries: dict[str, Entry], now: Instant) -> tuple[str, ...]:
        """These are the entries from now on; returns the keys that changed."""
        before, self.entries = self.entries, entries
        changed = [k for k, e in entries.items() if (old := before.get(k)) is None or old.version != e.version]
        changed += [k for k, e in before.items() if k not in entries and e.value is not None]
        for key in changed:
            entry = entries.get(key)
            if entry is None or entry.value is None:
                self.received.pop(key, None)
                if entry is not None:
                    self.removed[key] = now
            else:
                self.received[key] = now
                self.removed.pop(key, None)
        for key in [key for key in self.removed if key not in entries]:
            del self.removed[key]
        self._forget(list(self.removed)[:-_TOMBSTONES_MAX])
        return tuple(changed)

    def push_since(self, since: int, epoch: int) -> StatePush:
        """What somebody at (epoch, since) lacks: a delta where that can be told and is no more than the whole may be,
        else the whole."""
        delta = [e for e in self.entries.values() if e.version > since]
        told = epoch == self.epoch and self.floor <= since and since > 0 and not over_quota(delta)
        entries = tuple(delta if told else live(self.entries))
        start, certificate = (since, b"") if told else (0, self.certificate)
        return StatePush(
            self.owner, self.epoch, start, self.version, entries, self.map_hash, self.signature, certificate
        )  # fmt: skip

    def sweep(self, before: Instant) -> None:
        """Forget tombstones older than `before`."""
        self._forget([key for key, at in self.removed.items() if at < before])

    def _forget(self, tombstones: list[str]) -> None:
        """Deltas from before them can no longer be told."""
        for key in tombstones:
            self.floor = max(self.floor, self.entries[key].version)
            del self.removed[key], self.entries[key]


def live(entries: dict[str, Entry]) -> list[Entry]:
    """The entries that are no tombstones: what the hash of a map covers, so that tombstones may be forgotten."""
    return [entry for entry in entries.values() if entry.value is not None]


def size_of(entries: Iterable[Entry]) -> int:
    """Bytes of keys and values, as the quota counts them."""
    return sum(len(entry.key) + len(entry.value or b"") for entry in entries)


def over_quota(entries: list[Entry]) -> bool:
    """Whether these are more entries or bytes than any owner may have, or one push may carry."""
    return len(entries) > ENTRIES_MAX or size_of(entries) > OWNER_BYTES_MAX
