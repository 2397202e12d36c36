"""Who becomes a link: members of the mesh that prove it, say a fitting hello, and are not us."""

from __future__ import annotations

import ssl
import warnings

import pytest

from edgecache.adapters.coap.framing import Code
from edgecache.model.errors import Denied, EdgecacheError, Refused, TransportError
from edgecache.wire import codec
from edgecache.wire.messages import Hello
from tests.integration.coap.mesh import Authority, Mesh, Node, in_mesh, with_hello
from tests.integration.coap.rawpeer import CSM, RawPeer, hello_request


async def refused(one: Node, two: Node, kind: type[EdgecacheError], words: str = ".") -> None:
    """`one` cannot link with `two`, and neither believes that it can."""
    with pytest.raises(kind, match=words):
        await one.links.dial(two.id, [two.address])
    assert one.handler.opened == []
    assert two.handler.opened == []


@in_mesh
async def test_a_node_of_another_mesh_is_denied_on_both_sides(mesh: Mesh) -> None:
    other = Authority(mesh.directory, "other")
    ours, theirs = await mesh.node(), await mesh.node(authority=other, identity=other.issue("theirs"))
    await refused(ours, theirs, Denied, "verify failed")
    await refused(theirs, ours, Denied, "verify failed")
    assert "link-inbound" in ours.log.causes()
    assert "link-inbound" in theirs.log.causes()


@in_mesh
async def test_a_certificate_of_another_mesh_is_denied_even_by_who_trusts_ours(mesh: Mesh) -> None:
    node = await mesh.node()
    other = Authority(mesh.directory, "other")
    context = mesh.authority.contexts(None)[1]
    context.load_cert_chain(other.issue("spy").pem)
    peer = await RawPeer.connect(node, context)
    assert await peer.ended() == []
    assert node.handler.opened == []
    (cause, text), = node.log.lines
    assert cause == "link-inbound"
    assert "certificate verify failed" in text


@in_mesh
async def test_without_a_certificate_there_is_a_handshake_and_nothing_else(mesh: Mesh) -> None:
    node = await mesh.node()
    peer = await RawPeer.connect(node, mesh.authority.contexts(None)[1])
    peer.write(CSM + hello_request(Hello(node.id, "testmesh", "default", "spy", 1, 0, ())))
    assert await peer.ended() == []
    assert "peer did not return a certificate" in node.log.lines[0][1]


@in_mesh
async def test_the_dialler_hears_that_it_is_refused(mesh: Mesh) -> None:
    node, nobody = await mesh.node(), await mesh.node()
    nobody.links._dialler._context = mesh.authority.contexts(None)[1]
    await refused(nobody, node, Denied, "certificate required")


@in_mesh
async def test_old_protocols_are_refused(mesh: Mesh) -> None:
    node = await mesh.node()
    context = mesh.authority.contexts(mesh.authority.issue("old"))[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await RawPeer.connect(node, context)


@in_mesh
async def test_time_is_not_checked_by_tls(mesh: Mesh) -> None:
    expired = mesh.authority.issue("expired", days=(-20, -10))
    unborn = mesh.authority.issue("unborn", days=(10, 20))
    one, two = await mesh.node(identity=expired), await mesh.node(identity=unborn)
    await one.links.dial(two.id, [two.address])
    assert one.handler.opened[0][1] == two.id


@in_mesh
async def test_a_certificate_that_is_no_members_ends_at_the_handshake(mesh: Mesh) -> None:
    identity = mesh.authority.issue("outcast")
    one, two = await mesh.node(identity=identity), await mesh.node(refuse=identity.node)
    await refused(one, two, TransportError)
    await refused(two, one, Denied, "not a member")


@in_mesh
async def test_a_banned_node_is_not_linked_from_either_side(mesh: Mesh) -> None:
    one, two = await mesh.node(), await mesh.node()
    two.handler.banned.add(one.id)
    await refused(one, two, TransportError)
    await refused(two, one, Denied, "banned")
    two.handler.banned.clear()
    await one.links.dial(two.id, [two.address])


@in_mesh
async def test_an_address_that_is_another_nodes(mesh: Mesh) -> None:
    one, two, three = await mesh.node(), await mesh.node(), await mesh.node()
    with pytest.raises(Refused, match=three.id):
        await one.links.dial(two.id, [three.address])
    assert one.handler.opened == three.handler.opened == []


@in_mesh
async def test_we_do_not_link_with_ourselves(mesh: Mesh) -> None:
    node = await mesh.node()
    with pytest.raises(Refused, match="own node id"):
        await node.links.dial(None, [node.address])
    assert node.handler.opened == []


@in_mesh
async def test_a_hello_of_another_mesh(mesh: Mesh) -> None:
    one, two = await mesh.node(), await mesh.node()
    with_hello(one, mesh="another")
    await refused(one, two, Denied, "mesh")
    assert "link-hello" in two.log.causes()


@in_mesh
async def test_a_hello_with_somebody_elses_name(mesh: Mesh) -> None:
    one, two, three = await mesh.node(), await mesh.node(), await mesh.node()
    with_hello(one, node=three.id)
    await refused(one, two, Denied, "certificate")


@in_mesh
async def test_an_answer_with_somebody_elses_name(mesh: Mesh) -> None:
    one, two, three = await mesh.node(), await mesh.node(), await mesh.node()
    with_hello(two, node=three.id)
    with pytest.raises(Denied, match="certificate"):
        await one.links.dial(two.id, [two.address])
    assert one.handler.opened == []


@in_mesh
async def test_no_common_wire_version(mesh: Mesh) -> None:
    one, two = await mesh.node(), await mesh.node()
    with_hello(one, versions=(7, 9))
    await refused(one, two, Refused, "wire version")
    with_hello(one, versions=(1, 9))
    await one.links.dial(two.id, [two.address])


def with_key(hello: Hello, key: int) -> bytes:
    """The encoded hello with one more key: the map's head says one more entry, which follows."""
    encoded = codec.encode(hello)
    assert encoded[0] & 0xE0 == 0xA0
    assert encoded[0] & 0x1F < 23
    return bytes([encoded[0] + 1]) + encoded[1:] + bytes([0x18, key, 0x63]) + b"new"


@in_mesh
async def test_one_more_optional_key_is_kept(mesh: Mesh) -> None:
    node = await mesh.node()
    identity = mesh.authority.issue("newer")
    peer = await RawPeer.connect(node, mesh.authority.contexts(identity)[1])
    hello = Hello(identity.node, "testmesh", "default", "newer", 1, 0, ())
    peer.write(CSM + hello_request(hello, with_key(hello, 98)))
    assert (await peer.frame()).code == Code.CSM
    answer = await peer.frame()
    assert answer.code == Code.CHANGED
    assert codec.decode(bytes(answer.payload)) == node.handler.greeting
    await node.handler.until(lambda: node.handler.open)
    assert next(iter(node.handler.open.values())).extra == {98: "new"}


@in_mesh
async def test_one_more_critical_key_is_refused(mesh: Mesh) -> None:
    node = await mesh.node()
    identity = mesh.authority.issue("newer")
    peer = await RawPeer.connect(node, mesh.authority.contexts(identity)[1])
    hello = Hello(identity.node, "testmesh", "default", "newer", 1, 0, ())
    peer.write(CSM + hello_request(hello, with_key(hello, 99)))
    frames = await peer.ended()
    assert [frame.code for frame in frames] == [Code.CSM, Code.BAD_REQUEST]
    assert b"99" in frames[1].payload
    assert node.handler.opened == []
