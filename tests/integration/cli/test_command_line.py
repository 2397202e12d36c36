"""What holds for every command: cheap start, help, JSON, errors with hints, exit codes."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from edgecache import __version__
from edgecache.cli.command import Command, Group
from edgecache.cli.main import COMMANDS, main
from edgecache.cli.output import Output
from edgecache.model.content import CHUNK_BYTES
from edgecache.wire.manifest import ManifestBuilder
from tests.integration.cli.running import ROOT, edgecache, ended, process

HEAVY = ("aiocoap", "zeroconf", "cryptography", "rich", "paho", "psutil", "yaml", "cbor2", "asyncio", "ssl")


@pytest.mark.parametrize("words", [["--help"], ["mesh", "--help"], ["id", "--help"], ["--version"], ["nope"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    script = (
        "import sys, json\nfrom edgecache.cli.main import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    loaded = json.loads(run.stderr.splitlines()[-1])
    assert [name for name in HEAVY if name in loaded] == []


def commands() -> list[tuple[str, click.Command]]:
    found: list[tuple[str, click.Command]] = []
    context = click.Context(main)
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        assert command is not None
        found.append((name, command))
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", one) for inner, one in command.commands.items()]
    return found


def test_the_table_names_commands_in_their_place() -> None:
    assert {"init", "mesh", "config", "id"} <= set(COMMANDS)
    for name, command in commands():
        assert command.name == name.split()[-1]


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda value: value if isinstance(value, str) else "")
def test_every_command_takes_the_common_options_and_explains_itself(name: str, command: click.Command) -> None:
    assert isinstance(command, Command | Group)
    options = {option for parameter in command.params for option in parameter.opts}
    assert {"--json", "--config", "-c"} <= options
    assert command.get_short_help_str(100).endswith(".")
    done = edgecache(*name.split(), "--help")
    assert done.code == 0
    assert done.out.startswith(f"Usage: edgecache {name} ")


def test_version_and_bare_calls() -> None:
    assert edgecache("--version").out == f"edgecache, version {__version__}\n"
    for words in ((), ("mesh",)):
        done = edgecache(*words)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith("Usage: edgecache")


def test_the_common_options_may_stand_anywhere(tmp_path: Path) -> None:
    file = tmp_path / "n.yaml"
    file.write_text("version: 1\nname: x\n")
    for words in (
        ("--json", "-c", file, "config", "show"),
        ("config", "--json", "-c", file, "show"),
        ("config", "show", "--json", "--config", file),
    ):
        assert edgecache(*words).json["name"] == "x"


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["idd"], "there is no command 'idd'", "did you mean 'id'?"),
        (["xyzzy"], "there is no command 'xyzzy'", "`edgecache --help` lists them"),
        (["mesh", "xyzzy"], "No such command 'xyzzy'.", "`edgecache mesh --help` says how it is used"),
        (["id"], "Missing argument 'FILE'.", "`edgecache id --help` says how it is used"),
        (["id", "x", "--nope"], "No such option '--nope'.", "`edgecache id --help` says how it is used"),
    ],
)
def test_wrong_usage_is_code_2_with_a_hint(words: list[str], message: str, hint: str) -> None:
    done = edgecache(*words)
    assert done.code == 2
    assert done.out == ""
    error, advice = done.err.splitlines()
    assert error.startswith("error: ")
    assert message.rstrip(".") in error
    assert advice == f"hint: {hint}"
    told = edgecache("--json", *words)
    assert (told.code, told.out) == (2, "")
    assert told.json_error["error"] == "usage"
    assert told.json_error["hint"] == hint


def test_exit_codes_of_a_real_process(tmp_path: Path) -> None:
    missing = ended("-c", tmp_path / "none.yaml", "config", "check")
    assert missing.code == 3
    assert missing.err.startswith(f"error: {tmp_path}/none.yaml: there is no such configuration file\nhint: ")
    assert ended("id", tmp_path / "none").code == 4
    assert ended("nope").code == 2
    fine = ended("id", __file__)
    assert (fine.code, fine.err) == (0, "")


def expected_id(data: bytes) -> str:
    builder = ManifestBuilder()
    for at in range(0, len(data), CHUNK_BYTES):
        builder.update(data[at : at + CHUNK_BYTES])
    return builder.finish().blob


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_id_is_that_of_the_manifest(tmp_path: Path, size: int) -> None:
    data = (b"edgecache" * (size // 9 + 1))[:size]
    file = tmp_path / "x"
    file.write_bytes(data)
    blob = expected_id(data)
    assert edgecache("id", file).out == f"{blob}\n"
    assert edgecache("id", "-", given=data).out == f"{blob}\n"
    told = edgecache("id", file, "--json").json
    digest = hashlib.sha256(data).hexdigest()
    assert told == {"file": str(file), "id": blob, "size": size, "sha256": digest, "chunks": -(-size // CHUNK_BYTES)}


def test_id_of_what_cannot_be_read(tmp_path: Path) -> None:
    assert edgecache("id", tmp_path).err == f"error: {tmp_path}: Is a directory\n"
    assert edgecache("id", tmp_path).code == 1
    assert edgecache("id", tmp_path / "none").code == 4


def test_a_pipe_in_pieces_has_the_id_of_the_whole() -> None:
    data = bytes(range(256)) * 3000
    with process("id", "-") as child:
        assert child.stdin is not None
        for at in range(0, len(data), 7001):
            child.stdin.write(data[at : at + 7001])
            child.stdin.flush()
        out, _ = child.communicate(timeout=60)
    assert out.decode().strip() == expected_id(data)


def test_an_interrupt_is_code_130_without_a_traceback() -> None:
    with process("id", "-") as child:
        assert child.stdin is not None
        child.stdin.write(bytes(1024 * 1024))
        child.stdin.flush()
        # A pipe holds 64 KiB: the command has read the rest, so it is in its loop.
        child.send_signal(signal.SIGINT)
        child.wait(timeout=60)
        assert child.stderr is not None
        assert child.stderr.read().strip() == b""
    assert child.returncode == 130


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    with process("config", "reference") as child:
        assert child.stdout is not None
        child.stdout.close()
        child.wait(timeout=60)
        assert child.stderr is not None
        assert child.stderr.read() == b""
    assert child.returncode == 1


def test_tables_are_plain_in_a_pipe_drawn_at_a_terminal_and_safe(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [("a", 1), ("[bold]long name[/bold]", None)]
    Output(rich=False).table(("name", "count"), rows)
    plain = capsys.readouterr().out
    assert plain.splitlines() == [
        "name                    count",
        "a                       1",
        "[bold]long name[/bold]",
    ]
    Output(rich=True).table(("name", "count"), rows)
    assert "[bold]long name[/bold]" in capsys.readouterr().out
    Output().table(("name",), [])
    assert capsys.readouterr().out == "name\n"


def test_streamed_results_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).stream({"a": 1}, "one")
    Output().stream({"a": 1}, "one")
    Output(as_json=True).note("unheard")
    captured = capsys.readouterr()
    assert captured.out == '{"a": 1}\none\n'
    assert captured.err == ""
