"""Ed25519 keys: made here, kept in files that only their owner can read, never sent anywhere (RFC 8032, RFC 8410)."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from edgecache.adapters.pki.files import PRIVATE, read_pem, write_whole
from edgecache.model.errors import AlreadyThere, Denied
from edgecache.model.ids import NodeId, node_id_from_spki


def spki(key: Ed25519PublicKey) -> bytes:
    """DER SubjectPublicKeyInfo: what names are hashed from."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def node_id_of_key(key: Ed25519PublicKey) -> NodeId:
    """The id of the node that holds this key."""
    return node_id_from_spki(spki(key))


def create_key(path: Path) -> Ed25519PrivateKey:
    """A new key in a new file, 0600; raises AlreadyThere when there is one."""
    if path.exists():
        hint = "it is the identity of a node or a mesh; move it away if nobody needs that any more"
        raise AlreadyThere(f"{path}: there is a key already", hint=hint)
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_whole(path, pem, PRIVATE)
    return key


def load_key(path: Path, *, hint: str = "`edgecache init` makes one") -> Ed25519PrivateKey:
    """The key in a file; raises NotFound, or Denied when it is open to others or no Ed25519 key."""
    pem = read_pem(path, "private key", private=True, hint=hint)
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Denied(f"{path}: not a private key", hint="restore it from a backup") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Denied(f"{path}: not an Ed25519 key")
    return key
