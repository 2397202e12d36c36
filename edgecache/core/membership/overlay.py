"""Which peers to link to and which link to give up: half near, half random, distinct devices preferred."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgecache.core.membership.links import Link
from edgecache.model.ids import NodeId

if TYPE_CHECKING:
    from random import Random

FAR = 3600.0
"""Round trip assumed of links not measured yet."""


def choose_dials(candidates: Sequence[NodeId], near: dict[NodeId, float], room: int, rng: Random) -> list[NodeId]:
    """Up to `room` of the candidates: in turns the one with the lowest known round trip and a random one."""
    left = list(candidates)
    chosen: list[NodeId] = []
    while left and len(chosen) < room:
        known = [node for node in left if node in near]
        pick = min(known, key=lambda node: near[node]) if known and len(chosen) % 2 == 0 else rng.choice(left)
        left.remove(pick)
        chosen.append(pick)
    return chosen


def choose_shed(overlay: Sequence[Link], newest: Link, rng: Random) -> Link:
    """The overlay link that leaves so that `newest` may stay: one of several to one device if there is such, else a
    random one that is not among the nearest half."""
    others = [link for link in overlay if link.link != newest.link]
    hosts: dict[bytes, int] = {}
    for link in overlay:
        if link.hello.host:
            hosts[link.hello.host] = hosts.get(link.hello.host, 0) + 1
    crowded = [link for link in others if hosts.get(link.hello.host, 0) > 1]
    if crowded and len(crowded) < len(others):
        return rng.choice(crowded)
    by_distance = sorted(others, key=lambda link: (FAR if link.rtt is None else link.rtt, link.link))
    return rng.choice(by_distance[len(by_distance) // 2 :])
