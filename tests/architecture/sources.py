"""The project's own files, read and parsed once for all checks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".json", ".cddl", ".sql", ".service", ".c", ".txt", ".sh"}
_TOP = ("edgecache", "tests", "deploy", "firmware-config", ".ci")
_SKIP = {"__pycache__"}


@dataclass(frozen=True)
class Source:
    """One Python file; `where` is its path from the project's root."""

    where: str
    text: str
    tree: ast.Module

    def under(self, *folders: str) -> bool:
        """Whether the file lies in one of these folders."""
        return any(self.where.startswith(folder.rstrip("/") + "/") for folder in folders)


def text_files() -> Iterator[Path]:
    """Everything of the project that a person would read."""
    for name in _TOP:
        for path in sorted((ROOT / name).rglob("*")):
            if not path.is_file() or _SKIP & set(path.parts):
                continue
            if path.suffix in _TEXT or not path.suffix:
                yield path
    for path in sorted(ROOT.iterdir()):
        if path.is_file() and (path.suffix in _TEXT or path.name in ("Makefile", ".gitignore")):
            yield path


@cache
def python_sources() -> tuple[Source, ...]:
    """All Python files of the product and of its tests."""
    found = []
    for top in ("edgecache", "tests"):
        for path in sorted((ROOT / top).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            found.append(Source(path.relative_to(ROOT).as_posix(), text, ast.parse(text, filename=str(path))))
    return tuple(found)


def parsed(text: str, where: str = "edgecache/core/planted.py") -> Source:
    """A made-up file, so that a check can be seen to fail."""
    return Source(where, text, ast.parse(text))
