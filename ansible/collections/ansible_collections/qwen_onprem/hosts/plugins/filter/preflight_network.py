"""Judges how a host is connected: name, address, the cluster's networks, the API's address."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ..plugin_utils.rows import Row, row

NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
LABEL_LENGTH = 63  # the name is the value of a label too
POD_NETWORK = re.compile(r"cni0|flannel[.]\d+")  # interfaces of a host that is a node already


def assess_network(found: Mapping[str, Any], needed: Mapping[str, Any]) -> list[Row]:
    """One row per question, whether it passes or not.

    found:  answer of inspect_network.py
    needed: __preflight_network_needed of vars/main.yml
    """
    return [
        _node_name(needed),
        *_node_address(found, needed),
        *_internal_networks(found, needed),
        *_virtual_address(found, needed),
    ]


def _node_name(needed: Mapping[str, Any]) -> Row:
    name = needed["node_name"]
    return row(
        "node name",
        NODE_NAME.fullmatch(name) is not None and len(name) <= LABEL_LENGTH,
        name,
        f"at most {LABEL_LENGTH} lower-case letters, digits, dots and hyphens, as Kubernetes names nodes",
        "Rename the host in the inventory; what its system calls itself may stay.",
    )


def _node_address(found: Mapping[str, Any], needed: Mapping[str, Any]) -> Iterator[Row]:
    if address := needed["node_address"]:
        card = found["addresses"].get(_on_host(found, address), "")
        held_addresses = ", ".join(f"{held} on {name}" for held, name in found["addresses"].items() if name != "lo")
        yield row(
            "node address",
            bool(card),
            f"{address} on {card}" if card else held_addresses or "none",
            f"{address} on an interface",
            "Correct the host's address in the inventory, or give it to the interface.",
        )


def _on_host(found: Mapping[str, Any], address: str) -> str:
    """The address with the length of its network, as the host has it: "10.20.0.11/24"."""
    return next((held for held in found["addresses"] if held.split("/")[0] == address), "")


def _internal_networks(found: Mapping[str, Any], needed: Mapping[str, Any]) -> Iterator[Row]:
    """The cluster's pod and service addresses lead nowhere else on its hosts, so the site must not use them."""
    networks = {
        name: ipaddress.ip_network(text, strict=False) for name, text in needed["internal_networks"].items() if text
    }
    for name, network in networks.items():
        strangers = [*_routes_in(found, network), *_servers_in(found, network)]
        if (address := needed["virtual_address"]) and _lies_in(address, network):
            strangers.append(f"the API's address {address}")
        strangers += [f"the {other} {n}" for other, n in networks.items() if other != name and n.overlaps(network)]
        yield row(
            name,
            not strangers,
            f"{network} with {', '.join(strangers)} in it" if strangers else f"{network}",
            "a network in which no address of the site lies",
            "Choose another for the cluster before it is formed; later it cannot be changed.",
        )


def _lies_in(address: str, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Whether a text is an address of the network; what is no address lies in none."""
    try:
        return ipaddress.ip_address(address) in network
    except ValueError:
        return False


def _routes_in(found: Mapping[str, Any], network: ipaddress.IPv4Network) -> Iterator[str]:
    """Routes of the host into a network. Behind a gateway only those inside it count: sites summarise theirs."""
    for route in found["routes"]:
        to = ipaddress.ip_network(route["to"])
        inside = to.overlaps(network) if route["connected"] else to.subnet_of(network)
        if inside and not POD_NETWORK.fullmatch(route["interface"]):
            yield f"{to} of {route['interface']}"


def _servers_in(found: Mapping[str, Any], network: ipaddress.IPv4Network) -> Iterator[str]:
    for name, addresses in found["names"].items():
        for address in addresses:
            if _lies_in(address, network):
                yield name if name == address else f"{name} ({address})"


def _virtual_address(found: Mapping[str, Any], needed: Mapping[str, Any]) -> Iterator[Row]:
    address, node_address = needed["virtual_address"], _on_host(found, needed["node_address"])
    if not (address and node_address):
        return
    network = ipaddress.ip_interface(node_address).network
    yield row(
        "API address",
        _lies_in(address, network) and address not in needed["virtual_address_hosts"],
        f"{address} beside hosts in {network}",
        "an address of the hosts' own network that none of them has",
        "Take a free one of that network: it moves from host to host.",
    )
    ours = {hardware for host in needed["virtual_address_hosts"] for hardware in found["holders"].get(host, [])}
    strangers = [hardware for hardware in found["holders"].get(address, []) if hardware not in ours]
    yield row(
        "holder of the API address",
        not strangers,
        f"{address} at {', '.join(strangers)}" if strangers else f"{address} free, or at one of its hosts",
        "nobody but the control plane's hosts",
        "Take another address, or take it from the machine that has it.",
    )


class FilterModule:
    """Names the filters of this file for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"preflight_assess_network": assess_network}
