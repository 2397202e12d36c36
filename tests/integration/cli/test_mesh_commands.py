"""From nothing to two members, by files only."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgecache.adapters.pki.credentials import load_credentials
from edgecache.adapters.pki.files import IdentityFiles
from tests.integration.cli.running import edgecache


class Device:
    """One node's configuration and data."""

    def __init__(self, directory: Path, name: str) -> None:
        self.config = directory / f"{name}.yaml"
        self.files = IdentityFiles(directory / name)
        made = edgecache("init", "-c", self.config, "--data-dir", self.files.data_dir, "--name", name, "--json")
        self.node = made.json["node"]

    def mesh(self, *words: str | Path, given: bytes | None = None) -> tuple[int, str, str]:
        """Exit code, standard output and error of a mesh command."""
        done = edgecache("-c", self.config, "mesh", *words, given=given)
        return done.code, done.out, done.err

    def shown(self) -> dict[str, object]:
        """`mesh show --json`."""
        found = edgecache("-c", self.config, "mesh", "show", "--json").json
        assert isinstance(found, dict)
        return found


@pytest.fixture
def first(tmp_path: Path) -> Device:
    device = Device(tmp_path, "first")
    assert device.mesh("create")[0] == 0
    return device


@pytest.fixture
def second(tmp_path: Path) -> Device:
    return Device(tmp_path, "second")


def test_the_creator_is_the_first_member_with_every_role(first: Device) -> None:
    shown = first.shown()
    assert shown["node"] == first.node
    assert shown["roles"] == ["member", "publisher", "bridge", "enroller", "admin"]
    assert (shown["issues"], shown["expires"]) == (True, None)
    assert first.files.ca_key.stat().st_mode & 0o777 == 0o600
    assert first.files.ca_key.parent.stat().st_mode & 0o777 == 0o700
    assert load_credentials(first.files).mesh == shown["mesh"]


def test_a_device_joins_by_files(first: Device, second: Device, tmp_path: Path) -> None:
    request, certificate = tmp_path / "n.req", tmp_path / "n.crt"
    code, out, err = second.mesh("request")
    assert code == 0
    assert out.startswith("-----BEGIN CERTIFICATE REQUEST-----")
    assert second.node in err
    request.write_text(out)
    code, out, err = first.mesh("issue", request)
    assert code == 0
    assert out.count("-----BEGIN CERTIFICATE-----") == 2
    assert f"certified {second.node}, which calls itself 'second', as member, publisher, bridge" in err
    certificate.write_text(out)
    assert second.shown()["mesh"] is None
    assert "none yet" in second.mesh("show")[1]
    assert second.mesh("install", certificate)[0] == 0
    assert second.shown()["mesh"] == first.shown()["mesh"]
    assert second.shown()["issues"] is False
    assert "PRIVATE" not in request.read_text() + certificate.read_text()
    text = second.mesh("show")[1]
    assert "never" in text
    assert "elsewhere" in text


def test_files_may_also_be_named_and_roles_and_days_chosen(first: Device, second: Device, tmp_path: Path) -> None:
    request, certificate = tmp_path / "n.req", tmp_path / "n.crt"
    assert second.mesh("request", "-o", request)[1] == f"wrote {request}\n"
    words = ("--role", "bridge", "--role", "admin", "--days", "30", "-o", certificate)
    assert first.mesh("issue", request, *words)[1] == f"wrote {certificate}\n"
    assert second.mesh("install", "-", given=certificate.read_bytes())[0] == 0
    assert second.shown()["roles"] == ["member", "bridge", "admin"]
    assert second.shown()["expires"] is not None
    again = edgecache("-c", first.config, "mesh", "issue", "-", "--json", given=request.read_bytes())
    assert again.err == ""
    assert again.json["node"] == second.node
    assert again.json["claimed_name"] == "second"
    assert again.json["pem"].count("BEGIN CERTIFICATE") == 2


def test_a_second_mesh_is_not_made_by_accident(first: Device) -> None:
    before = first.shown()
    code, _, err = first.mesh("create")
    assert code == 1
    assert "made mesh" in err
    assert first.mesh("create", "--force")[0] == 1
    assert first.shown() == before


def test_an_interrupted_creation_is_completed(first: Device) -> None:
    before = first.shown()
    first.files.ca_certificate.unlink()
    first.files.node_certificate.unlink()
    assert first.mesh("create")[0] == 0
    assert first.shown() == before


def test_leaving_a_mesh_takes_force(first: Device, second: Device, tmp_path: Path) -> None:
    assert second.mesh("create")[0] == 0
    old = second.shown()["mesh"]
    certificate = tmp_path / "n.crt"
    certificate.write_text(first.mesh("issue", "-", given=second.mesh("request")[1].encode())[1])
    code, _, err = second.mesh("install", certificate)
    assert code == 10
    assert "--force" in err
    assert second.shown()["mesh"] == old
    assert second.mesh("install", certificate, "--force")[0] == 0
    assert second.shown()["mesh"] == first.shown()["mesh"]
    code, _, err = second.mesh("create")
    assert code == 10
    assert "--force" in err
    assert second.mesh("create", "--force")[0] == 0
    assert second.shown()["mesh"] == old


def test_a_certificate_is_for_the_device_that_asked(first: Device, second: Device, tmp_path: Path) -> None:
    third = Device(tmp_path, "third")
    bundle = first.mesh("issue", "-", given=second.mesh("request")[1].encode())[1].encode()
    code, _, err = third.mesh("install", "-", given=bundle)
    assert code == 10
    assert f"no certificate for this node, {third.node}" in err


@pytest.mark.parametrize(
    ("words", "given", "code", "why"),
    [
        (("issue", "-"), b"garbage", 10, "not a certificate request"),
        (("issue", "-"), b"x" * 20_000, 10, "are allowed"),
        (("issue", "/nowhere/n.req"), None, 4, "there is no request"),
        (("issue", "-", "--role", "king"), b"", 2, "king"),
        (("install", "-"), b"garbage", 10, "no certificates"),
        (("install", "/nowhere/n.crt"), None, 4, "there is no certificate"),
        (("request", "-o", "/nowhere/n.req"), None, 4, "/nowhere/n.req: No such file or directory"),
    ],
)
def test_mistakes_are_told_with_their_exit_code(
    first: Device, words: tuple[str, ...], given: bytes | None, code: int, why: str
) -> None:
    done, out, err = first.mesh(*words, given=given)
    assert (done, out) == (code, "")
    assert err.startswith(("error: ", "a request of"))
    assert why in err


def test_only_the_device_with_the_ca_key_issues(second: Device) -> None:
    code, _, err = second.mesh("issue", "-", given=b"")
    assert code == 4
    assert "where `edgecache mesh create` ran" in err


def test_a_device_without_a_key_is_told_to_init(tmp_path: Path) -> None:
    config = tmp_path / "n.yaml"
    config.write_text("version: 1\ndata_dir: d\n")
    done = edgecache("-c", config, "mesh", "show")
    assert done.code == 4
    assert "edgecache init" in done.err
