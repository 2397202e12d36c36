"""Request, issue, install: what is asked for is checked, and a bundle fits one key only."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from edgecache.adapters.pki.authority import make_request, read_request
from edgecache.adapters.pki.credentials import read_bundle
from edgecache.adapters.pki.files import PEM_BYTES_MAX
from edgecache.adapters.pki.keys import node_id_of_key
from edgecache.adapters.pki.profile import to_pem
from edgecache.model.errors import Denied
from tests.unit.pki.certificates import forged, key, member, mesh

HOME = mesh("home")
REQUEST = make_request(key("bob"), "pi-attic")


def test_a_request_carries_the_key_and_a_name_that_is_only_claimed() -> None:
    asked = read_request(REQUEST)
    assert asked.node == node_id_of_key(key("bob").public_key())
    assert asked.claimed_name == "pi-attic"
    issued = HOME.issue(asked.key)
    assert "pi-attic" not in issued.subject.rfc4514_string()


@pytest.mark.parametrize("name", ["", "x" * 200, "a\x1b[2Jb", "Küche 🍳"])
def test_any_name_can_be_asked_with_and_none_reaches_the_terminal_raw(name: str) -> None:
    claimed = read_request(make_request(key("bob"), name)).claimed_name
    assert claimed.isprintable()
    assert 0 < len(claimed) <= 64


def test_a_request_must_be_signed_by_the_key_it_is_for() -> None:
    other = x509.load_pem_x509_csr(make_request(key("mallory"), "pi-attic"))
    own = x509.load_pem_x509_csr(REQUEST)
    der = own.public_bytes(Encoding.DER).replace(own.signature, other.signature)
    with pytest.raises(Denied, match="signature is wrong"):
        read_request(x509.load_der_x509_csr(der).public_bytes(Encoding.PEM))


def test_a_request_for_another_kind_of_key_is_refused() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(other, SHA256())
    with pytest.raises(Denied, match="not Ed25519"):
        read_request(request.public_bytes(Encoding.PEM))


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda part: REQUEST[:-40] + part))
def test_other_bytes_are_no_request(data: bytes) -> None:
    with pytest.raises(Denied):
        read_request(data)


def test_a_huge_request_is_refused() -> None:
    with pytest.raises(Denied, match="are allowed"):
        read_request(REQUEST + b"\n" * PEM_BYTES_MAX)


def test_a_bundle_is_for_one_key_in_any_order() -> None:
    certificate = HOME.issue(key("bob").public_key())
    assert read_bundle(key("bob"), HOME.bundle(certificate)).mesh == HOME.mesh
    reverse = to_pem(HOME.certificate) + to_pem(certificate)
    assert read_bundle(key("bob"), reverse).certificate == certificate
    with pytest.raises(Denied, match="no certificate for this node"):
        read_bundle(key("carol"), HOME.bundle(certificate))


def test_a_bundle_must_be_whole_and_fit_together() -> None:
    bob = key("bob").public_key()
    own, home, away = HOME.issue(bob), HOME.certificate, mesh("away").certificate
    uri = f"spiffe://{mesh('away').mesh}/node/{node_id_of_key(bob)}"
    liar = forged(uri, bob, key("mesh home"), home.subject)
    weak = forged(f"spiffe://{HOME.mesh}/node/{node_id_of_key(bob)}", bob, key("mesh home"), home.subject, roles=None)
    for parts, why in [
        ([own], "1 certificates, two are expected"),
        ([own, home, home], "3 certificates"),
        ([own, away], "another mesh"),
        ([own, own], "no certificate for this node"),
        ([own, member("carol").certificate], "not the certificate of a mesh's CA"),
        ([liar, home], "but mesh"),
        ([weak, home], "lacks the role"),
    ]:
        with pytest.raises(Denied, match=why):
            read_bundle(key("bob"), b"".join(map(to_pem, parts)))
    with pytest.raises(Denied, match="are allowed"):
        read_bundle(key("bob"), b"\n" * (PEM_BYTES_MAX + 1))
