"""`edgecache run`: the agent, in the foreground."""

from __future__ import annotations

import click

from edgecache.cli.command import Command, Session, pass_session


@click.command(cls=Command)
@pass_session
def run(session: Session) -> int:
    """Run the agent until SIGTERM or Ctrl-C.

    It logs to standard error, one line an event; systemd is told when it is ready.
    """
    config = session.config()
    from edgecache.daemon.wiring import run_agent

    return run_agent(config)
