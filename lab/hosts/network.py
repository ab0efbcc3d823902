"""The rack's network: a bridge without a route to the outside. This machine has the gateway's address on it."""

from __future__ import annotations

import json
from ipaddress import IPv4Network
from pathlib import Path
from urllib.parse import urlsplit

from lab.hosts import inventory
from lab.hosts.podman import LABEL
from lab.paths import REPO
from lab.shell import attempt, output

NAME = "qwen-lab"
SUBNET = IPv4Network(inventory.site()["site_network"])
GATEWAY, MIRROR = str(SUBNET[1]), str(SUBNET[2])
MIRROR_NAME = str(urlsplit(inventory.site()["site_mirror_url"]).hostname)
# The inventory's hosts have addresses below these.
SCRATCH_HOSTS = [str(SUBNET[number]) for number in range(100, 200)]
MACHINES = [str(SUBNET[number]) for number in range(200, 220)]

PODMAN_CHAIN, PODMAN_OVERRIDES, PODMAN_COMMENT = "CNI-FORWARD", "CNI-ADMIN", "CNI firewall plugin rules"
NAMESPACES = Path("/run/netns")


def ensure() -> str | None:
    """Make the network, its bridge address and the rules that refuse forwarding; None when all are there."""
    changed = False
    if attempt("podman", "network", "exists", NAME).returncode:
        output(
            *("podman", "network", "create", "--internal", "--disable-dns"),
            *("--subnet", str(SUBNET), "--gateway", GATEWAY, "--label", f"{LABEL}={REPO}", NAME),
        )
        changed = True
    bridge = bridge_name()
    if attempt("ip", "link", "show", bridge).returncode:
        output("ip", "link", "add", bridge, "type", "bridge")
        output("ip", "link", "set", bridge, "up")
        changed = True
    # A bridge without a fixed address takes another one each time a host comes or goes.
    if Path(f"/sys/class/net/{bridge}/address").read_text().strip() != hardware_address(GATEWAY):
        output("ip", "link", "set", bridge, "address", hardware_address(GATEWAY))
        changed = True
    if f"inet {GATEWAY}/" not in output("ip", "-4", "addr", "show", "dev", bridge):
        output("ip", "addr", "add", f"{GATEWAY}/{SUBNET.prefixlen}", "dev", bridge)
        changed = True
    changed |= refuse_forwarding()
    return f"{SUBNET} on {bridge}" if changed else None


def refuse_forwarding() -> bool:
    """Put first the rules that refuse forwarding for the rack: the machine may forward for other reasons.

    podman, at the start of a machine's first container, puts its own chain before all rules, and that one accepts.
    """
    rules = _refusals(bridge_name())
    standing = [line for line in output("iptables", "-S", "FORWARD").splitlines() if line.startswith("-A")]
    if sum(f"--comment {NAME} " in line for line in standing[: len(rules)]) == len(rules):
        return False
    for rule in rules:
        attempt("iptables", "-D", "FORWARD", *rule)
        output("iptables", "-I", "FORWARD", *rule)
    return True


def at(address: str, card: str = "eth0") -> tuple[str, ...]:
    """Arguments with which podman gives a container an address, on a network card of that name."""
    return "--network", f"{NAME}:ip={address},mac={hardware_address(address)},interface_name={card}"


def hardware_address(address: str) -> str:
    """An Ethernet address made from an IPv4 address: a real host keeps its address, too.

    If it changed at each boot, hosts that know the old one would send to nobody for most of a minute.
    """
    return "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def bridge_name() -> str:
    return str(json.loads(output("podman", "network", "inspect", NAME))[0]["network_interface"])


def remove() -> None:
    """Remove what is left of the network, its bridge and its rules."""
    bridges = set()
    for rule in output("iptables", "-S", "FORWARD").splitlines():
        if f"--comment {NAME} " in rule:
            arguments = rule.split()
            bridges.add(arguments[arguments.index("-i" if "-i" in arguments else "-o") + 1])
            output("iptables", "-D", *arguments[1:])
    if attempt("podman", "network", "exists", NAME).returncode == 0:
        bridges.add(bridge_name())
        output("podman", "network", "rm", "--force", NAME)
    for bridge in bridges:
        attempt("ip", "link", "delete", bridge)  # podman may have deleted it with the network
    _remove_what_podman_keeps()


def _remove_what_podman_keeps() -> None:
    """Remove podman's chains and its mount for network namespaces; podman leaves them after its last container."""
    accepts = [line for line in attempt("iptables", "-S", PODMAN_CHAIN).stdout.splitlines() if "-j ACCEPT" in line]
    overrides = attempt("iptables", "-S", PODMAN_OVERRIDES).stdout.splitlines()
    if len(overrides) == 1 and not accepts:
        attempt("iptables", "-D", "FORWARD", "-m", "comment", "--comment", PODMAN_COMMENT, "-j", PODMAN_CHAIN)
        for action in ("-F", "-X"):
            for chain in (PODMAN_CHAIN, PODMAN_OVERRIDES):
                attempt("iptables", action, chain)
    mounted = str(NAMESPACES) in Path("/proc/mounts").read_text().split()
    if mounted and not any(NAMESPACES.iterdir()):
        output("umount", NAMESPACES)
        NAMESPACES.rmdir()


def _refusals(bridge: str) -> tuple[tuple[str, ...], ...]:
    reject = ("-j", "REJECT", "-m", "comment", "--comment", NAME)
    return ("-i", bridge, "!", "-o", bridge, *reject), ("-o", bridge, "!", "-i", bridge, *reject)
