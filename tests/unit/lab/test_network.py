"""The rack's network: a host that comes back has the addresses that others remember."""

from __future__ import annotations

from lab.hosts import inventory, network, rack


def test_an_address_always_has_the_same_hardware_address() -> None:
    assert network.hardware_address("10.90.0.100") == "02:00:0a:5a:00:64"
    assert "mac=02:00:0a:5a:00:64" in network.at("10.90.0.100")[-1].split(",")


def test_no_two_hosts_share_one() -> None:
    hosts = [*inventory.hosts().values(), *network.SCRATCH_HOSTS, *network.MACHINES]
    addresses = [network.GATEWAY, network.MIRROR, *hosts]
    assert len({network.hardware_address(a) for a in addresses}) == len(addresses)


def test_servers_and_gpu_hosts_call_their_cards_by_different_names() -> None:
    """A site's hosts do, too: a setting that names one card for all hosts has to fail here."""
    cards = [rack.card(has_gpus=has_gpus) for has_gpus in (False, True)]
    assert len(set(cards)) == 2
    assert all(f"interface_name={card}" in network.at("10.90.0.100", card)[-1].split(",") for card in cards)
