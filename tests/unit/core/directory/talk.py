"""One directory machine in conversation: short words for what is said to it and what it says."""

from __future__ import annotations

from random import Random

from edgecache.core.directory import Directory, DirectoryConfig
from edgecache.core.vocabulary import Outbox, ProvidersFound, ProvidersWanted
from edgecache.model.ids import NodeId
from edgecache.wire.messages import Claim, Lookup, Providers
from tests.unit.core.directory.mesh import Lone, blob_info, identity, node_id, told

ME = 0
INFO = blob_info(1)
WANT = ProvidersWanted(INFO.blob)


def lone(config: DirectoryConfig | None = None) -> Lone:
    return Lone(Directory(identity(ME), config or DirectoryConfig(), Random(7)))


def finals(out: Outbox) -> list[bool]:
    return [notice.final for notice in told(out, ProvidersFound)]


def found(out: Outbox) -> list[Claim]:
    return [one for notice in told(out, ProvidersFound) for one in notice.claims]


def number_of(node: NodeId) -> int:
    return next(n for n in range(1000) if node_id(n) == node)


def answer(desk: Lone, lookups: list[tuple[NodeId, Lookup]], *claims: Claim) -> Outbox:
    """The first of those asked answers."""
    home, lookup = lookups.pop(0)
    return desk.receive(number_of(home), Providers(lookup.query, claims))
