"""Provider records: what other nodes announced that they hold. Soft state from strangers, so bounded everywhere."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
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


@dataclass(slots=True)
class Record:
    """One claim, until when it is believed."""

    claim: Claim
    expires: Instant


class ProviderRecords:
    """Records by blob, with indexes by announcer and by the first characters of the blob id."""

    def __init__(self, config: DirectoryConfig) -> None:
        self._config = config
        self._by_blob: dict[BlobId, dict[NodeId, Record]] = {}
        self._by_node: dict[NodeId, dict[BlobId, None]] = {}
        self._by_stem: dict[str, dict[BlobId, None]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, claim: Claim, now: Instant) -> bool:
        """Record, renew or strike out a claim; False when a bound forbids it."""
        if withdraws(claim):
            self._remove(claim.blob, claim.node)
            return True
        record = self._by_blob.get(claim.blob, {}).get(claim.node)
        if record is not None:
            record.claim, record.expires = claim, now + self._config.record_ttl
            return True
        if not self._has_room(claim):
            return False
        if claim.blob not in self._by_blob:
            self._by_stem.setdefault(claim.blob[:BLOB_PREFIX_MIN], {})[claim.blob] = None
        self._by_blob.setdefault(claim.blob, {})[claim.node] = Record(claim, now + self._config.record_ttl)
        self._by_node.setdefault(claim.node, {})[claim.blob] = None
        self._count += 1
        return True

    def claims(self, blob: BlobId, now: Instant) -> list[Claim]:
        """What is recorded of one blob and has not lapsed."""
        return [record.claim for record in self._by_blob.get(blob, {}).values() if record.expires > now]

    def beginning(self, prefix: str) -> list[BlobId]:
        """Recorded blobs whose id begins so."""
        return [blob for blob in self._by_stem.get(prefix[:BLOB_PREFIX_MIN], {}) if blob.startswith(prefix)]

    def summary(self, node: NodeId, now: Instant) -> Summary:
        """Of all that a node announced and that has not lapsed."""
        records = (self._by_blob[blob][node] for blob in self._by_node.get(node, ()))
        return summary_of(record.claim for record in records if record.expires > now)

    def renew(self, node: NodeId, now: Instant) -> None:
        """All that a node announced is believed for another while."""
        for blob in self._by_node.get(node, ()):
            record = self._by_blob[blob][node]
            if record.expires > now:
                record.expires = now + self._config.record_ttl

    def drop_node(self, node: NodeId) -> None:
        """Strike out all that a node announced."""
        for blob in list(self._by_node.get(node, ())):
            self._remove(blob, node)

    def shorten(self, node: NodeId, until: Instant) -> None:
        """Let all that a node announced lapse at `until` unless it is renewed."""
        for blob in self._by_node.get(node, ()):
            record = self._by_blob[blob][node]
            record.expires = min(record.expires, until)

    def expire(self, now: Instant) -> None:
        """Strike out what has lapsed."""
        lapsed = [
            (blob, node)
            for blob, records in self._by_blob.items()
            for node, record in records.items()
            if record.expires <= now
        ]
        for blob, node in lapsed:
            self._remove(blob, node)

    def _has_room(self, claim: Claim) -> bool:
        records = self._by_blob.get(claim.blob)
        if len(self._by_node.get(claim.node, ())) >= self._config.claims_per_node:
            return False
        if records is None:
            return len(self._by_blob) < self._config.blobs_max and self._count < self._config.records_max
        return len(records) < self._config.claims_per_blob and self._count < self._config.records_max

    def _remove(self, blob: BlobId, node: NodeId) -> None:
        records = self._by_blob.get(blob)
        if records is None or records.pop(node, None) is None:
            return
        self._count -= 1
        if not records:
            del self._by_blob[blob]
            stem = self._by_stem[blob[:BLOB_PREFIX_MIN]]
            del stem[blob]
            if not stem:
                del self._by_stem[blob[:BLOB_PREFIX_MIN]]
        announced = self._by_node[node]
        del announced[blob]
        if not announced:
            del self._by_node[node]
