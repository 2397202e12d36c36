"""Provider records: what other nodes announced that they hold. Soft state from strangers, so bounded everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from edgecache.model.ids import BLOB_PREFIX_MIN, BlobId, NodeId, sha256
from edgecache.wire.limits import MARK_BYTES
from edgecache.wire.messages import Claim, Summary

if TYPE_CHECKING:
    from edgecache.core.directory.config import DirectoryConfig
    from edgecache.model.instant import Instant


def withdrawal(blob: BlobId, node: NodeId, chunks: int) -> Claim:
    """The claim that says that nothing is left; an empty blob, which has no chunks, is withdrawn as none of one."""
    return Claim(blob, node, 0, max(1, chunks))


def withdraws(claim: Claim) -> bool:
    """Whether nothing is claimed."""
    return claim.held == 0 and claim.chunks > 0


def mark(claim: Claim) -> int:
    """What a claim adds to a summary: 64 bits of a hash over all of it but its node."""
    return int.from_bytes(sha256(f"{claim.blob} {claim.held} {claim.chunks}".encode())[:MARK_BYTES], "big")


def summary_of(claims: Iterable[Claim]) -> Summary:
    """The same for the same claims in any order."""
    count = marks = 0
    for claim in claims:
        count += 1
        marks ^= mark(claim)
    return Summary(count, marks.to_bytes(MARK_BYTES, "big"))


class Tally:
    """The summary of a set of claims that changes, claim by claim."""

    __slots__ = ("count", "marks")

    def __init__(self) -> None:
        self.count = self.marks = 0

    def add(self, marked: int) -> None:
        """One more, by its mark."""
        self.count += 1
        self.marks ^= marked

    def drop(self, marked: int) -> None:
        """One less, by its mark."""
        self.count -= 1
        self.marks ^= marked

    def summary(self) -> Summary:
        """As `summary_of` makes it."""
        return Summary(self.count, self.marks.to_bytes(MARK_BYTES, "big"))


class _Announcer:
    """What one node announced: its records, those first that lapse first, and their tally."""

    __slots__ = ("records", "renewed", "tally")

    def __init__(self) -> None:
        self.records: dict[BlobId, Record] = {}
        self.tally = Tally()
        self.renewed: Instant = 0.0
        """No record lapses before; that of a later put lapses later anyway."""


@dataclass(slots=True)
class Record:
    """One claim, its mark, until when it is believed by itself, and its announcer, which may be believed longer."""

    claim: Claim
    mark: int
    expires: Instant
    announcer: _Announcer

    def lapsed(self, now: Instant) -> bool:
        """Whether it is believed no more."""
        return max(self.expires, self.announcer.renewed) <= now


class ProviderRecords:
    """Records by blob, with indexes by announcer and by the first characters of the blob id.

    A claim is hashed once, when it comes. As every claim is believed equally long, an announcer's records lapse in the
    order of their last change: nothing is searched for what has lapsed, and a summary is never made anew.
    """

    def __init__(self, config: DirectoryConfig) -> None:
        self._config = config
        self._by_blob: dict[BlobId, dict[NodeId, Record]] = {}
        self._by_node: dict[NodeId, _Announcer] = {}
        self._by_stem: dict[str, dict[BlobId, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, claim: Claim, now: Instant) -> bool:
        """Record, renew or strike out a claim; False when a bound forbids it."""
        if withdraws(claim):
            self._remove(claim.blob, claim.node)
            return True
        expires, record = now + self._config.record_ttl, self._by_blob.get(claim.blob, {}).get(claim.node)
        if record is not None:
            self._change(record, claim, expires)
            return True
        if not self._has_room(claim):
            return False
        if claim.blob not in self._by_blob:
            self._by_stem.setdefault(claim.blob[:BLOB_PREFIX_MIN], {})[claim.blob] = None
        announcer = self._by_node.setdefault(claim.node, _Announcer())
        record = Record(claim, mark(claim), expires, announcer)
        announcer.records[claim.blob] = self._by_blob.setdefault(claim.blob, {})[claim.node] = record
        announcer.tally.add(record.mark)
        self._count += 1
        return True

    def _change(self, record: Record, claim: Claim, expires: Instant) -> None:
        announcer = record.announcer
        if record.claim != claim:
            announcer.tally.drop(record.mark)
            record.claim, record.mark = claim, mark(claim)
            announcer.tally.add(record.mark)
        record.expires = expires
        del announcer.records[claim.blob]
        announcer.records[claim.blob] = record

    def claims(self, blob: BlobId, now: Instant) -> list[Claim]:
        """What is recorded of one blob and has not lapsed."""
        return [record.claim for record in self._by_blob.get(blob, {}).values() if not record.lapsed(now)]

    def beginning(self, prefix: str) -> list[BlobId]:
        """Recorded blobs whose id begins so."""
        return [blob for blob in self._by_stem.get(prefix[:BLOB_PREFIX_MIN], {}) if blob.startswith(prefix)]

    def summary(self, node: NodeId, now: Instant) -> Summary:
        """Of all that a node announced and that has not lapsed; what has is struck out."""
        if node in self._by_node:
            self._expire(node, now)
        announcer = self._by_node.get(node)
        return announcer.tally.summary() if announcer is not None else Tally().summary()

    def renew(self, node: NodeId, now: Instant) -> None:
        """All that a node announced and that has not lapsed is believed for another while."""
        if node in self._by_node:
            self._expire(node, now)
        if (announcer := self._by_node.get(node)) is not None:
            announcer.renewed = now + self._config.record_ttl

    def drop_node(self, node: NodeId) -> None:
        """Strike out all that a node announced."""
        announcer = self._by_node.get(node)
        for blob in list(announcer.records) if announcer is not None else ():
            self._remove(blob, node)

    def shorten(self, node: NodeId, until: Instant) -> None:
        """Let all that a node announced lapse at `until` unless it is renewed."""
        announcer = self._by_node.get(node)
        if announcer is None:
            return
        for record in announcer.records.values():
            record.expires = min(max(record.expires, announcer.renewed), until)
        announcer.renewed = 0.0

    def expire(self, now: Instant) -> None:
        """Strike out what has lapsed."""
        for node in list(self._by_node):
            self._expire(node, now)

    def _expire(self, node: NodeId, now: Instant) -> None:
        records = self._by_node[node].records
        for record in list(takewhile(lambda record: record.lapsed(now), records.values())):
            self._remove(record.claim.blob, node)

    def _has_room(self, claim: Claim) -> bool:
        records, announcer = self._by_blob.get(claim.blob), self._by_node.get(claim.node)
        if announcer is not None and len(announcer.records) >= self._config.claims_per_node:
            return False
        if records is None:
            return len(self._by_blob) < self._config.blobs_max and self._count < self._config.records_max
        return len(records) < self._config.claims_per_blob and self._count < self._config.records_max

    def _remove(self, blob: BlobId, node: NodeId) -> None:
        records = self._by_blob.get(blob)
        record = records.pop(node, None) if records is not None else None
        if records is None or record is None:
            return
        self._count -= 1
        if not records:
            del self._by_blob[blob]
            stem = self._by_stem[blob[:BLOB_PREFIX_MIN]]
            del stem[blob]
            if not stem:
                del self._by_stem[blob[:BLOB_PREFIX_MIN]]
        announcer = record.announcer
        announcer.tally.drop(record.mark)
        del announcer.records[blob]
        if not announcer.records:
            del self._by_node[node]
