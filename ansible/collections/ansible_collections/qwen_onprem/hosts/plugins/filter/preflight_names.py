"""Judges whether a host gets addresses of names, and the time."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from ..plugin_utils.rows import Row, row


def assess_names(found: Mapping[str, Any]) -> list[Row]:
    """One row per question, whether it passes or not.

    found: answer of inspect_network.py
    """
    return [*_names(found), *_name_servers(found), *_time(found)]


def _names(found: Mapping[str, Any]) -> Iterator[Row]:
    for name, addresses in found["names"].items():
        yield row(
            f"name {name}",
            bool(addresses),
            ", ".join(addresses) or "no address",
            "an address",
            "Correct the name in the inventory, or add it to the site's name servers or the host's /etc/hosts.",
        )


def _name_servers(found: Mapping[str, Any]) -> Iterator[Row]:
    """The cluster's DNS asks the host's name servers from inside a pod, where a loopback address is the pod's own."""
    servers = [server for file in found["name_servers"].values() for server in file]
    reachable = [server for server in servers if not ipaddress.ip_address(server.split("%")[0]).is_loopback]
    yield row(
        "name servers",
        bool(reachable) or not servers,
        ", ".join(servers) or "none",
        "one that pods reach, or none",
        "Name the site's servers in /etc/resolv.conf: the cluster's DNS would ask itself for ever.",
    )


def _time(found: Mapping[str, Any]) -> Iterator[Row]:
    """One server that answers is enough: a host can be installed while another server is repaired."""
    if servers := found["time_servers"]:
        yield row(
            "time servers",
            "" in servers.values(),
            "; ".join(f"{server} {trouble or 'answers'}" for server, trouble in servers.items()),
            "an answer from one of them",
            "Correct the time servers in the inventory, or let udp 123 through to them.",
        )


class FilterModule:
    """Names the filters of this file for Ansible."""

    def filters(self) -> dict[str, Any]:
        return {"preflight_assess_names": assess_names}
