"""Certificates: what is issued is accepted, and nothing else is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from edgecache.adapters.pki.authority import Authority
from edgecache.adapters.pki.credentials import read_bundle
from edgecache.adapters.pki.keys import node_id_of_key
from edgecache.adapters.pki.profile import (
    PeerIdentity,
    Role,
    check_ca,
    check_issued,
    check_peer,
    decode_roles,
    encode_roles,
    identity_uri,
    node_id_of,
    parse_certificate,
    to_der,
)
from edgecache.model.errors import Denied
from edgecache.model.ids import parse_node_id
from edgecache.model.instant import WallTime
from edgecache.wire.limits import CERTIFICATE_BYTES_MAX
from tests.unit.pki.certificates import forged, key, member, mesh

HOME = mesh("home")
ALICE = member("alice")
NODE = ALICE.node
GOOD_URI = identity_uri(HOME.mesh, NODE)
NOW = WallTime(datetime(2026, 6, 1, tzinfo=UTC).timestamp())


def test_a_member_is_who_its_key_says() -> None:
    identity = check_peer(ALICE.certificate_der, mesh=HOME.mesh, wall_time=NOW)
    assert identity == PeerIdentity(NODE, HOME.mesh, frozenset({"member", "publisher", "bridge"}))
    assert node_id_of(ALICE.certificate_der) == NODE == node_id_of_key(key("alice").public_key())
    assert parse_node_id(NODE)
    assert len(ALICE.certificate_der) < CERTIFICATE_BYTES_MAX


def test_a_ca_makes_the_same_certificate_from_the_same_key() -> None:
    again = Authority(key("mesh home"))
    assert to_der(again.certificate) == to_der(HOME.certificate)
    assert check_ca(again.certificate) == HOME.mesh
    assert HOME.mesh.startswith("m")
    assert len(HOME.mesh) == 27


def test_a_node_is_always_a_member_whatever_else_it_is() -> None:
    assert member("bob", roles=frozenset({"admin"})).identity.roles == {"admin", "member"}


@pytest.mark.parametrize("wall_time", [WallTime(0.0), WallTime(60.0), NOW, None])
def test_a_certificate_holds_on_a_device_whose_clock_says_1970(wall_time: WallTime | None) -> None:
    assert check_peer(ALICE.certificate_der, mesh=HOME.mesh, wall_time=wall_time).node == NODE


def test_an_expired_certificate_is_refused_only_when_the_time_is_trusted() -> None:
    der = member("alice", expires=datetime(2025, 1, 1, tzinfo=UTC)).certificate_der
    assert check_peer(der, mesh=HOME.mesh, wall_time=None).node == NODE
    with pytest.raises(Denied, match="expired on 2025-01-01") as raised:
        check_peer(der, mesh=HOME.mesh, wall_time=NOW)
    assert "mesh request" in raised.value.hint


def test_another_mesh_is_refused() -> None:
    with pytest.raises(Denied, match="this is mesh"):
        check_peer(member("alice", of="away").certificate_der, mesh=HOME.mesh, wall_time=None)


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        (None, "without one URI"),
        (f"{GOOD_URI} {GOOD_URI}", "without one URI"),
        (GOOD_URI + "/x", "whose URI is not"),
        (GOOD_URI.replace("spiffe", "https"), "whose URI is not"),
        (GOOD_URI.replace(NODE, member("bob").node), "has another key"),
        (GOOD_URI[:-1] + "b", "bad node id"),
    ],
)
def test_a_name_that_does_not_fit_is_refused(uri: str | None, why: str) -> None:
    certificate = forged(uri, key("alice").public_key(), key("mesh home"), HOME.certificate.subject)
    with pytest.raises(Denied, match=why):
        check_peer(to_der(certificate), mesh=HOME.mesh, wall_time=None)


@pytest.mark.parametrize(
    ("roles", "why"),
    [
        (None, "lacks the role member"),
        (encode_roles(frozenset({"admin"})), "lacks the role member"),
        (b"", "malformed roles"),
        (b"\x30\x09\x0c\x06member", "malformed roles"),
        (b"\x30\x08\x0c\x07member", "malformed roles"),
        (b"\x30\x02\x0c\xff", "malformed roles"),
        (b"\x30\x03\x0c\x01\xff", "malformed roles"),
        (b"\x30\x66" + b"\x0c\x01x" * 34, "malformed roles"),
    ],
)
def test_roles_that_do_not_do_are_refused(roles: bytes | None, why: str) -> None:
    certificate = forged(GOOD_URI, key("alice").public_key(), key("mesh home"), HOME.certificate.subject, roles=roles)
    with pytest.raises(Denied, match=why):
        check_peer(to_der(certificate), mesh=HOME.mesh, wall_time=None)


@given(st.frozensets(st.sampled_from([role.value for role in Role] + ["later-role"])))
def test_roles_survive_their_encoding(roles: frozenset[str]) -> None:
    assert decode_roles(encode_roles(roles)) == roles


def test_only_the_ca_of_the_mesh_may_have_signed() -> None:
    public, subject = key("alice").public_key(), HOME.certificate.subject
    check_issued(ALICE.certificate, HOME.certificate)
    for certificate, why in [
        (forged(GOOD_URI, public, key("mallory"), subject), "did not sign"),
        (member("alice", of="away").certificate, "another mesh"),
        (forged(GOOD_URI, public, key("mesh home"), subject, ca=True), "of a CA"),
        (forged(GOOD_URI, public, key("mesh home"), subject, critical=True), "critical extension"),
    ]:
        with pytest.raises(Denied, match=why):
            check_issued(certificate, HOME.certificate)


def test_a_member_is_no_ca() -> None:
    with pytest.raises(Denied, match="not the certificate of a mesh's CA"):
        check_ca(ALICE.certificate)
    subject = x509.Name([])
    with pytest.raises(Denied, match="not the certificate of a mesh's CA"):
        check_ca(forged(None, key("mallory").public_key(), key("eve"), subject, ca=True))


def test_only_ed25519_is_taken() -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(other.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2030, 1, 1, tzinfo=UTC))
        .sign(other, SHA256())
    )
    with pytest.raises(Denied, match="is not Ed25519"):
        node_id_of(certificate.public_bytes(Encoding.DER))


def test_a_huge_certificate_is_not_even_parsed() -> None:
    with pytest.raises(Denied, match="are allowed"):
        node_id_of(b"\x30" * (CERTIFICATE_BYTES_MAX + 1))


@given(st.integers(0, len(ALICE.certificate_der) - 1), st.integers(1, 255))
def test_a_damaged_certificate_never_passes(at: int, flip: int) -> None:
    der = bytearray(ALICE.certificate_der)
    der[at] ^= flip
    with pytest.raises(Denied):
        trust(bytes(der))


def trust(der: bytes) -> None:
    """Everything that is checked before a certificate is trusted."""
    check_peer(der, mesh=HOME.mesh, wall_time=NOW)
    check_issued(parse_certificate(der), HOME.certificate)


@given(st.binary(max_size=300))
def test_garbage_is_denied(data: bytes) -> None:
    with pytest.raises(Denied):
        check_peer(data, mesh=HOME.mesh, wall_time=None)
    with pytest.raises(Denied):
        read_bundle(key("alice"), data)
