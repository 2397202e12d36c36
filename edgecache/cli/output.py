"""What commands print: results on standard output, for people or as JSON; notes and errors on standard error."""

from __future__ import annotations

import json
import sys
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from edgecache.model.errors import EdgecacheError


class Output:
    """One form for all commands. With `--json` exactly one JSON document goes to standard output, and no notes."""

    def __init__(self, *, as_json: bool = False, rich: bool | None = None) -> None:
        self.as_json = as_json
        self._rich = rich
        """Whether tables and colours are drawn; None: when standard output is a terminal."""

    @property
    def drawn(self) -> bool:
        """Whether the reader is a person at a terminal."""
        return not self.as_json and (sys.stdout.isatty() if self._rich is None else self._rich)

    def result(self, data: object, human: str | Callable[[], None]) -> None:
        """The outcome of a command: `data` as JSON, or `human`: text, or a function that prints."""
        if self.as_json:
            print(_json(data))
        elif callable(human):
            human()
        else:
            print(human)

    def stream(self, data: object, human: str) -> None:
        """One of many results that follow each other: a line of JSON or of text, at once."""
        print(_json(data) if self.as_json else human, flush=True)

    def note(self, text: str) -> None:
        """Something by the way, for people."""
        if not self.as_json:
            print(text, file=sys.stderr)

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Rows under headings: drawn at a terminal, otherwise columns filled up with spaces."""
        cells = [["" if cell is None else str(cell) for cell in row] for row in rows]
        if self.drawn:
            _draw(columns, cells)
            return
        widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
        for row in (columns, *cells):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def failure(self, error: EdgecacheError) -> None:
        """An error, on standard error: as one JSON object, or as `error:` and `hint:` lines."""
        if self.as_json:
            print(_json(error.as_json()), file=sys.stderr)
            return
        print(f"error: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)


def plain(text: str) -> str:
    """On one line, without what a terminal would obey: the names of files may have anything in them."""
    return "".join("\N{REPLACEMENT CHARACTER}" if unicodedata.category(one)[0] == "C" else one for one in text)


def _json(data: object) -> str:
    """What is no text in the name of a file stays escaped."""
    return json.dumps(data, ensure_ascii=False).encode(errors="backslashreplace").decode()


def _draw(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)
