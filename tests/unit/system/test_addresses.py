"""Which of a device's addresses are told to neighbours."""

from __future__ import annotations

import pytest

from edgecache.adapters.system.addresses import Interface, usable_hosts, without_zones
from edgecache.model.peer import Address

LO = Interface("lo", True, True, ("127.0.0.1", "::1"))
ETH = Interface("eth0", True, True, ("192.168.1.5", "fd00::5", "fe80::5%eth0"))
WLAN_DOWN = Interface("wlan0", False, False, ("192.168.2.5",))


def test_routable_first_link_local_last_and_no_loopback() -> None:
    assert usable_hosts([LO, ETH, WLAN_DOWN]) == ("192.168.1.5", "fd00::5", "fe80::5%eth0")


def test_loopback_only_when_there_is_nothing_else() -> None:
    assert usable_hosts([LO, WLAN_DOWN]) == ("127.0.0.1",)
    assert usable_hosts([Interface("lo", True, True, ("::1",))]) == ("::1",)
    assert usable_hosts([]) == ()


@pytest.mark.parametrize("name", ["docker0", "br-0123456789ab", "veth1a2b3c4", "virbr0", "cali0123456789a", "podman0"])
def test_what_belongs_to_containers_is_left_out(name: str) -> None:
    plumbing = Interface(name, True, True, ("172.17.0.1", "fe80::1"))
    assert usable_hosts([LO, plumbing]) == ("127.0.0.1",)
    assert usable_hosts([LO, plumbing, ETH]) == usable_hosts([ETH])


@pytest.mark.parametrize("name", ["br-lan", "br0", "veth0", "wg0", "end0"])
def test_what_a_person_named_stays(name: str) -> None:
    assert usable_hosts([LO, Interface(name, True, True, ("10.0.0.1",))]) == ("10.0.0.1",)


def test_self_assigned_ipv4_only_without_a_better_one() -> None:
    alone = Interface("eth0", True, True, ("169.254.7.7", "fe80::7%eth0"))
    assert usable_hosts([LO, alone]) == ("fe80::7%eth0", "169.254.7.7")
    assert "169.254.7.7" not in usable_hosts([LO, alone, Interface("wlan0", True, True, ("10.0.0.2",))])


def test_an_unplugged_interface_counts_only_when_none_is_plugged_in() -> None:
    unplugged = Interface("eth1", True, False, ("10.1.1.1",))
    assert usable_hosts([LO, unplugged]) == ("10.1.1.1",)
    assert "10.1.1.1" not in usable_hosts([LO, unplugged, ETH])


def test_link_local_without_zone_gets_the_zone_of_its_interface() -> None:
    assert usable_hosts([Interface("eth0", True, True, ("fe80::9",))]) == ("fe80::9%eth0",)


def test_nonsense_and_multicast_are_dropped_and_the_number_is_bounded() -> None:
    many = Interface("eth0", True, True, ("x", "224.0.0.1", "0.0.0.0", *(f"10.0.0.{i}" for i in range(1, 40))))
    found = usable_hosts([many])
    assert len(found) == 16
    assert all(host.startswith("10.0.0.") for host in found)


def test_zones_do_not_travel() -> None:
    own = (Address("192.168.1.5", 1), Address("fe80::5%eth0", 1))
    assert without_zones(own) == own[:1]
