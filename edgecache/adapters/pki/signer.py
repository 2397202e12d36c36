"""Signs the heads of our own map, and verifies those of others as they arrive."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from edgecache.adapters.pki.credentials import Credentials
from edgecache.adapters.pki.profile import check_issued, check_peer, check_validity, key_of, parse_certificate
from edgecache.model.errors import Denied, LocalProtocolError
from edgecache.model.ids import Digest, NodeId, sha256
from edgecache.model.instant import WallTime
from edgecache.wire.codec import encode_signed_head
from edgecache.wire.limits import HEADS_MAX
from edgecache.wire.messages import StatePush

OWNERS_MAX = 2 * HEADS_MAX
"""Owners whose certificates are remembered: twice what a site has, at about 1 KiB each."""


@dataclass(frozen=True, slots=True)
class _Owner:
    """A certificate that was verified."""

    certificate: x509.Certificate
    fingerprint: Digest
    key: Ed25519PublicKey


class NodeSigner:
    """ports.Signer with Ed25519. Remembers the verified certificates of owners, least recently used forgotten first."""

    def __init__(self, credentials: Credentials, trusted_time: Callable[[], WallTime | None] = lambda: None) -> None:
        self.node: NodeId = credentials.node
        self.certificate: bytes = credentials.certificate_der
        self._key = credentials.key
        self._mesh = credentials.mesh
        self._ca = credentials.ca
        self._trusted_time = trusted_time
        self._owners: OrderedDict[NodeId, _Owner] = OrderedDict()

    def sign_head(self, epoch: int, version: int, map_hash: Digest) -> bytes:
        """64 bytes over (our id, epoch, version, map_hash)."""
        return self._key.sign(encode_signed_head(self.node, epoch, version, map_hash))

    def verify_push(self, push: StatePush) -> bool:
        """Whether the owner is a member of this mesh, by a certificate carried or seen before, and has signed this."""
        owner = self._signed_by(push)
        return owner is not None and self._is_valid(owner)

    def outdated(self, push: StatePush) -> bool:
        """Whether a push that was not good is its owner's all the same, but for the time its certificate is valid."""
        owner = self._signed_by(push)
        return owner is not None and not self._is_valid(owner)

    def knows(self, owner: NodeId) -> bool:
        """Whether a push of this owner can be verified without its certificate."""
        return owner in self._owners

    def _signed_by(self, push: StatePush) -> _Owner | None:
        """The owner, if it has signed this, at whatever time; None when it has not, or nobody knows."""
        try:
            owner = self._owner(push)
            if owner is not None:
                head = encode_signed_head(push.owner, push.epoch, push.version, push.map_hash)
                owner.key.verify(push.signature, head)
        except (Denied, InvalidSignature, LocalProtocolError):
            return None
        return owner

    def _is_valid(self, owner: _Owner) -> bool:
        if (wall_time := self._trusted_time()) is None:
            return True
        try:
            check_validity(owner.certificate, wall_time)
        except Denied:
            return False
        return True

    def _owner(self, push: StatePush) -> _Owner | None:
        """The owner's verified certificate; None when none was seen. Raises Denied for one that does not do."""
        known = self._owners.get(push.owner)
        if push.certificate and (known is None or known.fingerprint != sha256(push.certificate)):
            known = self._verified(push.owner, push.certificate)
            self._owners[push.owner] = known
            if len(self._owners) > OWNERS_MAX:
                self._owners.popitem(last=False)
        if known is not None:
            self._owners.move_to_end(push.owner)
        return known

    def _verified(self, owner: NodeId, der: bytes) -> _Owner:
        if check_peer(der, mesh=self._mesh, wall_time=None).node != owner:
            raise Denied(f"a certificate that is not of {owner}")
        certificate = parse_certificate(der)
        check_issued(certificate, self._ca)
        return _Owner(certificate, sha256(der), key_of(certificate))
