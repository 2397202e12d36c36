"""`edgecache demo`."""

from __future__ import annotations

import os

import click

from edgecache.cli.command import Command, Session, pass_session
from edgecache.model.errors import UsageError


@click.command(cls=Command)
@click.argument("file", metavar="[FILE]", required=False)
@click.option("--keep", is_flag=True, help="Leave the mesh up afterwards, and say how to talk to it (also KEEP=1).")
@pass_session
def demo(session: Session, file: str | None, keep: bool) -> int:
    """Show the main job on this machine: five agents find each other, swarm a file, share readings, feed MQTT.

    FILE (also FILE=... in the environment) is what is shared; without one it is built from files of this machine.
    """
    try:
        from edgecache.demo.play import Demo
    except ImportError as error:
        raise UsageError(f"the demo needs {error.name}", hint="pip install 'edgecache[demo]'") from error
    named = file or os.environ.get("FILE") or None
    return Demo(named, keep=keep or os.environ.get("KEEP", "") not in ("", "0")).run()
