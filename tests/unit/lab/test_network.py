"""The rack's network: what others remember of a host holds when the host comes back."""

from __future__ import annotations

from lab import hosts, network


def test_an_address_always_has_the_same_hardware_address() -> None:
    assert network.hardware_address("10.90.0.100") == "02:00:0a:5a:00:64"
    assert "mac=02:00:0a:5a:00:64" in network.at("10.90.0.100")[-1].split(",")


def test_no_two_hosts_share_one() -> None:
    addresses = [network.GATEWAY, network.MIRROR, *hosts.inventory().values(), *hosts.SCRATCH]
    assert len({network.hardware_address(a) for a in addresses}) == len(addresses)
