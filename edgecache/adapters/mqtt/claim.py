"""The retained message that says who bridges. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass

from edgecache.model.errors import UsageError
from edgecache.model.ids import NodeId, parse_node_id
from edgecache.wire.facts import TERM_MAX

_BYTES_MAX = 512


@dataclass(frozen=True, slots=True)
class BridgeClaim:
    """`node` bridges, or did last, with this term."""

    term: int
    node: NodeId

    def encode(self) -> str:
        """As it is retained."""
        return json.dumps({"term": self.term, "node": self.node}, separators=(",", ":"))

    def outranks(self, mine: BridgeClaim) -> bool:
        """Whether this is a reason for `mine` to step back: another node's, and not older."""
        return self.node != mine.node and self.term >= mine.term


def parse_claim(payload: bytes) -> BridgeClaim | None:
    """A claim from the broker; None for anything else, as anybody may have written there."""
    if len(payload) > _BYTES_MAX:
        return None
    try:
        content = json.loads(payload)
        term, node = content["term"], parse_node_id(content["node"])
    except (ValueError, KeyError, TypeError, RecursionError, UsageError):
        return None
    if type(term) is not int or not 0 <= term <= TERM_MAX:
        return None
    return BridgeClaim(term, node)
