"""What a peer relays of the signed state of others: verified before the core sees it, and the right one blamed."""

from __future__ import annotations

from edgecache.core import vocabulary as v
from edgecache.model.ids import NodeId
from edgecache.model.instant import Instant
from edgecache.model.pacing import TokenBucket
from edgecache.ports import Signer
from edgecache.wire.messages import Message, StateDigest, StatePush

VERIFY_RATE = 50.0
"""Signatures a second that are checked for one peer, at 0.1 ms each on a PC and ten times that on a small Pi; a push
beyond that counts as an announcement, and the core asks for it in its own time."""
VERIFY_BURST = 600.0
"""The same, at once: every map of a large site when a link opens."""
FORGED_WEIGHT = 5
"""Twice bans."""


class Scrutiny:
    """Turns messages into what the core may believe."""

    def __init__(self, signer: Signer) -> None:
        self._signer = signer
        self._budgets: dict[NodeId, TokenBucket] = {}
        """By linked peer."""

    def of(self, peer: NodeId, message: Message, now: Instant) -> v.Event | None:
        """What the core is to hear of this message, if anything.

        News of an owner whose certificate we have not seen cannot be verified: it counts as an announcement, and the
        core pulls the whole map, which carries the certificate. That an owner's certificate has expired by our clock is
        no fault of the relay, whose clock may not be set.
        """
        if not isinstance(message, StatePush):
            return v.MessageReceived(peer, message)
        unknown = not message.certificate and not self._signer.knows(message.owner)
        if unknown or not self._may_verify(peer, now):
            return v.MessageReceived(peer, StateDigest((message.head,)))
        if self._signer.verify_push(message):
            return v.MessageReceived(peer, message)
        if self._signer.outdated(message):
            return None
        return v.Misbehaved(peer, FORGED_WEIGHT, f"state of {message.owner} with a bad signature")

    def _may_verify(self, peer: NodeId, now: Instant) -> bool:
        budget = self._budgets.get(peer) or TokenBucket(VERIFY_RATE, VERIFY_BURST, VERIFY_BURST, now)
        if budget.wait(now):
            return False
        self._budgets[peer] = budget.take(1, now)
        return True

    def forget(self, peer: NodeId) -> None:
        """A link with it is gone."""
        self._budgets.pop(peer, None)
