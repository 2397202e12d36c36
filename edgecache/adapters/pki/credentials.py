"""A node's own key and certificate: installed from a bundle, loaded at start, turned into TLS contexts."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edgecache.adapters.pki.files import PEM_BYTES_MAX, PUBLIC, IdentityFiles, read_pem, write_whole
from edgecache.adapters.pki.keys import load_key, node_id_of_key
from edgecache.adapters.pki.profile import (
    MeshId,
    PeerIdentity,
    Role,
    check_ca,
    check_issued,
    from_pem,
    identity_of,
    key_of,
    to_der,
    to_pem,
)
from edgecache.model.errors import Denied, NotFound
from edgecache.model.ids import NodeId

X509_V_FLAG_NO_CHECK_TIME = 0x200000
"""Of OpenSSL's x509_vfy.h; Python has no name for it. check_peer judges validity, once there is a trusted time."""

ALPN = "coap"
"""RFC 8323 section 8.2."""

_JOIN_HINT = "`edgecache mesh create` starts a mesh; `edgecache mesh request` asks to join one"


@dataclass(frozen=True, slots=True)
class Credentials:
    """Key, certificate and CA of a node that is in a mesh; they fit together."""

    key: Ed25519PrivateKey
    certificate: x509.Certificate
    ca: x509.Certificate
    identity: PeerIdentity

    @property
    def node(self) -> NodeId:
        """This node."""
        return self.identity.node

    @property
    def mesh(self) -> MeshId:
        """Its mesh."""
        return self.identity.mesh

    @property
    def certificate_der(self) -> bytes:
        """The certificate as it goes on the wire."""
        return to_der(self.certificate)


def _matching(key: Ed25519PrivateKey, certificate: x509.Certificate, ca: x509.Certificate) -> Credentials:
    """Checks that the three belong together; raises Denied."""
    mesh = check_ca(ca)
    check_issued(certificate, ca)
    identity = identity_of(certificate)
    node = node_id_of_key(key.public_key())
    if identity.node != node:
        raise Denied(f"the certificate is for {identity.node}, this node is {node}")
    if identity.mesh != mesh:
        raise Denied(f"the certificate names mesh {identity.mesh}, but mesh {mesh} has signed it")
    if Role.MEMBER not in identity.roles:
        raise Denied(f"the certificate lacks the role {Role.MEMBER}")
    return Credentials(key, certificate, ca, identity)


def load_credentials(files: IdentityFiles) -> Credentials:
    """What is installed; raises NotFound or Denied with what to do."""
    key = load_key(files.node_key)
    try:
        own = from_pem(read_pem(files.node_certificate, "certificate"), str(files.node_certificate))
        cas = from_pem(read_pem(files.ca_certificate, "CA certificate"), str(files.ca_certificate))
    except NotFound as error:
        raise Denied("this node is in no mesh yet", hint=_JOIN_HINT) from error
    if len(own) != 1 or len(cas) != 1:
        raise Denied(f"{files.data_dir}: node.crt and ca.crt must hold one certificate each", hint=_JOIN_HINT)
    try:
        return _matching(key, own[0], cas[0])
    except Denied as error:
        hint = "install the certificate again: edgecache mesh install n.crt"
        raise Denied(f"{files.data_dir}: {error.message}", hint=hint) from error


def installed_mesh(files: IdentityFiles) -> MeshId | None:
    """The mesh whose CA is trusted here; None before the first installation."""
    try:
        cas = from_pem(read_pem(files.ca_certificate, "CA certificate"), str(files.ca_certificate))
    except NotFound:
        return None
    return check_ca(cas[0])


def read_bundle(key: Ed25519PrivateKey, pem: bytes) -> Credentials:
    """The certificate for this key and its CA's from what `mesh issue` printed; raises Denied."""
    if len(pem) > PEM_BYTES_MAX:
        raise Denied(f"a file of {len(pem)} bytes, {PEM_BYTES_MAX} are allowed")
    found = from_pem(pem, "the file")
    if len(found) != 2:
        raise Denied(
            f"the file has {len(found)} certificates, two are expected: the node's and its CA's",
            hint="install the file that `edgecache mesh issue` wrote, unchanged",
        )
    own = [certificate for certificate in found if key_of(certificate) == key.public_key()]
    if len(own) != 1:
        raise Denied(
            f"the file has no certificate for this node, {node_id_of_key(key.public_key())}",
            hint="its request was made on another device, or before `init` made the present key",
        )
    (ca,) = [certificate for certificate in found if certificate is not own[0]]
    return _matching(key, own[0], ca)


def install(files: IdentityFiles, credentials: Credentials, *, leave_mesh: bool = False) -> None:
    """Put certificates in place, durably; raises Denied when this node is in another mesh, unless it may leave it."""
    present = installed_mesh(files)
    if present not in (None, credentials.mesh) and not leave_mesh:
        raise Denied(
            f"this node is in mesh {present}, the certificate is of mesh {credentials.mesh}",
            hint="--force leaves the one for the other",
        )
    write_whole(files.ca_certificate, to_pem(credentials.ca), PUBLIC)
    write_whole(files.node_certificate, to_pem(credentials.certificate), PUBLIC)


def tls_contexts(files: IdentityFiles) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Contexts to accept and to dial with: TLS 1.3, both sides certified by our CA, no host names, no clock.

    Who the peer is must still be asked with check_peer. Raises Denied.
    """
    return _context(ssl.PROTOCOL_TLS_SERVER, files), _context(ssl.PROTOCOL_TLS_CLIENT, files)


def _context(protocol: int, files: IdentityFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags = ssl.VerifyFlags(context.verify_flags | X509_V_FLAG_NO_CHECK_TIME)
    context.set_alpn_protocols([ALPN])
    if protocol == ssl.PROTOCOL_TLS_SERVER:
        # Without tickets nobody resumes a session, so each link is judged by the certificate of today.
        context.num_tickets = 0
    try:
        context.load_cert_chain(files.node_certificate, files.node_key)
        context.load_verify_locations(files.ca_certificate)
    except (ssl.SSLError, OSError) as error:
        raise Denied(f"{files.data_dir}: key and certificates cannot be used: {error}", hint=_JOIN_HINT) from error
    return context
