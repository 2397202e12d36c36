"""What the demo prints: live progress at a terminal, a line a second elsewhere, and the outcome."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from edgecache.demo.swarm import Swarm

BAR_CELLS = 28
LINE_INTERVAL = 1.0
DRAW_INTERVAL = 0.1


class Screen:
    """Headings, tables, and the list of what was checked."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.failed = 0

    def heading(self, text: str) -> None:
        """The next act."""
        self.console.print(f"\n[bold]{text}[/bold]")

    def say(self, text: str) -> None:
        """A line."""
        self.console.print(text, markup=False)

    def check(self, what: str, good: bool, detail: str = "") -> None:
        """Something that has to be true for the demo to succeed."""
        self.failed += not good
        mark = "[green]ok  [/green]" if good else "[red]FAIL[/red]"
        self.console.print(f"  {mark} {what}" + (f"  ({detail})" if detail else ""))

    def table(self, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> None:
        """Rows under headings; figures to the right."""
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        cells = [[str(cell) for cell in row] for row in rows]
        for index, column in enumerate(columns):
            figures = bool(cells) and all(row[index][:1].isdigit() or row[index] in ("-", "") for row in cells)
            table.add_column(column, justify="right" if figures else "left", no_wrap=True)
        for row in cells:
            table.add_row(*row)
        self.console.print(table)


def watch(screen: Screen, swarm: Swarm, run: Callable[[], None]) -> None:
    """Run the swarm and show it; an exception of `run` is raised here."""
    failure: list[BaseException] = []

    def work() -> None:
        try:
            run()
        except BaseException as error:  # raised again below, in the thread that waits
            failure.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    if screen.console.is_terminal:
        with Live(console=screen.console, refresh_per_second=1 / DRAW_INTERVAL) as live:
            while thread.is_alive():
                live.update(_bars(swarm))
                thread.join(DRAW_INTERVAL)
            live.update(_bars(swarm))
    else:
        began = time.monotonic()
        while thread.is_alive():
            thread.join(LINE_INTERVAL)
            screen.say(f"  {time.monotonic() - began:5.1f} s  {_line(swarm)}")
    if failure:
        raise failure[0]


def _bars(swarm: Swarm) -> Table:
    table = Table.grid(padding=(0, 2))
    for fetch in swarm.fetches:
        share = fetch.have / fetch.chunks if fetch.chunks else 0.0
        cells = int(BAR_CELLS * share)
        state = "done" if fetch.finished else f"from {fetch.sources} peers"
        if fetch is swarm.victim.fetch and swarm.victim.killed_at and not fetch.finished:
            state += f"  (was killed at {swarm.victim.killed_at} chunks)"
        table.add_row(f"  {fetch.agent.name}", "█" * cells + "░" * (BAR_CELLS - cells), f"{100 * share:3.0f} %", state)
    return table


def _line(swarm: Swarm) -> str:
    parts = []
    for fetch in swarm.fetches:
        share = 100 * fetch.have // fetch.chunks if fetch.chunks else 0
        parts.append(f"{fetch.agent.name} {share:3d} %")
    return "   ".join(parts)
