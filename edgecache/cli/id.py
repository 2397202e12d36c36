"""`edgecache id`: the name that a file has on every mesh, computed without one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import click

from edgecache.cli.command import STDIN, Command, Session, pass_session

if TYPE_CHECKING:
    from edgecache.wire.manifest import Manifest


@click.command("id", cls=Command)
@click.argument("file", metavar="FILE")
@pass_session
def blob_id(session: Session, file: str) -> None:
    """Compute the id of a file, without a mesh or a daemon.

    The same bytes have the same id everywhere. FILE may be - for standard input.
    """
    from edgecache.wire.manifest import info_of

    if file == STDIN:
        manifest = _manifest_of(sys.stdin.buffer)
    else:
        with Path(file).open("rb") as stream:
            manifest = _manifest_of(stream)
    info = info_of(manifest.root)
    data = {"file": file, "id": info.blob, "size": info.size, "sha256": info.sha256.hex(), "chunks": info.chunks}
    session.output.result(data, info.blob)


def _manifest_of(stream: BinaryIO) -> Manifest:
    """Reads to the end."""
    from edgecache.model.content import CHUNK_BYTES
    from edgecache.wire.manifest import ManifestBuilder

    builder = ManifestBuilder()
    while leaf := stream.read(CHUNK_BYTES):
        builder.update(leaf)
    return builder.finish()
