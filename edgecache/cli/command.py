"""What every command shares: `--config` and `--json` at any place, lazy loading, errors with hint and exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from edgecache.cli.output import Output
from edgecache.model.errors import EdgecacheError, ExitCode, NotFound, UsageError

if TYPE_CHECKING:
    from edgecache.config.kinds import Kind
    from edgecache.config.schema import Config

STDIN = "-"


class Session:
    """One run of the command line: what the common options say."""

    def __init__(self) -> None:
        self.output = Output()
        self.named_config: Path | None = None
        """What `--config` names."""

    @property
    def config_path(self) -> Path:
        """The configuration file in force, whether it exists or not."""
        from edgecache.config.load import default_path

        return self.named_config or default_path()

    def config(self) -> Config:
        """The configuration; raises ConfigError."""
        from edgecache.config.load import load

        return load(self.config_path)


pass_session = click.make_pass_decorator(Session)
"""Gives a command its Session as first argument."""


def _set_config(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Session).named_config = Path(value)


def _set_json(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Session).output.as_json = True


def _common_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["-c", "--config"], metavar="FILE", expose_value=False, is_eager=True, callback=_set_config,
            help="Configuration file [default: $EDGECACHE_CONFIG, ./, ~/.config/edgecache/, /etc/edgecache/].",
        ),
        click.Option(
            ["--json"], is_flag=True, expose_value=False, is_eager=True, callback=_set_json,
            help="Print JSON: the result on standard output, errors on standard error.",
        ),
    ]  # fmt: skip


class Command(click.Command):
    """A command with the common options."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_common_options())


class Group(click.Group):
    """A group of commands with the common options; called without a command it prints its help."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.no_args_is_help = False
        self.params.extend(_common_options())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Help and exit code 2 when there is nothing to do."""
        if not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(ExitCode.USAGE)
        return super().parse_args(ctx, args)


class LazyGroup(Group):
    """The root: imports the file of a command when it is asked for; turns exceptions into messages and exit codes."""

    def __init__(self, *args: Any, commands_at: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._commands_at = commands_at
        """Name of the command to `module:attribute`; the order is that of the help."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(self._commands_at)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now; None when there is none of that name."""
        if cmd_name not in self._commands_at:
            return None
        module, _, attribute = self._commands_at[cmd_name].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, with a suggestion for a name that is not there."""
        if args and args[0] not in self._commands_at and not args[0].startswith("-"):
            from edgecache.config.kinds import nearest

            near = nearest(args[0], self._commands_at)
            raise UsageError(f"there is no command {args[0]!r}", hint=near or "`edgecache --help` lists them")
        return super().resolve_command(ctx, args)

    def main(  # type: ignore[override]
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        """Run, and exit with the code that model.errors gives."""
        words = list(sys.argv[1:] if args is None else args)
        session = Session()
        session.output.as_json = "--json" in words[: words.index("--")] if "--" in words else "--json" in words
        extra.update(standalone_mode=False, obj=session)
        sys.exit(_outcome(session, lambda: super(LazyGroup, self).main(words, prog_name or "edgecache", **extra)))


def _outcome(session: Session, run: Callable[[], object]) -> int:
    """The exit code of a run; errors are printed here and nowhere else."""
    try:
        code = run()
        sys.stdout.flush()
    except EdgecacheError as error:
        failure = error
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "edgecache"
        failure = UsageError(error.format_message(), hint=f"`{path} --help` says how it is used")
    except click.Abort:
        return ExitCode.INTERRUPTED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader has gone, as in `edgecache ls | head`; nothing may be flushed into the pipe at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        kind = NotFound if isinstance(error, FileNotFoundError) else EdgecacheError
        failure = kind(f"{place}{error.strerror or error}")
    else:
        return code if isinstance(code, int) else ExitCode.OK
    session.output.failure(failure)
    return failure.exit_code


def checked(kind: Kind, option: str, text: str) -> Any:
    """The value of an option that is written like a setting; raises UsageError."""
    from edgecache.config.kinds import BadValue

    try:
        return kind.parse(text)
    except BadValue as bad:
        raise UsageError(f"{option}: {bad.message}", hint=bad.hint) from bad
