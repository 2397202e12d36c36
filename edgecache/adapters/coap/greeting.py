"""The rules of the first message: whose hello is accepted on a connection."""

from __future__ import annotations

from edgecache.model.errors import Denied, Refused
from edgecache.model.ids import NodeId
from edgecache.wire.messages import Hello

DIAGNOSTIC_MAX = 200
"""Characters of a peer's own words that we show."""


def check_hello(theirs: Hello, ours: Hello, proved: NodeId) -> None:
    """Raise Denied or Refused unless this hello may open a link with the node that TLS has proved."""
    if theirs.node != proved:
        raise Denied(f"the hello names {theirs.node}, the certificate {proved}")
    if theirs.mesh != ours.mesh:
        raise Denied(f"it is of mesh {theirs.mesh}, we are of {ours.mesh}")
    lowest, highest = max(theirs.versions[0], ours.versions[0]), min(theirs.versions[1], ours.versions[1])
    if lowest > highest:
        raise Refused(
            f"no common wire version: it speaks {theirs.versions[0]}-{theirs.versions[1]}, "
            f"we speak {ours.versions[0]}-{ours.versions[1]}",
            hint="bring both to releases that are at most one apart",
        )


def diagnostic(payload: bytes | memoryview) -> str:
    """A peer's explanation (RFC 7252 section 5.5.2), made harmless."""
    text = bytes(payload[: 4 * DIAGNOSTIC_MAX]).decode("utf-8", "replace")[:DIAGNOSTIC_MAX]
    return "".join(c if c.isprintable() else "?" for c in text)
