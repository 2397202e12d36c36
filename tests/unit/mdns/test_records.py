"""mDNS records: ours fit, others' are believed only within bounds."""

from __future__ import annotations

import pytest
from zeroconf.asyncio import AsyncServiceInfo

from edgecache.adapters.mdns.records import (
    SERVICE_TYPE,
    instance_label,
    parse_sighting,
    server_name,
    txt_properties,
)
from edgecache.adapters.mdns.sockets import interface_choices
from edgecache.core.vocabulary import PeerSighted
from edgecache.model.errors import UsageError
from edgecache.model.ids import node_id_from_bytes
from edgecache.model.peer import Address, SeenVia

ME = node_id_from_bytes(bytes(16))
PEER = node_id_from_bytes(bytes(range(16)))


def txt(**changes: bytes | None) -> dict[bytes, bytes | None]:
    found: dict[bytes, bytes | None] = {
        b"txtvers": b"1", b"id": PEER.encode(), b"mesh": b"mesh1", b"site": b"home", b"v": b"1",
    }  # fmt: skip
    found.update({key.encode(): value for key, value in changes.items()})
    return found


def sighting(
    properties: dict[bytes, bytes | None] | None = None,
    hosts: tuple[str, ...] = ("10.0.0.7",),
    port: int | None = 5684,
    loopback: bool = False,
) -> PeerSighted | str:
    return parse_sighting(properties or txt(), hosts, port, mesh="mesh1", own=ME, loopback=loopback)


def test_label_has_the_id_at_its_end_and_fits_a_dns_label() -> None:
    assert instance_label("pi-attic", PEER) == f"pi-attic-{PEER[1:9]}"
    long = instance_label("Größe" * 30, PEER)
    assert len(long.encode()) <= 63
    assert long.endswith(f"-{PEER[1:9]}")
    assert instance_label("\x00\n", PEER).startswith("edgecache-")
    assert instance_label("a\x07b\n", PEER) == f"ab-{PEER[1:9]}"


def test_txt_begins_with_its_version_and_stays_small() -> None:
    properties = txt_properties(ME, "m" * 30, "site")
    assert list(properties) == ["txtvers", "id", "mesh", "site", "v"]
    info = AsyncServiceInfo(SERVICE_TYPE, f"x.{SERVICE_TYPE}", properties=properties)
    assert info.text.startswith(b"\x09txtvers=1")
    with pytest.raises(UsageError, match="bytes"):
        txt_properties(ME, "m" * 30, "s" * 120)
    assert server_name(ME) == f"{ME}.local."


def test_a_good_record_is_a_sighting() -> None:
    assert sighting() == PeerSighted(PEER, (Address("10.0.0.7", 5684),), SeenVia.MDNS, "home")


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        (txt(mesh=b"other"), "another mesh"),
        (txt(mesh=None), "another mesh"),
        (txt(mesh=b"\xff\xfe"), "another mesh"),
        (txt(txtvers=b"2"), "txtvers"),
        (txt(id=b"nope"), "node id"),
        (txt(id=b"n" * 200), "node id"),
        (txt(id=ME.encode()), "ourselves"),
        (txt(site=b"x" * 65), "site"),
        (txt(site=b"a\nb"), "site"),
    ],
)
def test_lies_and_strangers_are_passed_over(properties: dict[bytes, bytes | None], why: str) -> None:
    found = sighting(properties)
    assert isinstance(found, str)
    assert why in found


@pytest.mark.parametrize("port", [None, 0, -1, 65536])
def test_no_port_no_sighting(port: int | None) -> None:
    assert sighting(port=port) == "no valid port"


def test_only_unicast_literals_are_addresses_best_first() -> None:
    found = sighting(
        hosts=("fe80::1%1", "fe80::2", "224.0.0.251", "ff02::fb", "0.0.0.0", "::", "x", "127.0.0.1", "::1",
               "::ffff:127.0.0.1", "fd00::7", "169.254.1.1", "10.0.0.7", "10.0.0.7"),
    )  # fmt: skip
    assert isinstance(found, PeerSighted)
    assert [a.host for a in found.addresses] == ["10.0.0.7", "fd00::7", "169.254.1.1", "fe80::1%lo"]


def test_loopback_counts_only_on_a_device_that_has_nothing_else() -> None:
    assert sighting(hosts=("127.0.0.1",)) == "no usable address"
    assert isinstance(sighting(hosts=("127.0.0.1",), loopback=True), PeerSighted)


def test_the_number_of_addresses_is_bounded() -> None:
    found = sighting(hosts=tuple(f"10.0.1.{i}" for i in range(100)))
    assert isinstance(found, PeerSighted)
    assert len(found.addresses) == 16


def test_interfaces_are_named_as_zeroconf_wants_them() -> None:
    assert interface_choices(["10.0.0.1"]) == [["10.0.0.1"]]
    assert interface_choices(["10.0.0.1", "fd00::1", "fe80::1%lo"]) == [["10.0.0.1", 1], ["10.0.0.1"], [1]]
    assert interface_choices(["fd00::1"]) == [["fd00::1"]]
    assert interface_choices(["fe80::1%gone"]) == []
    assert interface_choices([]) == []
