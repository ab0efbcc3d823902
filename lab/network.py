"""The rack's network: one bridge without a way out, on which this machine has the gateway's address."""

from __future__ import annotations

import json

from lab.paths import REPO
from lab.podman import LABEL
from lab.shell import attempt, output

NAME = "qwen-lab"
SUBNET = "10.90.0.0/24"
GATEWAY = "10.90.0.1"
MIRROR = "10.90.0.2"
MIRROR_NAME = "mirror.lab.internal"


def ensure() -> str | None:
    """Make the network, its bridge address and the rules that refuse forwarding; None when all stand."""
    changed = False
    if attempt("podman", "network", "exists", NAME).returncode:
        output(
            *("podman", "network", "create", "--internal", "--disable-dns", "--subnet", SUBNET, "--gateway", GATEWAY),
            *("--label", f"{LABEL}={REPO}", NAME),
        )
        changed = True
    bridge = bridge_name()
    if attempt("ip", "link", "show", bridge).returncode:
        output("ip", "link", "add", bridge, "type", "bridge")
        output("ip", "link", "set", bridge, "up")
        changed = True
    if f"inet {GATEWAY}/" not in output("ip", "-4", "addr", "show", "dev", bridge):
        output("ip", "addr", "add", f"{GATEWAY}/24", "dev", bridge)
        changed = True
    for rule in _refusals(bridge):
        # A machine that forwards for other reasons must not forward for the rack.
        if attempt("iptables", "-C", "FORWARD", *rule).returncode:
            output("iptables", "-I", "FORWARD", *rule)
            changed = True
    return f"{SUBNET} on {bridge}" if changed else None


def bridge_name() -> str:
    return str(json.loads(output("podman", "network", "inspect", NAME))[0]["network_interface"])


def remove() -> None:
    """Remove the network, its bridge and its rules, whichever of them is left."""
    bridges = set()
    for rule in output("iptables", "-S", "FORWARD").splitlines():
        if f"--comment {NAME} " in rule:
            words = rule.split()
            bridges.add(words[words.index("-i" if "-i" in words else "-o") + 1])
            output("iptables", "-D", *words[1:])
    if attempt("podman", "network", "exists", NAME).returncode == 0:
        bridges.add(bridge_name())
        output("podman", "network", "rm", "--force", NAME)
    for bridge in bridges:
        attempt("ip", "link", "delete", bridge)  # podman may have deleted it with the network


def _refusals(bridge: str) -> tuple[tuple[str, ...], ...]:
    reject = ("-j", "REJECT", "-m", "comment", "--comment", NAME)
    return ("-i", bridge, "!", "-o", bridge, *reject), ("-o", bridge, "!", "-i", bridge, *reject)
