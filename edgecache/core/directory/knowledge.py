"""What this node can say by itself about who holds what: its own holdings and the records it keeps for others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgecache.model.ids import BLOB_PREFIX_MIN, BlobId, BlobRef, NodeId
from edgecache.wire.limits import PROVIDERS_MAX
from edgecache.wire.messages import Claim

if TYPE_CHECKING:
    from random import Random

    from edgecache.core.directory.announcer import Announcer
    from edgecache.core.directory.neighbourhood import Neighbourhood
    from edgecache.core.directory.records import ProviderRecords
    from edgecache.model.instant import Instant


def fits(claim: Claim, ref: BlobRef) -> bool:
    """Whether a claim can be an answer to this question; what the SHA-256 of the whole is, no claim can show."""
    if ref.blob is not None:
        return claim.blob == ref.blob
    return ref.prefix is None or claim.blob.startswith(ref.prefix)


class Knowledge:
    """Answers questions from memory."""

    def __init__(self, around: Neighbourhood, own: Announcer, records: ProviderRecords, rng: Random) -> None:
        self._around, self._own, self._records, self._rng = around, own, records, rng

    def of_others(self, ref: BlobRef, now: Instant) -> list[Claim]:
        """Recorded claims of nodes that may still be there."""
        if ref.blob is not None:
            blobs = [ref.blob]
        elif ref.prefix is not None and len(ref.prefix) >= BLOB_PREFIX_MIN:
            blobs = self._records.beginning(ref.prefix)
        else:
            blobs = [] if ref.sha256 is None else self._own.held_as(ref.sha256)
        recorded = (claim for blob in blobs for claim in self._records.claims(blob, now))
        return [claim for claim in recorded if self._around.usable(claim.node)]

    def answer(self, ref: BlobRef, now: Instant) -> tuple[Claim, ...]:
        """What to tell another node, ours included; a random part when it is more than fits."""
        own = [claim for blob in self._own_blobs(ref) if (claim := self._own.claim(blob)) is not None]
        others = self.of_others(ref, now)
        room = max(0, PROVIDERS_MAX - len(own))
        if len(others) > room:
            others = self._rng.sample(others, room)
        return tuple(own[:PROVIDERS_MAX] + others)

    def answer_some(self, blob: BlobId, but: NodeId, most: int, now: Instant) -> list[Claim]:
        """A few claims for one of many blobs: whole ones first, random among equals."""
        own = self._own.claim(blob)
        claims = [claim for claim in self.of_others(BlobRef(blob=blob), now) if claim.node != but]
        if own is not None:
            claims.append(own)
        if len(claims) > most:
            self._rng.shuffle(claims)
            claims.sort(key=lambda claim: not claim.whole)
        return claims[:most]

    def _own_blobs(self, ref: BlobRef) -> list[BlobId]:
        if ref.blob is not None:
            return [ref.blob]
        if ref.sha256 is not None:
            return self._own.held_as(ref.sha256)
        prefix = ref.prefix or ""
        return [blob for blob in self._own.held() if blob.startswith(prefix)] if len(prefix) >= BLOB_PREFIX_MIN else []
