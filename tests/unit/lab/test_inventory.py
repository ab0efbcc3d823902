"""The inventory of the lab and the lab itself agree on hosts, networks and files."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

from lab.cluster import stack
from lab.hosts import inventory, network, rack
from lab.mirror import authority, client
from lab.paths import KUBECONFIG, LAB


def test_hosts_of_a_group_are_hosts_of_the_rack() -> None:
    assert inventory.hosts("gpu").items() < inventory.hosts().items()
    assert inventory.hosts("no such group") == {}


def test_every_host_is_on_the_racks_network() -> None:
    assert all(IPv4Address(address) in network.SUBNET for address in inventory.hosts().values())


def test_the_registry_is_the_mirror_and_the_stack_pulls_from_it() -> None:
    assert client.REGISTRY.split(":")[0] == network.MIRROR_NAME
    assert client.REGISTRY_ADDRESS.split(":")[0] == network.MIRROR
    assert stack.committed()["config"]["qwen-onprem:registry"] == client.REGISTRY


def test_the_inventory_reads_files_where_the_lab_writes_them() -> None:
    read = set(re.findall(r"/\.lab/([\w./-]+)", "".join(f.read_text() for f in inventory.FOLDER.rglob("*.yml"))))
    keys = (rack.KEY, rack.KNOWN_HOSTS, client.APT_KEY, authority.CERTIFICATE, client.REGISTRY_PASSWORD)
    assert {str(path.relative_to(LAB)) for path in (*keys, KUBECONFIG)} <= read
