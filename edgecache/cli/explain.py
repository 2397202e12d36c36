"""`explain`: why a fetch stands where it stands, and where a finished one came from."""

from __future__ import annotations

from typing import Any

import click

from edgecache.cli.agent import agent_of, size_text, span_text
from edgecache.cli.command import Command, Session, pass_session
from edgecache.cli.output import Output

PLACES = ("this device", "this site", "another site")
CHUNKS_SHOWN = 16


@click.command(cls=Command)
@click.argument("blob", metavar="ID")
@pass_session
def explain(session: Session, blob: str) -> None:
    """Say why a blob is not here yet, or where it came from.

    ID is what `put` printed, 8 or more of its first characters, or `sha256:HEX` of the file.
    """
    with agent_of(session) as agent:
        reply = agent.call("explain", blob=blob)
    reply.pop("ok")
    session.output.result(reply, lambda: _print(session.output, reply))


def _print(output: Output, reply: dict[str, Any]) -> None:
    for label, text in _facts(reply):
        print(f"{label:<9} {text}")
    if reply["sources"]:
        print()
        gave = sorted(reply["sources"], key=lambda one: -one["bytes"])
        output.table(("BYTES", "FROM"), [(size_text(one["bytes"]), _who(one)) for one in gave])
    if reply["flights"]:
        print()
        names = {one["node"]: _who(one) for one in reply["candidates"]}
        rows = [
            (f["chunk"], names.get(f["node"], f["node"]), span_text(f["since"]), span_text(f["expected"]),
             size_text(f["received"]))
            for f in reply["flights"][:CHUNKS_SHOWN]
        ]  # fmt: skip
        output.table(("CHUNK", "ASKED OF", "SINCE", "EXPECTED", "RECEIVED"), rows)
    if reply["candidates"]:
        print()
        columns = ("CANDIDATE", "WHERE", "HAS", "RTT", "RATE", "QUEUED", "ONE MORE IN", "RESTS", "NOT USED BECAUSE")
        output.table(columns, [_candidate(one, reply["chunks"]) for one in reply["candidates"]])


def _facts(reply: dict[str, Any]) -> list[tuple[str, str]]:
    facts = [("blob", reply["blob"]), ("stands", reply["standing"]["text"])]
    if reply["size"] is not None:
        facts.append(("size", f"{size_text(reply['size'])}; its manifest says sha256:{reply['sha256']}"))
        missing = _numbers(reply["missing_first"], reply["missing"])
        lacks = f"; missing {missing}" if missing else ""
        facts.append(("chunks", f"{reply['have']} of {reply['chunks']} here{lacks}"))
    if reply["nowhere"]:
        facts.append(("nowhere", f"chunk {', '.join(map(str, reply['nowhere']))}"))
    if reply["seconds"] is not None:
        facts.append(("time", f"{span_text(reply['seconds'])} in all, {span_text(reply['idle'])} since it last moved"))
        facts.append(("border", f"{size_text(reply['crossed'])} came from other sites"))
        wasted = size_text(reply["wasted"])
        facts.append(("asked", f"{reply['hedges']} chunks twice; at most {wasted} came for nothing"))
    return facts


def _numbers(first: list[int], count: int) -> str:
    more = f" and {count - len(first)} more" if count > len(first) else ""
    return ", ".join(map(str, first)) + more if first else ""


def _who(one: dict[str, Any]) -> str:
    return f"{one['name']} ({one['node']})" if one["name"] else str(one["node"])


def _candidate(one: dict[str, Any], chunks: int | None) -> tuple[str, ...]:
    if not one["linked"]:
        return (_who(one), "not linked", "-", "-", "-", "-", "-", "-", one["unused"])
    last = ", serves last" if one["tier"] >= len(PLACES) else ""
    has = "all" if one["whole"] else f"{one['chunks']} of {chunks or '?'}"
    return (
        _who(one), PLACES[one["tier"] % len(PLACES)] + last, has,
        span_text(one["rtt"]), f"{size_text(one['goodput'])}/s" if one["goodput"] is not None else "unknown",
        size_text(one["queued"]), span_text(one["expected"]), span_text(one["cooling"]) if one["cooling"] else "-",
        one["unused"] or "-",
    )  # fmt: skip
