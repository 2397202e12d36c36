"""What a certificate of a mesh looks like (RFC 5280): who it names, what it allows, how long it holds.

Identity is the URI in the subject alternative name, `spiffe://<mesh id>/node/<node id>`, and must agree with the key.
Roles are in an extension of our own. Validity begins in 1970, so that a device without a clock is not locked out.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import NewType

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import SignatureAlgorithmOID

from edgecache.adapters.pki.keys import node_id_of_key, spki
from edgecache.model.errors import Denied, UsageError
from edgecache.model.ids import NodeId, node_id_from_spki, parse_node_id
from edgecache.model.instant import WallTime
from edgecache.wire.limits import CERTIFICATE_BYTES_MAX

MeshId = NewType("MeshId", str)
"""`m` and 26 base32 characters: the first 128 bits of SHA-256 over the CA's public key."""

ROLES_OID = x509.ObjectIdentifier("2.25.102523046180371760814186368456663884734.1")
"""Below a random UUID (ITU-T X.667): nobody assigns it, nobody else uses it."""

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
NO_EXPIRY = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""RFC 5280 section 4.1.2.5: no well-defined expiration."""

ROLES_MAX = 16
"""Roles in one certificate: a few later ones may come."""

_IDENTITY = re.compile(r"spiffe://(m[a-z2-7]{26})/node/(n[a-z2-7]{26})\Z")

_SIGNATURE_HEAD = b"\x03\x41\x00"
"""A BIT STRING of 64 whole bytes: with it, nobody but the CA can change any byte of a certificate."""

_UNPARSABLE = (Warning, ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion,
               x509.UnsupportedGeneralNameType)  # fmt: skip


_PARSED_LATER = ("extensions", "issuer", "subject", "not_valid_before_utc", "not_valid_after_utc",
                 "signature_algorithm_oid")  # fmt: skip
"""What the library parses when it is first asked for; asked for at once, so that it raises in one place."""


class Role(StrEnum):
    """What a certificate allows its node."""

    MEMBER = "member"
    """Link, read, fetch and serve."""
    PUBLISHER = "publisher"
    """Name new releases."""
    BRIDGE = "bridge"
    """Publish readings to the broker."""
    ENROLLER = "enroller"
    """Pass on requests for certificates."""
    ADMIN = "admin"
    """Change what others do."""


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """What a certificate says of its node, after it was checked."""

    node: NodeId
    mesh: MeshId
    roles: frozenset[str]
    """Names; unknown ones are kept."""


def mesh_id_of_key(key: Ed25519PublicKey) -> MeshId:
    """The id of the mesh whose CA holds this key: built like a node id, with another first letter."""
    return MeshId("m" + node_id_from_spki(spki(key))[1:])


def identity_uri(mesh: MeshId, node: NodeId) -> str:
    """The name in the certificate."""
    return f"spiffe://{mesh}/node/{node}"


def encode_roles(roles: frozenset[str]) -> bytes:
    """DER SEQUENCE OF UTF8String, sorted."""
    inner = b"".join(b"\x0c" + bytes([len(role)]) + role.encode("ascii") for role in sorted(roles))
    assert len(inner) < 128, "more would need DER's long lengths"
    return b"\x30" + bytes([len(inner)]) + inner


def decode_roles(der: bytes) -> frozenset[str]:
    """The inverse; raises ValueError."""
    if len(der) < 2 or der[0] != 0x30 or der[1] >= 128 or der[1] != len(der) - 2:
        raise ValueError("not a short DER sequence")
    roles: list[str] = []
    at = 2
    while at < len(der):
        if der[at] != 0x0C or at + 1 >= len(der) or der[at + 1] >= 128 or at + 2 + der[at + 1] > len(der):
            raise ValueError("not a short UTF8String")
        end = at + 2 + der[at + 1]
        roles.append(der[at + 2 : end].decode("ascii"))
        at = end
    if len(roles) > ROLES_MAX:
        raise ValueError("too many roles")
    return frozenset(roles)


@contextmanager
def strictly(message: str, hint: str = "") -> Iterator[None]:
    """Turns whatever the library raises, or warns of, while it parses into Denied."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    except _UNPARSABLE as error:
        raise Denied(message, hint=hint) from error


def parse_certificate(der: bytes) -> x509.Certificate:
    """A bounded certificate with an Ed25519 key; raises Denied."""
    if len(der) > CERTIFICATE_BYTES_MAX:
        raise Denied(f"a certificate of {len(der)} bytes, {CERTIFICATE_BYTES_MAX} are allowed")
    with strictly("not a certificate"):
        certificate = x509.load_der_x509_certificate(der)
        key = certificate.public_key()
        for lazy in _PARSED_LATER:
            getattr(certificate, lazy)
    if not isinstance(key, Ed25519PublicKey) or not der.endswith(_SIGNATURE_HEAD + certificate.signature):
        raise Denied("a certificate whose key or signature is not Ed25519")
    return certificate


def key_of(certificate: x509.Certificate) -> Ed25519PublicKey:
    """The public key of a certificate that parse_certificate accepted."""
    key = certificate.public_key()
    assert isinstance(key, Ed25519PublicKey)
    return key


def node_id_of(der: bytes) -> NodeId:
    """The id of the node that holds the key of this certificate, whoever signed it; raises Denied."""
    return node_id_of_key(key_of(parse_certificate(der)))


def check_peer(der: bytes, *, mesh: str, wall_time: WallTime | None) -> PeerIdentity:
    """Who a peer is, from a certificate whose signature TLS has verified; raises Denied.

    `wall_time` None: the time is not trusted, and validity is not looked at.
    """
    certificate = parse_certificate(der)
    identity = identity_of(certificate)
    if identity.mesh != mesh:
        raise Denied(f"a certificate of mesh {identity.mesh}, this is mesh {mesh}")
    if Role.MEMBER not in identity.roles:
        raise Denied(f"the certificate of {identity.node} lacks the role {Role.MEMBER}")
    if wall_time is not None:
        check_validity(certificate, wall_time)
    return identity


def identity_of(certificate: x509.Certificate) -> PeerIdentity:
    """The names in a node's certificate, which must agree with its key; raises Denied."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
    except (x509.ExtensionNotFound, ValueError) as error:
        raise Denied("a certificate without one URI that names its node") from error
    found = _IDENTITY.match(uri)
    if found is None:
        raise Denied("a certificate whose URI is not spiffe://MESH/node/NODE")
    try:
        node = parse_node_id(found[2])
    except UsageError as error:
        raise Denied(f"a certificate with a bad node id: {error.message}") from error
    if node != node_id_of_key(key_of(certificate)):
        raise Denied(f"a certificate that names {node} but has another key")
    return PeerIdentity(node, MeshId(found[1]), _roles_of(certificate))


def _roles_of(certificate: x509.Certificate) -> frozenset[str]:
    try:
        extension = certificate.extensions.get_extension_for_oid(ROLES_OID).value
        assert isinstance(extension, x509.UnrecognizedExtension)
        return decode_roles(extension.value)
    except x509.ExtensionNotFound:
        return frozenset()
    except ValueError as error:
        raise Denied("a certificate with malformed roles") from error


def check_validity(certificate: x509.Certificate, wall_time: WallTime) -> None:
    """Refuses a certificate that is not valid at that time."""
    begins, ends = certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp()
    if wall_time < begins:
        raise Denied(f"a certificate that is not valid before {certificate.not_valid_before_utc:%Y-%m-%d}")
    if wall_time > ends:
        raise Denied(
            f"a certificate that expired on {certificate.not_valid_after_utc:%Y-%m-%d}",
            hint="on that device: edgecache mesh request; then issue and install again",
        )


def check_issued(certificate: x509.Certificate, ca: x509.Certificate) -> None:
    """Refuses a certificate that this CA did not sign, that may sign others, or that demands what we do not know."""
    if certificate.signature_algorithm_oid != SignatureAlgorithmOID.ED25519 or certificate.issuer != ca.subject:
        raise Denied("a certificate of another mesh")
    try:
        key_of(ca).verify(certificate.signature, certificate.tbs_certificate_bytes)
    except InvalidSignature as error:
        raise Denied("a certificate that the CA of this mesh did not sign") from error
    for extension in certificate.extensions:
        value = extension.value
        if isinstance(value, x509.BasicConstraints) and value.ca:
            raise Denied("the certificate of a CA, not of a node")
        if extension.critical and isinstance(value, x509.UnrecognizedExtension):
            raise Denied("a certificate with a critical extension that is not known here")


def check_ca(certificate: x509.Certificate) -> MeshId:
    """The mesh of a CA's certificate; raises Denied when it is none, or not signed by itself."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
        key_of(certificate).verify(certificate.signature, certificate.tbs_certificate_bytes)
    except (x509.ExtensionNotFound, InvalidSignature) as error:
        raise Denied("not the certificate of a mesh's CA") from error
    if not constraints.ca or not usage.key_cert_sign or certificate.issuer != certificate.subject:
        raise Denied("not the certificate of a mesh's CA")
    return mesh_id_of_key(key_of(certificate))


def to_der(certificate: x509.Certificate) -> bytes:
    """DER."""
    return certificate.public_bytes(Encoding.DER)


def to_pem(certificate: x509.Certificate) -> bytes:
    """PEM."""
    return certificate.public_bytes(Encoding.PEM)


def from_pem(pem: bytes, what: str) -> list[x509.Certificate]:
    """The certificates in a PEM file, each checked as by parse_certificate; raises Denied."""
    with strictly(f"{what}: no certificates in PEM form"):
        found = x509.load_pem_x509_certificates(pem)
    return [parse_certificate(to_der(certificate)) for certificate in found]
