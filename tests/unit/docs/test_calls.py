"""What the documentation tells people to type exists: commands, their options, targets of make, files, links."""

from __future__ import annotations

import re

import click
import pytest

from edgecache.cli.main import main
from tests.architecture.sources import ROOT
from tests.unit.docs.pages import Call, calls, pages, spans, typed

_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")
_TARGET = re.compile(r"^([a-z]+):", re.MULTILINE)
_FOLDERS = ("deploy/", "firmware-config/", "tests/")


def problem(call: Call) -> str:
    """What is wrong with a call, by the command line's own parser; empty when nothing is."""
    command: click.Command = main
    context = click.Context(main, info_name="edgecache")
    words = list(call.words)
    while True:
        try:
            options, words, _ = command.make_parser(context).parse_args(words)
        except click.UsageError as error:
            return error.format_message() if call.whole or isinstance(error, click.NoSuchOption) else ""
        if not isinstance(command, click.Group):
            break
        if not words:
            return ""
        name = words.pop(0)
        found = command.get_command(context, name)
        if found is None:
            return f"there is no command {name!r}"
        command, context = found, click.Context(found, parent=context, info_name=name)
    if words:
        return f"too many arguments: {words}"
    needed = [one for one in command.params if isinstance(one, click.Argument) and one.required and one.name]
    missing = [one.name for one in needed if not isinstance(options.get(one.name or ""), str | tuple)]
    return f"no {missing}" if missing and call.whole else ""


def test_every_call_in_the_documentation_is_one() -> None:
    found = [call for page in pages() for call in calls(page.read_text(), str(page.relative_to(ROOT)))]
    assert len(found) > 50
    assert not [f"{call.where}: {wrong}" for call in found if (wrong := problem(call))]


@pytest.mark.parametrize(
    "line",
    [
        "$ edgecache fetch x",
        "pi-hall$ sudo edgecache put --sticky x",
        "$ edgecache get --from",
        "$ edgecache status now",
        "$ edgecache mesh revoke n",
        "$ cat n.req | edgecache mesh issue",
        "$ edgecache config check && edgecache reload",
        "$ docker compose run --rm edgecache start",
        "$ docker compose exec edgecache edgecache peer",
    ],
)
def test_a_wrong_call_is_noticed(line: str) -> None:
    assert any(problem(call) for call in calls(f"```console\n{line}\n```", "page"))


def test_a_wrong_call_in_running_text_is_noticed_and_a_mention_is_not() -> None:
    assert [bool(problem(call)) for call in calls("`edgecache doctor`, `edgecache\nget`, `edgecache rm -r`", "")] == [
        True, False, True,
    ]  # fmt: skip


def test_what_is_printed_is_not_taken_for_a_call() -> None:
    page = "```console\n$ edgecache ls > list  # all\nedgecache says\n```\n```text\n$ edgecache nonsense\n```"
    assert [call.words for call in calls(page, "")] == [("ls",)]


def test_the_readme_lists_every_command() -> None:
    text = (ROOT / "README.md").read_text()
    section = text[text.index("\n## Commands\n") : text.index("Exit codes")]
    named = {word for span in spans(section) for word in span.split()}
    context = click.Context(main)
    for name in main.list_commands(context):
        assert name in named
        command = main.get_command(context, name)
        if isinstance(command, click.Group):
            assert named >= set(command.list_commands(context))


def test_targets_of_make_exist() -> None:
    targets = set(_TARGET.findall((ROOT / "Makefile").read_text()))
    wanted = [command for page in pages() for _, command in typed(page.read_text())]
    wanted += [span for page in pages() for span in spans(page.read_text())]
    named = {words[1] for words in map(str.split, wanted) if words[:1] == ["make"] and len(words) > 1}
    assert named >= {"demo", "test"}
    assert named <= targets


def test_links_and_files_that_commands_use_exist() -> None:
    missing = []
    for page in pages():
        text = page.read_text()
        wanted = [page.parent / link for link, _ in _LINK.findall(text) if "://" not in link]
        wanted += [ROOT / word for _, line in typed(text) for word in line.split() if word.startswith(_FOLDERS)]
        missing += [f"{page.relative_to(ROOT)}: {path}" for path in wanted if not path.exists()]
    assert not missing
