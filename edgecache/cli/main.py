"""The root of the command line. A command is a file of this package, named once in the table below."""

from __future__ import annotations

import click

from edgecache import __version__
from edgecache.cli.command import LazyGroup

COMMANDS = {
    "init": "edgecache.cli.init:init",
    "mesh": "edgecache.cli.mesh:mesh",
    "config": "edgecache.cli.config:config",
    "run": "edgecache.cli.run:run",
    "status": "edgecache.cli.views:status",
    "peers": "edgecache.cli.views:peers",
    "put": "edgecache.cli.blobs:put",
    "get": "edgecache.cli.blobs:get",
    "ls": "edgecache.cli.blobs:ls",
    "explain": "edgecache.cli.explain:explain",
    "pin": "edgecache.cli.blobs:pin",
    "unpin": "edgecache.cli.blobs:unpin",
    "rm": "edgecache.cli.blobs:rm",
    "readings": "edgecache.cli.views:readings",
    "demo": "edgecache.cli.demo:demo",
    "bench": "edgecache.cli.bench:bench",
    "id": "edgecache.cli.id:blob_id",
}
"""In the order of the help. Modules named here import nothing heavy at their top: `--help` loads them all."""


@click.group("edgecache", cls=LazyGroup, commands_at=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="edgecache")
def main() -> None:
    """Share files and sensor readings between the devices of a network, without a server.

    First steps: `edgecache init` on each device, `edgecache mesh create` on one of them; `edgecache mesh --help` says
    how the others join.
    """
