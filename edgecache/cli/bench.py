"""`edgecache bench`: measurements of edgecache on this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from edgecache.cli.command import Group, Session, checked, pass_session


@click.group(cls=Group)
def bench() -> None:
    """Measure edgecache on this machine. Compare ratios of one run, not figures of two machines."""


def _print(session: Session, name: str, result: dict[str, Any], table: Callable[[], None]) -> None:
    from edgecache.bench.measure import machine

    about = machine()

    def shown() -> None:
        print(f"{about['cpu']}, {about['cores']} cores, Linux {about['kernel']}, Python {about['python']}")
        table()

    session.output.result({"bench": name, "machine": about, **result}, shown)


def _text(value: object) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


@bench.command()
@click.option("--mib", type=click.IntRange(1), default=256, show_default=True, help="Size of the blob.")
@click.option("--runs", type=click.IntRange(1), default=3, show_default=True, help="Pairs of edgecache and control.")
@click.option("--profile", is_flag=True, help="Also where both ends spend their time, from a run of its own.")
@pass_session
def single(session: Session, mib: int, runs: int, profile: bool) -> None:
    """One source, one sink, loopback, TLS, beside a bare aiocoap control in the same run."""
    from edgecache.bench.single import single as measure

    result = measure(mib, runs, profile=profile)
    ours, control = result["edgecache"], result["aiocoap"]

    def table() -> None:
        rows = [(name, _text(ours[name]), _text(control.get(name))) for name in ours]
        session.output.table(("MEDIANS", "EDGECACHE", "AIOCOAP"), rows)
        print(f"speed {result['speed_ratio']:.2f} of the control's, CPU {result['cpu_ratio']:.2f}")
        for role, lines in result.get("profile", {}).items():
            print(f"\n{role}", *lines, sep="\n")

    _print(session, "single", result, table)


@bench.command()
@click.option("--nodes", type=click.IntRange(2, 64), default=8, show_default=True)
@click.option("--mib", type=click.IntRange(1), default=32, show_default=True, help="Size of the blob.")
@click.option("--rate", default="50Mbit/s", show_default=True, help="Limit of each agent, up and down; or none.")
@pass_session
def swarm(session: Session, nodes: int, mib: int, rate: str) -> None:
    """One publisher, all others fetch at once, over loopback; the agents' own limits stand for the links."""
    from edgecache.bench.swarm import swarm as measure
    from edgecache.config.units import BytesPerSecond

    result = measure(nodes, mib, checked(BytesPerSecond(), "--rate", rate))

    def table() -> None:
        keys = ("name", "seconds", "gave_bytes", "cpu_s", "rss_peak_mib")
        rows = [tuple(_text(agent[key]) for key in keys) for agent in result["agents"]]
        session.output.table(("AGENT", "DONE S", "GAVE BYTES", "CPU S", "PEAK RSS MIB"), rows)
        bound = result["bound_s"]
        against = "" if bound is None else f", {result['bound_ratio']:.2f} x the {bound:.2f} s that the rate allows"
        print(f"last one done after {result['last_s']:.2f} s{against}")
        print(f"the publisher gave {result['publisher_copies']:.2f} copies")

    _print(session, "swarm", result, table)


@bench.command()
@click.option("--nodes", type=click.IntRange(2, 64), default=4, show_default=True)
@click.option("--seconds", type=click.FloatRange(1), default=60.0, show_default=True)
@pass_session
def idle(session: Session, nodes: int, seconds: float) -> int:
    """Memory, CPU, traffic and disk writes of agents with nothing to do.

    Fails above 64 MB an agent or 1 kB/s a node.
    """
    from edgecache.bench.idle import idle as measure

    result = measure(nodes, seconds)

    def table() -> None:
        columns = ("AGENT", "RSS MIB", "CPU %", "SENT B/S", "RECEIVED B/S", "WRITTEN B/H", "SYNCS/H")
        session.output.table(columns, [tuple(map(_text, agent.values())) for agent in result["agents"]])
        carried = result["loopback"]
        print(f"loopback, a node: {carried['packets_per_s']:g} packets/s, {carried['bytes_per_s']:g} B/s")
        print("within the limits" if result["ok"] else "above the limits")

    _print(session, "idle", result, table)
    return 0 if result["ok"] else 1


@bench.command()
@click.option("--nodes", type=click.IntRange(2, 64), default=4, show_default=True)
@click.option("--requests", type=click.IntRange(2), default=1000, show_default=True, help="One after the other.")
@click.option("--readings", type=click.IntRange(2), default=100, show_default=True, help="Whose delay is measured.")
@pass_session
def small(session: Session, nodes: int, requests: int, readings: int) -> None:
    """How fast an agent answers, one request at a time and 16 in flight; how soon a reading is known elsewhere."""
    from edgecache.bench.small import small as measure

    result = measure(nodes, requests, readings)

    def table() -> None:
        ways = {"leaf": "reading, CoAP/UDP", "link": "manifest, TLS link", "control": "readings, control socket"}
        keys = ("p50_ms", "p99_ms", "per_s", "per_s_16")
        rows = [(text, *(_text(result[way][key]) for key in keys)) for way, text in ways.items()]
        session.output.table(("REQUEST", "P50 MS", "P99 MS", "PER S", "PER S, 16 IN FLIGHT"), rows)
        delay = result["reading_ms"]
        print(f"a reading is known elsewhere after {delay['p50_ms']:g} ms (p99 {delay['p99_ms']:g} ms)")

    _print(session, "small", result, table)
