"""`edgecache bench`: measurements of edgecache on this machine."""

from __future__ import annotations

import json
from typing import Any

import click

from edgecache.cli.command import Group, Session, pass_session


@click.group(cls=Group)
def bench() -> None:
    """Measure edgecache on this machine. Prints JSON; compare ratios of one run, not figures of two machines."""


def _print(session: Session, name: str, result: dict[str, Any]) -> None:
    from edgecache.bench.measure import machine

    whole = {"bench": name, "machine": machine(), **result}
    session.output.result(whole, json.dumps(whole, indent=2))


@bench.command()
@click.option("--mib", default=256, show_default=True, help="Size of the blob.")
@click.option("--runs", default=3, show_default=True, help="Pairs of edgecache and control.")
@click.option("--profile", is_flag=True, help="Also where both ends spend their time, from a run of its own.")
@pass_session
def single(session: Session, mib: int, runs: int, profile: bool) -> None:
    """One source, one sink, loopback, TLS, beside a bare aiocoap control in the same run."""
    from edgecache.bench.single import single as measure

    _print(session, "single", measure(mib, runs, profile=profile))


@bench.command()
@click.option("--nodes", default=4, show_default=True)
@click.option("--seconds", default=60.0, show_default=True)
@pass_session
def idle(session: Session, nodes: int, seconds: float) -> int:
    """Memory, CPU and traffic of agents with nothing to do; fails above 64 MB an agent or 1 kB/s a node."""
    from edgecache.bench.idle import idle as measure

    result = measure(nodes, seconds)
    _print(session, "idle", result)
    return 0 if result["ok"] else 1


@bench.command()
@click.option("--nodes", default=4, show_default=True)
@click.option("--requests", default=200, show_default=True)
@click.option("--readings", default=100, show_default=True)
@pass_session
def small(session: Session, nodes: int, requests: int, readings: int) -> None:
    """How fast an agent answers, and how soon a reading is known at another node."""
    from edgecache.bench.small import small as measure

    _print(session, "small", measure(nodes, requests, readings))
