"""Nodes, meshes and bad certificates for the tests; keys are made once."""

from __future__ import annotations

from datetime import datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import NameOID

from edgecache.adapters.pki.authority import NODE_ROLES, Authority
from edgecache.adapters.pki.credentials import Credentials, read_bundle
from edgecache.adapters.pki.profile import BEGINNING, NO_EXPIRY, ROLES_OID, encode_roles

MEMBER = encode_roles(frozenset({"member"}))


@cache
def key(name: str) -> Ed25519PrivateKey:
    """The key called `name`."""
    return Ed25519PrivateKey.from_private_bytes(name.encode().ljust(32, b"\0"))


@cache
def mesh(name: str) -> Authority:
    """The mesh called `name`."""
    return Authority(key(f"mesh {name}"))


def member(
    name: str, of: str = "home", roles: frozenset[str] = NODE_ROLES, expires: datetime = NO_EXPIRY
) -> Credentials:
    """A node of a mesh."""
    authority = mesh(of)
    own = key(name)
    return read_bundle(own, authority.bundle(authority.issue(own.public_key(), roles=roles, expires=expires)))


def forged(
    uri: str | None,
    holder: Ed25519PublicKey,
    signer: Ed25519PrivateKey,
    issuer: x509.Name,
    *,
    roles: bytes | None = MEMBER,
    critical: bool = False,
    ca: bool = False,
) -> x509.Certificate:
    """A certificate with what `issue` would never write."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "forged")]))
        .issuer_name(issuer)
        .public_key(holder)
        .serial_number(7)
        .not_valid_before(BEGINNING)
        .not_valid_after(NO_EXPIRY)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if uri is not None:
        names = [x509.UniformResourceIdentifier(one) for one in uri.split()]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if roles is not None:
        builder = builder.add_extension(x509.UnrecognizedExtension(ROLES_OID, roles), critical=critical)
    return builder.sign(signer, None)
