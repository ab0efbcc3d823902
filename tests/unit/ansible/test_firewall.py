"""The firewall's rules let in and pass on only what they should."""

from __future__ import annotations

import re

import pytest

from .rendering import render

NODES = ["10.20.0.11", "10.20.0.21"]
INTERNAL = ["10.244.0.0/16", "10.96.0.0/12"]
VXLAN = {"name": "vxlan", "protocol": "udp", "ports": [8472], "sources": NODES}


def chains(**variables: object) -> dict[str, list[str]]:
    """The rules of each chain, without comments."""
    text = render("hardening/templates/firewall.nft.j2", hardening_firewall_allowed=[VXLAN], **variables)
    chain_texts = re.findall(r"^  chain (\w+) \{\n(.*?)^  \}", text, re.MULTILINE | re.DOTALL)
    return {
        name: [line.strip() for line in body.splitlines() if line.strip() and not line.strip().startswith("#")]
        for name, body in chain_texts
    }


@pytest.fixture(scope="module")
def rules() -> dict[str, list[str]]:
    return chains(hardening_firewall_internal_networks=[*INTERNAL, "fd00:10:244::/56"])


def test_pods_and_services_are_closed_before_a_node_port_is_translated(rules: dict[str, list[str]]) -> None:
    first, inside, *drops = rules["prerouting"]
    assert first == "type filter hook prerouting priority raw; policy accept;"
    assert inside == 'iifname { "lo", "cni0", "flannel.1", "docker0" } accept'
    assert drops == [
        "ip daddr { 10.244.0.0/16, 10.96.0.0/12 } drop",
        "ip saddr { 10.244.0.0/16, 10.96.0.0/12 } drop",
        "ip6 daddr { fd00:10:244::/56 } drop",
        "ip6 saddr { fd00:10:244::/56 } drop",
    ]


def test_a_host_passes_on_only_what_is_translated_or_comes_from_its_pods(rules: dict[str, list[str]]) -> None:
    assert rules["forward"] == [
        "type filter hook forward priority filter; policy drop;",
        "ct state established,related accept",
        "ct status dnat accept",
        'iifname { "lo", "cni0", "flannel.1", "docker0" } accept',
    ]


def test_vxlan_comes_from_nodes_alone(rules: dict[str, list[str]]) -> None:
    assert [rule for rule in rules["input"] if "8472" in rule] == [
        'ip saddr { 10.20.0.11, 10.20.0.21 } udp dport { 8472 } accept comment "vxlan"'
    ]


def test_a_site_names_the_bridges_of_its_other_containers() -> None:
    rules = chains(hardening_firewall_internal_interfaces=["cni0", "flannel.1", "br-ci"])
    assert rules["forward"][-1] == 'iifname { "lo", "cni0", "flannel.1", "br-ci" } accept'
    assert "prerouting" not in rules, "no internal network, nothing to close"
