"""init and config: files are written once, checked with positions, shown without secrets; the examples are right."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from edgecache.config.document import FILE_BYTES_MAX
from edgecache.config.load import default_path, load
from edgecache.config.schema import FileSource
from edgecache.model.errors import ConfigError
from tests.integration.cli.running import ROOT, edgecache

EXAMPLES = ROOT / "firmware-config"


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


def test_init_writes_a_configuration_that_loads_and_a_key(tmp_path: Path) -> None:
    file, data = tmp_path / "etc" / "n.yaml", tmp_path / "data"
    words = ("--name", "pi: #1", "--site", "attic", "--data-dir", data, "--port", "0")
    done = edgecache("init", "-c", file, "--json", *words)
    assert done.code == 0, done.err
    config = load(file)
    assert (config.name, config.site, config.data_dir, config.listen.port) == ("pi: #1", "attic", data, 0)
    assert done.json["config"] == str(file)
    assert done.json["data_dir"] == str(data)
    assert done.json["node"].startswith("n")
    assert (data / "node.key").stat().st_mode & 0o777 == 0o600
    assert file.read_text().startswith("# yaml-language-server: $schema=edgecache.schema.json\n")
    assert json.loads((file.parent / "edgecache.schema.json").read_text())["title"]
    assert edgecache("-c", file, "config", "check").code == 0


@pytest.mark.parametrize("name", ["null", "~", "on", "0123", "12:30", "a'b\"c", "ü 🍳", "- x", "{a: b}", "!x", "*a"])
def test_any_name_survives_init(tmp_path: Path, name: str) -> None:
    file = tmp_path / "n.yaml"
    assert edgecache("init", "-c", file, "--data-dir", tmp_path / "d", "--name", name).code == 0
    assert load(file).name == name


def test_init_overwrites_nothing(tmp_path: Path) -> None:
    file, data = tmp_path / "n.yaml", tmp_path / "data"
    first = edgecache("init", "-c", file, "--data-dir", data, "--json").json
    before = file.read_bytes()
    again = edgecache("init", "-c", file, "--data-dir", tmp_path / "other")
    assert again.code == 1
    assert again.err.startswith(f"error: {file}: there is a configuration already\nhint: ")
    assert file.read_bytes() == before
    assert not (tmp_path / "other").exists()
    second = edgecache("init", "-c", tmp_path / "m.yaml", "--data-dir", data, "--json").json
    assert (second["node"], second["key_made"]) == (first["node"], False)


def test_init_makes_just_the_key_for_a_configuration_that_exists(tmp_path: Path) -> None:
    file = write(tmp_path / "n.yaml", "version: 1\ndata_dir: here\n")
    done = edgecache("-c", file, "init", "--key-only", "--json").json
    assert done["key_made"]
    assert (tmp_path / "here" / "node.key").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--site", "My Site"), "--site: 'My Site' is not allowed here"),
        (("--port", "70000"), "--port: 70000 is out of range"),
        (("--name", "x" * 64), "--name: is 64 bytes long"),
    ],
)
def test_init_refuses_what_the_configuration_would(tmp_path: Path, words: tuple[str, ...], why: str) -> None:
    done = edgecache("init", "-c", tmp_path / "n.yaml", "--data-dir", tmp_path / "d", *words)
    assert done.code == 2
    assert why in done.err
    assert not list(tmp_path.iterdir())


def test_init_without_places_uses_those_of_the_user(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        named = {"EDGECACHE_CONFIG": str(tmp_path / ".config/edgecache/edgecache.yaml")}
        words: tuple[str, ...] = ("--data-dir", str(tmp_path / ".local/share/edgecache"))
    else:
        named, words = {}, ()
    env = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": None, "XDG_DATA_HOME": None, **named}
    assert edgecache("init", *words, env=env).code == 0
    assert (tmp_path / ".config/edgecache/edgecache.yaml").exists()
    assert (tmp_path / ".local/share/edgecache/node.key").exists()


def test_the_first_configuration_found_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    user = tmp_path / "home" / ".config" / "edgecache" / "edgecache.yaml"
    user.parent.mkdir(parents=True)
    write(user, "version: 1\n")
    environ = {"HOME": str(tmp_path / "home")}
    assert default_path(environ) == user
    write(tmp_path / "edgecache.yaml", "version: 1\n")
    assert default_path(environ) == Path("edgecache.yaml")
    assert default_path({**environ, "EDGECACHE_CONFIG": "/x"}) == Path("/x")


def test_check_tells_every_mistake_with_its_place(tmp_path: Path) -> None:
    file = write(tmp_path / "n.yaml", "version: 1\nstore:\n  max_sise: 1GB\nlog: {level: x}\n")
    done = edgecache("-c", file, "config", "check")
    assert done.code == 3
    assert f"{file}:3:3: unknown key 'max_sise' in store; did you mean 'max_size'?" in done.err
    assert f"{file}:4:14:" in done.err
    told = edgecache("--json", "-c", file, "config", "check")
    assert (told.code, told.out) == (3, "")
    assert told.json_error["error"] == "config"
    assert told.json_error["exit_code"] == 3


def test_check_warns(tmp_path: Path) -> None:
    text = "version: 1\nmqtt: {username: u, password: p}\n"
    done = edgecache("-c", write(tmp_path / "n.yaml", text, 0o644), "config", "check")
    assert done.code == 0
    assert "warning: " in done.err
    assert "others can read" in done.err


def test_secrets_come_from_a_private_file_and_are_never_shown(tmp_path: Path) -> None:
    file = write(tmp_path / "n.yaml", "version: 1\nmqtt: {username: !secret user, password: !secret pass}\n")
    secrets = write(tmp_path / "secrets.yaml", "user: carol\npass: 0123\n", 0o640)
    denied = edgecache("-c", file, "config", "show")
    assert denied.code == 3
    assert "others can read it (mode 0640, must be 0600)" in denied.err
    secrets.chmod(0o600)
    assert (load(file).mqtt.username, load(file).mqtt.password) == ("carol", "0123")
    for shown in (edgecache("-c", file, "config", "show"), edgecache("-c", file, "config", "show", "--json")):
        assert shown.code == 0
        assert "carol" not in shown.out
        assert "0123" not in shown.out


@pytest.mark.parametrize(
    ("secrets", "why"),
    [
        ("other: x\n", "there is no secret 'pass'"),
        ("pas: x\n", "did you mean 'pas'?"),
        ("", "there is no secret 'pass'"),
        ("- pass\n", "must be lines of `name: value`"),
        ("pass: [x]\n", ":1: must be `name: value`"),
        ("pass: !secret pass\n", ":1: must be `name: value`"),
        ("pass: a\npass: b\n", ":2: 'pass' is there twice"),
        ('pass: "a\\x07b"\n', "what the secret holds is not a secret"),
    ],
)
def test_secrets_that_are_not_right_are_refused_without_being_told(tmp_path: Path, secrets: str, why: str) -> None:
    file = write(tmp_path / "n.yaml", "version: 1\nmqtt: {username: u, password: !secret pass}\n")
    write(tmp_path / "secrets.yaml", secrets)
    with pytest.raises(ConfigError) as raised:
        load(file)
    assert why in raised.value.message


@pytest.mark.parametrize("kind", ["missing", "directory", "pipe", "huge"])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "n.yaml"
    if kind == "directory":
        file.mkdir()
    elif kind == "pipe":
        os.mkfifo(file)
    elif kind == "huge":
        write(file, "version: 1\n" + "#" * FILE_BYTES_MAX)
    with pytest.raises(ConfigError, match=str(file)):
        load(file)


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("pi*.yaml")), ids=lambda path: path.stem)
def test_the_examples_load(tmp_path: Path, example: Path) -> None:
    shutil.copy(example, tmp_path)
    write(tmp_path / "secrets.yaml", (EXAMPLES / "secrets.example.yaml").read_text())
    done = edgecache("-c", tmp_path / example.name, "config", "check", "--json")
    assert (done.code, done.err) == (0, "")
    assert done.json["warnings"] == []
    uncommented = "".join(
        line.replace("# ", "", 1) if line.startswith("    # - ") or line.startswith("    #   ") else line
        for line in example.read_text().splitlines(keepends=True)
    )
    write(tmp_path / "all.yaml", uncommented)
    wanted = example.read_text().count("type: file")
    assert sum(isinstance(one, FileSource) for one in load(tmp_path / "all.yaml").readings.sources) == wanted
    assert f"`{example.name}`" in (EXAMPLES / "README.md").read_text()


def test_the_schema_beside_the_examples_is_the_one_in_force() -> None:
    assert edgecache("config", "schema").out == (EXAMPLES / "edgecache.schema.json").read_text()
    assert edgecache("config", "schema", "--json").json == json.loads(edgecache("config", "schema").out)


def test_the_reference_is_markdown() -> None:
    done = edgecache("config", "reference")
    assert done.out.startswith("# Configuration reference")
    assert edgecache("config", "reference", "--json").json["reference"].strip() == done.out.strip()
