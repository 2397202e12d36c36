"""`edgecache config`: what the configuration says, whether it is right, and what it may say."""

from __future__ import annotations

import click

from edgecache.cli.command import Group, Session, pass_session


@click.group("config", cls=Group)
def config() -> None:
    """Check, show and describe the configuration."""


@config.command()
@pass_session
def check(session: Session) -> None:
    """Read the configuration file and report everything that is wrong with it."""
    from edgecache.config.load import read

    path = session.config_path
    loaded = read(path)
    for warning in loaded.warnings:
        session.output.note(f"warning: {warning}")
    session.output.result({"file": str(path), "ok": True, "warnings": list(loaded.warnings)}, f"{path}: ok")


@config.command()
@pass_session
def show(session: Session) -> None:
    """Print every setting with the value in force, secrets hidden."""
    from edgecache.config.load import read
    from edgecache.config.render import render, tree

    loaded = read(session.config_path)
    text = render(loaded.config, hidden=loaded.hidden).rstrip("\n")
    session.output.result(tree(loaded.config, hidden=loaded.hidden), text)


@config.command()
@pass_session
def schema(session: Session) -> None:
    """Print the JSON Schema of the configuration, for editors."""
    import json

    from edgecache.config.jsonschema import json_schema

    session.output.result(json_schema(), json.dumps(json_schema(), indent=2))


@config.command()
@pass_session
def reference(session: Session) -> None:
    """Print the description of every setting, in Markdown."""
    from edgecache.config.reference import reference as text

    session.output.result({"reference": text()}, text())
