"""The mesh's CA: makes itself, reads requests, issues certificates. Its key stays on the device that made it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgecache.adapters.pki.files import PEM_BYTES_MAX
from edgecache.adapters.pki.keys import create_key, load_key, node_id_of_key, spki
from edgecache.adapters.pki.profile import (
    BEGINNING,
    NO_EXPIRY,
    ROLES_OID,
    MeshId,
    Role,
    encode_roles,
    identity_uri,
    mesh_id_of_key,
    strictly,
    to_pem,
)
from edgecache.model.errors import Denied
from edgecache.model.ids import NodeId, sha256

ALL_ROLES = frozenset(Role)
NODE_ROLES = frozenset({Role.MEMBER, Role.PUBLISHER, Role.BRIDGE})
"""What an ordinary node of a household needs; passing on and changing others is for whoever is told to."""

_NAME_MAX = 64
"""ub-common-name of RFC 5280."""


@dataclass(frozen=True, slots=True)
class Request:
    """A checked request: whoever made it holds the key; the name is only what they say."""

    key: Ed25519PublicKey
    claimed_name: str

    @property
    def node(self) -> NodeId:
        """The node that asks."""
        return node_id_of_key(self.key)


def make_request(key: Ed25519PrivateKey, name: str) -> bytes:
    """A certificate signing request (PKCS #10 PEM), signed with the node's key."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _printable(name) or "unnamed")])
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, None).public_bytes(Encoding.PEM)


def read_request(pem: bytes) -> Request:
    """A bounded, correctly signed request; raises Denied."""
    if len(pem) > PEM_BYTES_MAX:
        raise Denied(f"a request of {len(pem)} bytes, {PEM_BYTES_MAX} are allowed")
    hint = "make one on the new device: edgecache mesh request > n.req"
    with strictly("not a certificate request", hint):
        request = x509.load_pem_x509_csr(pem)
        key = request.public_key()
        signed = request.is_signature_valid
        names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    if not isinstance(key, Ed25519PublicKey):
        raise Denied("a request whose key is not Ed25519", hint=hint)
    if not signed:
        raise Denied("a request whose signature is wrong: it was damaged or forged", hint=hint)
    return Request(key, _printable(str(names[0].value)) if names else "")


def _printable(name: str) -> str:
    """What a terminal and a certificate can take."""
    return "".join(char for char in name if char.isprintable())[:_NAME_MAX]


class Authority:
    """A mesh's CA. Its certificate follows from its key alone: the same key always makes the same certificate."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.mesh: MeshId = mesh_id_of_key(key.public_key())
        self.certificate: x509.Certificate = _self_signed(key, self.mesh)

    @classmethod
    def create(cls, path: Path) -> Authority:
        """A new mesh, its key in a new file; raises AlreadyThere when there is one."""
        return cls(create_key(path))

    @classmethod
    def load(cls, path: Path) -> Authority:
        """The mesh whose CA key is in this file; raises NotFound or Denied."""
        hint = "certificates are issued on the device where `edgecache mesh create` ran"
        return cls(load_key(path, hint=hint))

    def issue(
        self, key: Ed25519PublicKey, *, roles: frozenset[str] = NODE_ROLES, expires: datetime = NO_EXPIRY
    ) -> x509.Certificate:
        """A certificate for the node that holds this key, as server and client; always a member."""
        node = node_id_of_key(key)
        names = [x509.UniformResourceIdentifier(identity_uri(self.mesh, node))]
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        roles_der = encode_roles(roles | {Role.MEMBER.value})
        ca_key = self._key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(_common_name(node))
            .issuer_name(self.certificate.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(BEGINNING)
            .not_valid_after(expires)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key), critical=False)
            .add_extension(x509.UnrecognizedExtension(ROLES_OID, roles_der), critical=False)
            .sign(self._key, None)
        )

    def bundle(self, certificate: x509.Certificate) -> bytes:
        """What `mesh install` takes: the node's certificate and the CA's (PEM)."""
        return to_pem(certificate) + to_pem(self.certificate)


def _self_signed(key: Ed25519PrivateKey, mesh: MeshId) -> x509.Certificate:
    public = key.public_key()
    name = _common_name(f"edgecache {mesh}")
    serial = int.from_bytes(sha256(spki(public))[:16], "big") | 1
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(BEGINNING)
        .not_valid_after(NO_EXPIRY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(key_cert_sign=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, None)
    )


def _common_name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _key_usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    """A CA signs certificates and revocation lists, a node signs handshakes and heads; nobody both."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=key_cert_sign,
        crl_sign=key_cert_sign,
        encipher_only=False,
        decipher_only=False,
    )
