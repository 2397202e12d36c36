"""`put` and `get` of many blobs: which ones, over one connection, with a line for each."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from edgecache.cli.agent import agent_of, size_text
from edgecache.cli.command import STDIN, Session
from edgecache.cli.output import plain
from edgecache.model.errors import EdgecacheError, NotFound, StoreError, TimedOut, UsageError

if TYPE_CHECKING:
    from edgecache.adapters.control.client import ControlClient
    from edgecache.cli.progress import Progress

PART_BYTES = 256 * 1024
"""Of a file that is read at once: a file of one part is stored together with others."""


LIST_BYTES_MAX = 64 * 1024 * 1024
"""Of a list of files or blobs."""


def listed(source: str) -> list[str]:
    """The lines of a file, or of standard input for `-`; empty ones left out. Raises UsageError."""
    with nullcontext(sys.stdin.buffer) if source == STDIN else Path(source).open("rb") as stream:
        data = stream.read(LIST_BYTES_MAX + 1)
    if len(data) > LIST_BYTES_MAX:
        raise UsageError(f"{source} is no list: it has more than {size_text(LIST_BYTES_MAX)}", hint="split it")
    lines = os.fsdecode(data).split("\n")  # and nowhere else: a name may have what other systems end lines with
    return [line.removesuffix("\r") for line in lines if line.strip()]


# ---- put


def files_of(names: Iterable[str]) -> list[tuple[Path, str]]:
    """Plain files and the names they go by: those named, and all in the directories named, in the order of their names.

    Links are followed where they are named, not inside directories. Raises NotFound for what is not there, OSError for
    a directory that cannot be read.
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
    for place, inner, files in os.walk(directory, onerror=_raised):
        inner.sort()
        for name in sorted(files):
            path = Path(place, name)
            if path.is_file() and not path.is_symlink():
                yield path


def _raised(error: OSError) -> NoReturn:
    raise error


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
    """The sender knows better why it ended the connection: a file that cannot be read, an agent that takes no more."""
    return sender.broken if isinstance(sender.broken, OSError | TimedOut) else error


def _tell(session: Session, bar: Progress, reply: dict[str, Any], name: str, failed: list[EdgecacheError]) -> None:
    from edgecache.adapters.control.frames import error_from_json

    if reply.pop("event") == "failed":
        _note(session, name, error_from_json(reply), failed)
    else:
        bar.clear()
        session.output.stream({**reply, "name": name}, plain(f"{reply['blob']}  {name}"))


def _note(session: Session, name: str, problem: EdgecacheError, failed: list[EdgecacheError]) -> None:
    failed.append(problem)
    if session.output.as_json:
        session.output.stream({"name": name, **problem.as_json()}, "")
    session.output.note(plain(f"{name}: {problem.message}"))


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
        name, file = (*line.split(maxsplit=1), "", "")[:2]
        if not name:
            raise UsageError("a blob without a name", hint="name each by what `put` printed")
        parts = Path((file.strip() or name.replace(":", "-")).lstrip("/")).parts
        if ".." in parts:
            raise UsageError(f"{file.strip()} leads out of the directory", hint="name files without `..`")
        if not parts or "\0" in line:
            raise UsageError(f"{plain(line)} names no file", hint="an ID, and perhaps after it the name of a file")
        found.append(Wanted(name, str(Path(*parts))))
    return found


def _require_places(wanted: Sequence[Wanted], directory: Path) -> None:
    """Each blob has a file of its own in the directory, and none stands where another needs one; raises UsageError.

    The directory may be a link. Names in a list may be a stranger's: what would follow a link inside is refused, as
    `..` is.
    """
    names: dict[Path, str] = {}
    for one in wanted:
        if names.setdefault(Path(one.file), one.name) != one.name:
            raise UsageError(f"two blobs are to be called {one.file}", hint="give each a name of its own in the list")
    for one in wanted:
        if any(parent in names for parent in Path(one.file).parents):
            raise UsageError(f"{one.file} would lie in a directory that is another blob's file", hint="rename one")
        path = directory / one.file
        if not path.parent.resolve().is_relative_to(directory.resolve()):
            raise UsageError(f"{one.file} leads out of the directory by a link", hint="name files without it")
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is no plain file", hint="call the blob something else in the list")


def get_many(
    session: Session, wanted: Sequence[Wanted], directory: str | None, write: Callable[[Iterator[bytes], Path], None],
    **arguments: object,
) -> None:
    """Fetch these blobs, into files of `directory` if one is given; a line for each. Raises the first failure."""
    from edgecache.adapters.control.frames import error_from_json
    from edgecache.cli.progress import progress

    target = Path(directory) if directory is not None else None
    if target is not None:
        _require_places(wanted, target)
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
                one = wanted[reply["number"]]
                path = target / one.file
                path.parent.mkdir(parents=True, exist_ok=True)
                try:
                    write(agent.content(), path)
                except (NotFound, StoreError) as problem:  # the agent has broken it off, and goes on with others
                    _note(session, one.name, problem, failed)
            elif event == "progress":
                bar.show(reply["bytes"], None, f"{reply['done']} of {reply['of']} blobs")
            elif event == "got":
                one = wanted[reply.pop("number")]
                shown = one.file if target is not None else size_text(reply["size"])
                bar.clear()
                told = {**reply, "name": one.name, "file": one.file}
                session.output.stream(told, plain(f"{reply['blob']}  {shown}"))
            elif event == "failed":
                _note(session, wanted[reply["number"]].name, error_from_json(reply), failed)
    session.output.note(f"got {len(wanted) - len(failed)} of {len(wanted)} blobs")
    if failed:
        raise failed[0]


def _frames(names: Sequence[str]) -> Iterator[bytes]:
    for first in range(0, len(names), 1000):
        yield "".join(f"{name}\n" for name in names[first : first + 1000]).encode(errors="replace")
