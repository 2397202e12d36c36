"""`status`, `peers`, `readings`: what the agent of this device sees."""

from __future__ import annotations

from typing import Any

import click

from edgecache.cli.agent import agent_of, size_text, span_text
from edgecache.cli.command import Command, Session, pass_session


@click.command(cls=Command)
@pass_session
def status(session: Session) -> None:
    """Show this node on one screen."""
    with agent_of(session) as agent:
        reply = agent.call("status")
    reply.pop("ok")
    session.output.result(reply, lambda: _print_status(reply))


def _print_status(reply: dict[str, Any]) -> None:
    store = reply["store"]
    bridge = reply["bridge"] or "nobody"
    rows = (
        ("node", f"{reply['name']} ({reply['node']})"),
        ("site, mesh", f"{reply['site']}, {reply['mesh']}"),
        ("listens on", ", ".join(reply["listen"])),
        ("up", f"{span_text(reply['uptime'])}, edgecache {reply['version']}"),
        ("members", f"{reply['members']} alive, {reply['links']} linked here"),
        ("blobs", f"{reply['blobs']}, {size_text(store['used'])} of {size_text(store['cap'])}"),
        ("served", size_text(sum(reply["served"].values()))),
        ("fetched", size_text(sum(reply["fetched"].values()))),
        ("overhead", _overhead(reply["overhead"])),
        ("written", f"{size_text(store['written'])} to disk, {store['fsyncs']} syncs"),
        ("MQTT bridge", "this node" if bridge == reply["node"] else bridge),
    )
    for label, text in (*rows, *_limit_rows(reply)):
        print(f"{label:<12} {text}")


def _limit_rows(reply: dict[str, Any]) -> list[tuple[str, str]]:
    """What holds transfers back now, where something may."""
    rows, quiet, yielding = [], reply["quiet"], reply["yielding"]
    if reply["strained"]:
        rows.append(("processor", "short, so chunks are sent and looked for in larger pieces, less often"))
    if quiet["hours"]:
        state = f"now, for {span_text(quiet['ends_in'])}" if quiet["now"] else "not now"
        if not quiet["clock_trusted"]:
            state = "not kept: the clock of this device is not synchronised"
        rows.append(("quiet hours", f"{', '.join(quiet['hours'])}: {state}"))
    if yielding:
        up = sum(rate["upload"] for rate in yielding.values())
        down = sum(rate["download"] for rate in yielding.values())
        rows.append(("background", f"at most {size_text(up)}/s up and {size_text(down)}/s down on used links"))
    return rows


def _overhead(counts: dict[str, int]) -> str:
    crossed, wasted = size_text(counts["crossed"]), size_text(counts["wasted"])
    return f"{crossed} from other sites, {counts['hedges']} chunks asked for twice, at most {wasted} for nothing"


@click.command(cls=Command)
@pass_session
def peers(session: Session) -> None:
    """List the nodes known here: linked ones first, then who is believed alive, suspect, dead or gone."""
    with agent_of(session) as agent:
        found = agent.call("peers")["peers"]
    columns = ("NAME", "NODE", "SITE", "STATUS", "LINK", "RTT", "SEEN VIA", "ADDRESS")
    rows = [
        (
            peer["name"] or "-", peer["node"], peer["site"], peer["status"],
            "overlay" if peer["overlay"] else "working" if peer["linked"] else "-",
            span_text(peer["rtt"]) if peer["rtt"] else "-", peer["seen_via"], next(iter(peer["addresses"]), "-"),
        )
        for peer in found
    ]  # fmt: skip
    session.output.result({"peers": found}, lambda: session.output.table(columns, rows))


@click.command(cls=Command)
@click.option("--follow", "-f", is_flag=True, help="Go on with new readings as they come.")
@pass_session
def readings(session: Session, follow: bool) -> None:
    """Show the latest value of every series of every node of the site."""
    with agent_of(session) as agent:
        if follow:
            agent.request("readings", follow=True)
            for reply in agent.replies():
                if reply.get("event") == "reading":
                    session.output.stream(reply, "  ".join(map(str, _reading_row(reply))))
            return
        found = agent.call("readings")["readings"]
    columns = ("NODE", "SERIES", "VALUE", "UNIT", "AGE")
    session.output.result(
        {"readings": found}, lambda: session.output.table(columns, [_reading_row(row) for row in found])
    )


def _reading_row(row: dict[str, Any]) -> tuple[str, str, str, str, str]:
    value = row.get("value", f"failed: {row.get('failure', '')}")
    shown = f"{value:.6g}" if isinstance(value, float) else str(value)
    return (row["name"] or row["node"], row["series"], shown, row.get("unit", ""), span_text(row["age"]))
