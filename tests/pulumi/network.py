"""The decision of network policies about one connection, for tests of what the table opens."""

from __future__ import annotations

from typing import Any

from qwen_stack.specs import network_policy
from qwen_stack.specs.manifest import app

Labels = dict[str, str]
OUTSIDE: Labels = {}
# Marks a host of the site instead of a pod.
ADDRESS = "address"


def selects(selector: Any, labels: Labels) -> bool:
    return selector.get("matchLabels", {}).items() <= labels.items()


def at_a_host(end: Labels) -> bool:
    return end == OUTSIDE or ADDRESS in end


class Network:
    """The decision of Kubernetes about a connection over TCP, by its rules for policies."""

    def __init__(self, settings: Any) -> None:
        self.policies = network_policy.policies(network_policy.flows(settings))

    def allows(self, source: Labels, target: Labels, port: int) -> bool:
        return self._passes("egress", "to", source, target, port) and self._passes(
            "ingress", "from", target, source, port
        )

    def _passes(self, direction: str, end: str, pod: Labels, other: Labels, port: int) -> bool:
        if at_a_host(pod):
            return True
        mine = [policy["spec"] for policy in self.policies if selects(policy["spec"]["podSelector"], pod)]
        return not mine or any(
            self._peer(rule.get(end), other) and port in [p["port"] for p in rule.get("ports", [{"port": port}])]
            for spec in mine
            for rule in spec.get(direction, [])
        )

    @staticmethod
    def _peer(peers: Any, other: Labels) -> bool:
        return peers is None or any(
            peer["ipBlock"]["cidr"] == other.get(ADDRESS)
            if "ipBlock" in peer
            else "namespaceSelector" not in peer and not at_a_host(other) and selects(peer["podSelector"], other)
            for peer in peers
        )


def part(name: str) -> Labels:
    return app(name)
