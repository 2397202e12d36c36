"""The project's Markdown: its pages, the shell commands and code spans in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.architecture.sources import ROOT

_PROMPT = re.compile(r"[a-z-]*\$ (?P<command>.+)")
_SPAN = re.compile(r"`([^`]+)`")
_BETWEEN_COMMANDS = {"|", "||", "&&", ";", "&"}
_REDIRECTIONS = {">", ">>", "<", "2>"}


@dataclass(frozen=True)
class Call:
    """A call of `edgecache` in a page."""

    where: str
    words: tuple[str, ...]
    """What follows the program's name."""
    whole: bool
    """To be typed as it stands, so that all its arguments must be there; in running text only the command is named."""


def pages() -> list[Path]:
    """Every Markdown file that users and developers read."""
    found = [*ROOT.glob("*.md")]
    for folder in ("deploy", "edgecache", "firmware-config"):
        found += (ROOT / folder).rglob("*.md")
    return sorted(found)


def blocks(text: str, language: str) -> Iterator[tuple[int, str]]:
    """The lines of fenced blocks in that language, with their line numbers."""
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("```"):
            inside = "" if inside else line[3:].strip() or "plain"
        elif inside == language:
            yield number, line


def typed(text: str) -> Iterator[tuple[int, str]]:
    """What is typed at a prompt, in console blocks."""
    for number, line in blocks(text, "console"):
        if match := _PROMPT.fullmatch(line):
            yield number, match["command"]


def spans(text: str) -> Iterator[str]:
    """Code in running text; one that goes over a line's end is joined."""
    inside, outside = False, []
    for line in text.splitlines():
        if line.startswith("```"):
            inside = not inside
        elif not inside:
            outside.append(line)
    for span in _SPAN.findall("\n".join(outside)):
        yield " ".join(span.split())


def calls(text: str, where: str) -> Iterator[Call]:
    """Every call of `edgecache` in a page."""
    for number, line in typed(text):
        for command in _commands(line):
            if (words := _of_edgecache(command)) is not None:
                yield Call(f"{where}:{number}", tuple(words), whole=True)
    for span in spans(text):
        words = _of_edgecache(span.split())
        if words is not None:
            yield Call(f"{where}: `{span}`", tuple(words), whole=False)


def _commands(line: str) -> Iterator[list[str]]:
    """The single commands of a line of shell, without redirections and comments."""
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.whitespace_split = True
    words: list[str] = []
    for token in [*reader, ";"]:
        if token not in _BETWEEN_COMMANDS:
            words.append(token)
            continue
        end = next((index for index, word in enumerate(words) if word in _REDIRECTIONS), len(words))
        yield words[:end]
        words = []


def _of_edgecache(command: list[str]) -> list[str] | None:
    """The words after the program's name, in a container or not; None when it is another program."""
    words = command[1:] if command[:1] == ["sudo"] else command
    if words[:2] == ["docker", "compose"] and "edgecache" in words:
        started = "run" in words
        words = words[words.index("edgecache") :]
        words = words if started else words[1:]
    return words[1:] if words[:1] == ["edgecache"] else None
