"""Real TLS handshakes, in memory: members of one mesh connect, nobody else does, and no clock is asked."""

from __future__ import annotations

import ssl
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edgecache.adapters.pki.credentials import Credentials, install, installed_mesh, load_credentials, tls_contexts
from edgecache.adapters.pki.files import IdentityFiles, write_whole
from edgecache.adapters.pki.keys import create_key, load_key
from edgecache.adapters.pki.profile import check_peer, node_id_of
from edgecache.model.errors import AlreadyThere, Denied, NotFound
from tests.lab.tools import require_tool
from tests.unit.pki.certificates import member, mesh

LONG_AGO = datetime(1999, 1, 1, tzinfo=UTC)


def node(directory: Path, credentials: Credentials) -> IdentityFiles:
    """A data directory with everything in it."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    files = IdentityFiles(directory)
    pem = credentials.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_whole(files.node_key, pem, 0o600)
    install(files, credentials)
    return files


def handshake(server: ssl.SSLContext, client: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    """Both ends after a handshake and one byte each way, so that both certificates were judged."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (server.wrap_bio(to_server, to_client, server_side=True), client.wrap_bio(to_client, to_server))
    waiting = list(ends)
    for _ in range(10):
        for end in list(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                continue
        if not waiting:
            break
    for end, other in (ends, ends[::-1]):
        end.write(b"x")
        assert other.read(1) == b"x"
    return ends


def test_two_members_connect_and_know_each_other(tmp_path: Path) -> None:
    alice = node(tmp_path / "a", member("alice"))
    bob = node(tmp_path / "b", member("bob"))
    for server, client in ((alice, bob), (bob, alice)):
        accepting, dialling = handshake(tls_contexts(server)[0], tls_contexts(client)[1])
        for end, peer in ((accepting, client), (dialling, server)):
            der = end.getpeercert(binary_form=True)
            assert der is not None
            expected = load_credentials(peer).node
            assert node_id_of(der) == expected
            assert check_peer(der, mesh=mesh("home").mesh, wall_time=None).node == expected
            assert end.version() == "TLSv1.3"
            assert end.selected_alpn_protocol() == "coap"


def test_an_expired_certificate_still_shakes_hands_because_openssl_asks_no_clock(tmp_path: Path) -> None:
    old = node(tmp_path / "a", member("alice", expires=LONG_AGO))
    bob = node(tmp_path / "b", member("bob"))
    handshake(tls_contexts(old)[0], tls_contexts(bob)[1])
    handshake(tls_contexts(bob)[0], tls_contexts(old)[1])


def test_another_mesh_gets_the_handshake_and_nothing_else(tmp_path: Path) -> None:
    alice = node(tmp_path / "a", member("alice"))
    away = node(tmp_path / "b", member("bob", of="away"))
    for server, client in ((alice, away), (away, alice)):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(tls_contexts(server)[0], tls_contexts(client)[1])


def test_a_client_without_a_certificate_is_refused(tmp_path: Path) -> None:
    alice = node(tmp_path / "a", member("alice"))
    nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    nobody.check_hostname = False
    nobody.verify_mode = ssl.CERT_NONE
    with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
        handshake(tls_contexts(alice)[0], nobody)


def test_older_tls_is_refused(tmp_path: Path) -> None:
    alice = node(tmp_path / "a", member("alice"))
    client = tls_contexts(node(tmp_path / "b", member("bob")))[1]
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        handshake(tls_contexts(alice)[0], client)


def test_certificates_also_pass_strict_checks_at_any_time(tmp_path: Path) -> None:
    openssl = str(require_tool("openssl"))
    files = node(tmp_path, member("alice"))
    for when in ("0", "1780000000", "4102444800"):
        command = [openssl, "verify", "-x509_strict", "-attime", when, "-CAfile", str(files.ca_certificate)]
        for purpose in ("sslserver", "sslclient"):
            run = [*command, "-purpose", purpose, str(files.node_certificate)]
            result = subprocess.run(run, capture_output=True, text=True, timeout=20, check=False)
            assert result.returncode == 0, result.stdout + result.stderr


def test_a_node_leaves_its_mesh_only_when_told(tmp_path: Path) -> None:
    files = node(tmp_path, member("alice"))
    with pytest.raises(Denied, match="is in mesh") as raised:
        install(files, member("alice", of="away"))
    assert "--force" in raised.value.hint
    assert installed_mesh(files) == mesh("home").mesh
    install(files, member("alice"))
    install(files, member("alice", of="away"), leave_mesh=True)
    assert load_credentials(files).mesh == mesh("away").mesh


def test_what_does_not_fit_together_is_not_loaded(tmp_path: Path) -> None:
    files = IdentityFiles(tmp_path)
    with pytest.raises(NotFound, match="no private key"):
        load_credentials(files)
    node(tmp_path, member("alice"))
    files.node_certificate.unlink()
    with pytest.raises(Denied, match="in no mesh yet"):
        load_credentials(files)
    install(files, member("bob"))
    with pytest.raises(Denied, match="the certificate is for"):
        load_credentials(files)
    with pytest.raises(Denied, match="cannot be used"):
        tls_contexts(files)


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "node.key"
    made = create_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert load_key(path).public_key() == made.public_key()
    with pytest.raises(AlreadyThere):
        create_key(path)
    assert [entry.name for entry in path.parent.iterdir()] == ["node.key"]


@pytest.mark.parametrize("damage", ["open to others", "garbage", "empty", "huge", "directory", "certificate"])
def test_a_key_file_that_is_not_right_is_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "node.key"
    if damage == "directory":
        path.mkdir(mode=0o700)
    else:
        create_key(path)
    bundle = mesh("home").bundle(member("bob").certificate)
    contents = {"garbage": b"\xff" * 100, "empty": b"", "huge": b"x" * 2**20, "certificate": bundle}
    content = contents.get(damage)
    if content is not None:
        path.write_bytes(content)
    if damage == "open to others":
        path.chmod(0o640)
    with pytest.raises(Denied):
        load_key(path)


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    target = tmp_path / "x"
    target.mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(target, b"data", 0o600)
    assert [entry.name for entry in tmp_path.iterdir()] == ["x"]
