"""Fifty machines together."""

from __future__ import annotations

from edgecache.model.ids import BlobRef, NodeId
from edgecache.wire.messages import Flood
from tests.unit.core.directory.mesh import Mesh
from tests.unit.core.directory.talk import INFO


def ring(count: int, seed: int = 1) -> tuple[Mesh, list[NodeId]]:
    """Nodes of one site, each linked to two neighbours and three random others."""
    mesh = Mesh(seed)
    nodes = [mesh.join(number) for number in range(count)]
    for at, node in enumerate(nodes):
        mesh.link(node, nodes[(at + 1) % count])
        for other in mesh.rng.sample([other for other in nodes if other != node], 3):
            mesh.link(node, other)
    mesh.run(5.0)
    return mesh, nodes


def test_fifty_nodes_find_what_one_of_them_has_by_its_homes() -> None:
    mesh, nodes = ring(50)
    mesh.hold(nodes[17], INFO, 1)
    mesh.run(1.0)
    assert all(mesh.finds(node, INFO.blob) == {nodes[17]} for node in nodes if node != nodes[17])
    assert mesh.count(Flood) == 0
    assert not any(node.misbehaved for node in mesh.nodes.values())


def test_the_flood_finds_it_when_all_homes_vanish_unnoticed() -> None:
    mesh, nodes = ring(50)
    mesh.hold(nodes[17], INFO)
    mesh.run(1.0)
    for home in mesh.nodes[nodes[0]].machine.homes(INFO.blob):
        if home not in (nodes[17], nodes[0]):
            mesh.vanish(home)
    searchers = [node for node in mesh.nodes if node != nodes[17]]
    first, second = 0, 0
    for node in searchers:
        mesh.run(10.0)
        once = mesh.finds(node, INFO.blob) == {nodes[17]}
        first += once
        mesh.run(6.0)
        second += once or mesh.finds(node, INFO.blob) == {nodes[17]}
    assert first >= 0.4 * len(searchers)
    assert second >= 0.9 * len(searchers)
    assert mesh.count(Flood) / len(searchers) <= 39 + 150


def test_a_sha256_is_found_in_a_site_of_fifty() -> None:
    mesh, nodes = ring(50)
    mesh.hold(nodes[17], INFO)
    mesh.run(1.0)
    ref = BlobRef(sha256=INFO.sha256)
    askers = [node for node in nodes if node != nodes[17]]
    for node in askers:
        mesh.resolve(node, ref)
        mesh.run(10.0)
    hits = sum({one.node for one in mesh.nodes[node].resolved[0].claims} == {nodes[17]} for node in askers)
    assert hits >= 0.95 * len(askers)
