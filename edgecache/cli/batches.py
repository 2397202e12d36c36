"""`put` and `get` of many blobs: which ones, over one connection, with a line for each."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgecache.cli.agent import agent_of, size_text
from edgecache.cli.command import STDIN, Session
from edgecache.model.errors import EdgecacheError, NotFound, UsageError

if TYPE_CHECKING:
    from edgecache.adapters.control.client import ControlClient
    from edgecache.cli.progress import Progress

PART_BYTES = 256 * 1024
"""Of a file that is read at once: a file of one part is stored together with others."""


def listed(source: str) -> list[str]:
    """The lines of a file, or of standard input for `-`; empty ones left out."""
    text = sys.stdin.read() if source == STDIN else Path(source).read_text()
    return [line for line in text.splitlines() if line.strip()]


# ---- put


def files_of(names: Iterable[str]) -> list[tuple[Path, str]]:
    """Plain files and the names they go by: those named, and all in the directories named, in the order of their names.

    Links are followed where they are named, not inside directories. Raises NotFound for what is not there.
    """
    found: list[tuple[Path, str]] = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            found += [(inner, str(inner)) for inner in _inside(path)]
        elif path.is_file():
            found.append((path, name))
        else:
            raise NotFound(f"there is no file {name}" if not path.exists() else f"{name} is no plain file")
    return found


def _inside(directory: Path) -> Iterator[Path]:
    for place, inner, files in os.walk(directory):
        inner.sort()
        for name in sorted(files):
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                yield path


class _Sender(threading.Thread):
    """Sends files while replies are read: whoever only writes would wait for an agent that waits to be read."""

    def __init__(self, agent: ControlClient, files: Sequence[tuple[Path, str]]) -> None:
        super().__init__(daemon=True)
        self._agent, self._files = agent, files
        self.sent: list[int] = []
        """Which file each blob of the connection is."""
        self.failed: dict[int, EdgecacheError] = {}
        self.broken: Exception | None = None

    def run(self) -> None:
        """To the end, or until the agent takes no more."""
        try:
            for number in range(len(self._files)):
                self._send(number)
            self._agent.send_content(())
        except Exception as error:
            self.broken = error
            self._agent.hang_up()

    def _send(self, number: int) -> None:
        path, name = self._files[number]
        try:
            stream = path.open("rb")
            first = stream.read(PART_BYTES)
        except OSError as error:
            self.failed[number] = NotFound(f"{path}: {error.strerror or error}")
            return
        with stream:
            self.sent.append(number)
            header = json.dumps({"name": name, "size": path.stat().st_size}).encode()
            rest = iter(lambda: stream.read(PART_BYTES), b"")
            self._agent.send_content(chain((header,), (first,) if first else (), rest if first else ()))


def put_many(session: Session, names: Sequence[str], *, pin: bool) -> None:
    """Store these files and all in these directories; a line for each that is durable. Raises the first failure."""
    from edgecache.cli.progress import progress

    files = files_of(names)
    sizes = [path.stat().st_size for path, _ in files]
    failed: list[EdgecacheError] = []
    with ExitStack() as stack:
        agent = stack.enter_context(agent_of(session))
        bar = stack.enter_context(progress(session.output, "storing", sum(sizes)))
        agent.request("put-many", pin=pin)
        sender = _Sender(agent, files)
        sender.start()
        done = size = 0
        try:
            for reply in agent.replies():
                if "number" in reply:
                    index = sender.sent[reply.pop("number")]
                    done, size = done + 1, size + sizes[index]
                    bar.show(size, None, f"{done} of {len(files)} files")
                    _tell(session, bar, reply, files[index][1], failed)
        except EdgecacheError as error:
            raise _cause(sender, error) from error
        sender.join()
    for number, problem in sender.failed.items():
        _note(session, files[number][1], problem, failed)
    session.output.note(f"stored {done - len(failed) + len(sender.failed)} of {len(files)} files, {size_text(size)}")
    if failed:
        raise failed[0]


def _cause(sender: _Sender, error: EdgecacheError) -> Exception:
    """A file that could not be read to its end is why the connection ended; the agent only saw that it did."""
    return sender.broken if isinstance(sender.broken, OSError) else error


def _tell(session: Session, bar: Progress, reply: dict[str, Any], name: str, failed: list[EdgecacheError]) -> None:
    from edgecache.adapters.control.frames import error_from_json

    if reply.pop("event") == "failed":
        _note(session, name, error_from_json(reply), failed)
    else:
        bar.clear()
        session.output.stream({**reply, "name": name}, f"{reply['blob']}  {name}")


def _note(session: Session, name: str, problem: EdgecacheError, failed: list[EdgecacheError]) -> None:
    failed.append(problem)
    if session.output.as_json:
        session.output.stream({"name": name, **problem.as_json()}, "")
    session.output.note(f"{name}: {problem.message}")


# ---- get


@dataclass(frozen=True, slots=True)
class Wanted:
    """A blob by whatever name, and what its file is to be called."""

    name: str
    file: str


def wanted_of(lines: Iterable[str]) -> list[Wanted]:
    """Lines as `put` prints them: an id, and perhaps after it the name of a file. Raises UsageError."""
    found = []
    for line in lines:
        name, _, file = line.strip().partition(" ")
        parts = Path(file.strip().lstrip("/") or name.replace(":", "-")).parts
        if ".." in parts:
            raise UsageError(f"{file.strip()} leads out of the directory", hint="name files without `..`")
        found.append(Wanted(name, str(Path(*parts))))
    return found


def get_many(
    session: Session, wanted: Sequence[Wanted], directory: str | None, write: Callable[[Iterator[bytes], Path], None],
    **arguments: object,
) -> None:
    """Fetch these blobs, into files of `directory` if one is given; a line for each. Raises the first failure."""
    from edgecache.adapters.control.frames import error_from_json
    from edgecache.cli.progress import progress

    target = Path(directory) if directory is not None else None
    if target is not None:
        target.mkdir(parents=True, exist_ok=True)
    failed: list[EdgecacheError] = []
    with ExitStack() as stack:
        agent = stack.enter_context(agent_of(session))
        bar = stack.enter_context(progress(session.output, "fetching", None))
        agent.request("get-many", content=target is not None, **arguments)
        agent.send_content(_frames([one.name for one in wanted]))
        for reply in agent.replies():
            event = reply.pop("event", None)
            if event == "content":
                assert target is not None, "content comes when it was asked for"
                path = target / wanted[reply["number"]].file
                path.parent.mkdir(parents=True, exist_ok=True)
                write(agent.content(), path)
            elif event == "progress":
                bar.show(reply["bytes"], None, f"{reply['done']} of {reply['of']} blobs")
            elif event == "got":
                one = wanted[reply.pop("number")]
                shown = one.file if target is not None else size_text(reply["size"])
                bar.clear()
                session.output.stream({**reply, "name": one.name, "file": one.file}, f"{reply['blob']}  {shown}")
            elif event == "failed":
                _note(session, wanted[reply["number"]].name, error_from_json(reply), failed)
    session.output.note(f"got {len(wanted) - len(failed)} of {len(wanted)} blobs")
    if failed:
        raise failed[0]


def _frames(names: Sequence[str]) -> Iterator[bytes]:
    for first in range(0, len(names), 1000):
        yield "".join(f"{name}\n" for name in names[first : first + 1000]).encode()
