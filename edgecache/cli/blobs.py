"""`put`, `get`, `ls`, `pin`, `unpin`, `rm`: blobs of this node and of the mesh."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from hashlib import sha256
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from edgecache.cli.agent import agent_of, size_text, span_text
from edgecache.cli.batches import get_many, listed, put_many, wanted_of
from edgecache.cli.command import STDIN, Command, Session, pass_session
from edgecache.cli.output import plain
from edgecache.model.errors import Denied, EdgecacheError, NotFound, StoreCorrupt, TransportError, UsageError
from edgecache.model.ids import Digest, parse_blob_ref
from edgecache.model.priority import PRIORITY_WORDS, Priority

if TYPE_CHECKING:
    from edgecache.adapters.control.client import ControlClient
    from edgecache.cli.progress import Progress

PART_BYTES = 256 * 1024


@click.command(cls=Command)
@click.argument("files", metavar="FILE...", nargs=-1)
@click.option(
    "--from", "source", metavar="LIST",
    help="Also the files that LIST names, one on each line (`-` is standard input).",
)
@click.option("--name", metavar="TEXT", help="What `ls` shows for it here [default: the file's name].")
@click.option("--pin/--no-pin", default=True, help="Whether this node keeps it whatever happens [default: it does].")
@pass_session
def put(session: Session, files: tuple[str, ...], source: str | None, name: str | None, pin: bool) -> None:
    """Store FILE (`-` is standard input) and offer it to the mesh; prints its id.

    Several files, and all files in a directory, are stored as a blob each; for each its id and the file's name are
    printed as soon as it is safe on the disk. `get --from` takes such lines.
    """
    names = [*files, *(listed(source) if source is not None else ())]
    if not files and source is None:
        raise UsageError("there is nothing to put", hint="name a file, a directory, or - for standard input")
    if len(files) != 1 or source is not None or (files[0] != STDIN and Path(files[0]).is_dir()):
        if name is not None or STDIN in files:
            raise UsageError("--name and - go with one blob", hint="put it by itself")
        put_many(session, names, pin=pin)
    else:
        _put_one(session, files[0], name, pin)


def _put_one(session: Session, file: str, name: str | None, pin: bool) -> None:
    from edgecache.cli.progress import progress

    with ExitStack() as stack:
        source, size = _opened(file, stack)
        agent = stack.enter_context(agent_of(session))
        bar = stack.enter_context(progress(session.output, "storing", size))
        agent.request("put", name=name or ("" if file == STDIN else Path(file).name), pin=pin, size=size)
        agent.send_content(_parts(source, bar))
        *_, reply = agent.replies()
    reply.pop("ok")
    session.output.result(reply, reply["blob"])


def _opened(file: str, stack: ExitStack) -> tuple[IO[bytes], int | None]:
    if file == STDIN:
        return sys.stdin.buffer, None
    path = Path(file)
    return stack.enter_context(path.open("rb")), path.stat().st_size or None


def _parts(source: IO[bytes], bar: Progress) -> Iterator[bytes]:
    done = 0
    while part := source.read(PART_BYTES):
        yield part
        done += len(part)
        bar.show(done, None, "")


@click.command(cls=Command)
@click.argument("blobs", metavar="ID...", nargs=-1)
@click.option(
    "--from", "source", metavar="LIST",
    help="Also the blobs that LIST names, an ID on each line, perhaps with a file's name (`-` is standard input).",
)
@click.option(
    "--output", "-o", metavar="FILE",
    help="Also write it to FILE (`-` is standard output); several, or from a LIST, to files in that directory.",
)
@click.option("--pin", is_flag=True, help="Keep it here whatever happens.")
@click.option("--no-wait", is_flag=True, help="Start the fetch and return at once; `ls` shows how far it is.")
@click.option(
    "--priority", type=click.Choice(PRIORITY_WORDS), default=Priority.NORMAL.word,
    help="What goes before what, here and at those who have it [default: normal]. Quiet hours are not for ota.",
)
@pass_session
def get(
    session: Session, blobs: tuple[str, ...], source: str | None, output: str | None, pin: bool, no_wait: bool,
    priority: str,
) -> None:
    """Fetch a blob from whoever has it nearby, and check every byte.

    ID is what `put` printed, 8 or more of its first characters, or `sha256:HEX` of the file. Interrupt it with Ctrl-C,
    and the next `get` goes on where this one stopped. Of several blobs, files are called by their names in LIST, or by
    their IDs.
    """
    if no_wait and (pin or output is not None):
        raise UsageError("--no-wait goes with neither --pin nor --output", hint="they take the whole blob: wait for it")
    if not blobs and source is None:
        raise UsageError("there is nothing to get", hint="name a blob: what `put` printed")
    if len(blobs) == 1 and source is None:
        _get_one(session, blobs[0], output, pin, no_wait, priority)
        return
    wanted = wanted_of([*blobs, *(listed(source) if source is not None else ())])
    if no_wait:
        _start_all(session, [one.name for one in wanted], priority)
        return
    if output == STDIN or (output is not None and Path(output).is_file()):
        raise UsageError("several blobs go to a directory", hint="name one with --output")
    get_many(session, wanted, output, _write, pin=pin, priority=priority)


def _start_all(session: Session, names: list[str], priority: str) -> None:
    """In the background; one that cannot be is told, and the others are started. Raises the first failure."""
    failed: EdgecacheError | None = None
    for name in names:
        try:
            _get_one(session, name, None, False, True, priority)
        except TransportError:
            raise
        except EdgecacheError as error:
            failed = failed or error
            session.output.note(plain(f"{name}: {error.message}"))
    if failed is not None:
        raise failed


def _get_one(session: Session, blob: str, output: str | None, pin: bool, no_wait: bool, priority: str) -> None:
    from edgecache.cli.progress import progress

    expected = parse_blob_ref(blob).sha256
    with ExitStack() as stack:
        target = _target(output)
        agent = stack.enter_context(agent_of(session))
        bar = stack.enter_context(progress(session.output, "fetching", None))
        agent.request("get", blob=blob, content=output is not None, pin=pin, wait=not no_wait, priority=priority)
        reply = _followed(agent, bar, target, expected)
    reply.pop("ok")
    if output == STDIN:
        return
    session.output.result(reply, lambda: _print_got(reply, output))


def _target(output: str | None) -> Path | None:
    """Where the content goes, None for standard output or nowhere; what cannot be written is told before the fetch."""
    if output is None or output == STDIN:
        return None
    target = Path(output).resolve()
    if target.is_dir():
        raise UsageError(f"{output} is a directory", hint="name the file that is to be written")
    if not target.parent.is_dir():
        raise NotFound(f"there is no directory {target.parent}", hint="make it first")
    if not os.access(target.parent if _replaceable(target) else target, os.W_OK):
        raise Denied(f"{output} cannot be written by this user", hint="write it elsewhere, or use another user")
    return target


def _replaceable(target: Path) -> bool:
    """Whether another file may take its place; a device or a pipe is written to."""
    return target.is_file() or not target.exists()


def _followed(agent: ControlClient, bar: Progress, target: Path | None, expected: Digest | None) -> dict[str, Any]:
    reply: dict[str, Any] = {}
    written: _Hashed | None = None
    done = 0
    for reply in agent.replies():
        if reply.get("event") == "progress":
            size, chunks = reply["size"], reply["chunks"]
            done = size * reply["have"] // chunks if chunks else done
            bar.show(done, size, _remark(reply))
        elif reply.get("event") == "content":
            bar.close()
            written = _Hashed(agent.content(), expected)
            _write(written, target)
    if written is not None:
        reply |= {"manifest_sha256": reply["sha256"], "sha256": written.sha256.hexdigest(), "sha256_checked": True}
    return reply


class _Hashed:
    """Content on its way, and the SHA-256 of what has passed; at its end StoreCorrupt if another was `expected`."""

    def __init__(self, content: Iterator[bytes], expected: Digest | None) -> None:
        self._content, self._expected = content, expected
        self.sha256 = sha256()

    def __iter__(self) -> Iterator[bytes]:
        for part in self._content:
            self.sha256.update(part)
            yield part
        if self._expected not in (None, self.sha256.digest()):
            raise StoreCorrupt(f"what came has the SHA-256 {self.sha256.hexdigest()}", hint="get it again")


def _remark(progress: dict[str, Any]) -> str:
    """What a fetch waits for, else from how many it comes."""
    if progress["stalled"]:
        return str(progress["stalled"])
    if missing := progress["missing_nowhere"]:
        return f"waiting for chunk {', '.join(map(str, missing))}: nobody in reach has it"
    return f"from {progress['sources']} peer{'s' * (progress['sources'] != 1)}"


def _write(content: Iterable[bytes], target: Path | None) -> None:
    """To standard output, or to a file that appears under its name only when it is whole.

    Written with the rights of the user's own process: the agent is never told a path. What others put in the way in a
    directory that they can write to as well is not followed.
    """
    if target is None:
        for part in content:
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
        return
    if not _replaceable(target):
        with target.open("wb") as stream:
            stream.writelines(content)
        return
    temporary = target.with_name(f".edgecache-{secrets.token_hex(8)}.part")
    stream = temporary.open("xb")
    try:
        with stream:
            stream.writelines(content)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _print_got(reply: dict[str, Any], output: str | None) -> None:
    if reply.get("started"):
        print(f"fetching {reply['blob']} in the background; `edgecache ls` shows how far it is")
        return
    whole = f"sha256:{reply['sha256']}"
    said = f"verified, {whole}" if reply.get("sha256_checked") else f"verified; its manifest says {whole}"
    print(f"{reply['blob']}  {size_text(reply['size'])}  {said}")
    if reply.get("manifest_sha256", reply["sha256"]) != reply["sha256"]:
        print(f"  its manifest says sha256:{reply['manifest_sha256']}, which is not so")
    for node, count in sorted(reply["sources"].items(), key=lambda item: -item[1]):
        print(f"  {size_text(count):>10} from {node}")
    if output is not None:
        print(f"wrote {output}")


@click.command(cls=Command)
@pass_session
def ls(session: Session) -> None:
    """List the blobs of this node."""
    with agent_of(session) as agent:
        found = agent.call("ls")["blobs"]
    columns = ("ID", "SIZE", "HERE", "STATE", "NAME", "SINCE")
    rows = [_blob_row(blob) for blob in sorted(found, key=lambda blob: blob["added"])]
    session.output.result({"blobs": found}, lambda: session.output.table(columns, rows))


def _blob_row(blob: dict[str, Any]) -> tuple[str, ...]:
    import time

    share = "100 %" if blob["complete"] else f"{100 * blob['have'] // max(1, blob['chunks'])} %"
    states = [word for word, holds in (("pinned", blob["pinned"]), ("fetching", blob["wanted"])) if holds]
    since = span_text(max(0.0, time.time() - blob["added"])) + " ago"
    return (blob["blob"], size_text(blob["size"]), share, ", ".join(states) or "-", blob["name"] or "-", since)


def _simple(session: Session, op: str, done: str, blob: str, **arguments: object) -> None:
    with agent_of(session) as agent:
        reply = agent.call(op, blob=blob, **arguments)
    reply.pop("ok")
    session.output.result(reply, f"{done} {reply['blob']}")


@click.command(cls=Command)
@click.argument("blob", metavar="ID")
@pass_session
def pin(session: Session, blob: str) -> None:
    """Keep a blob that is here, whatever happens."""
    _simple(session, "pin", "pinned", blob)


@click.command(cls=Command)
@click.argument("blob", metavar="ID")
@pass_session
def unpin(session: Session, blob: str) -> None:
    """Let a blob go when room is needed."""
    _simple(session, "unpin", "unpinned", blob)


@click.command(cls=Command)
@click.argument("blobs", metavar="ID...", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Also when it is pinned.")
@pass_session
def rm(session: Session, blobs: tuple[str, ...], force: bool) -> None:
    """Drop blobs from this node; others keep theirs."""
    failed: EdgecacheError | None = None
    for blob in blobs:
        try:
            _simple(session, "rm", "removed", blob, force=force)
        except EdgecacheError as error:
            failed = error
            if len(blobs) > 1:
                session.output.note(f"{blob}: {error.message}")
    if failed is not None:
        raise failed
