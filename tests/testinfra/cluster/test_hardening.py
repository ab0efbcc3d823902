"""A host lets in only what the inventory says, and changes no package by itself."""

from __future__ import annotations

import re

import pytest
from testinfra.host import Host

from ..inventory import Expected


@pytest.fixture(scope="module")
def sshd(host: Host) -> dict[str, str]:
    """Settings in force, by their lower-case names."""
    return dict(line.split(" ", 1) for line in host.check_output("sshd -T").splitlines() if " " in line)


def test_ssh_takes_keys_only(sshd: dict[str, str]) -> None:
    assert sshd["passwordauthentication"] == "no"
    assert sshd["kbdinteractiveauthentication"] == "no"
    assert sshd["permitemptypasswords"] == "no"


def test_ssh_settings_of_the_site_are_in_force(sshd: dict[str, str], expected: Expected) -> None:
    for name, value in expected["hardening_sshd_settings"].items():
        assert sshd[name.lower()] == str(value)


def test_ssh_offers_no_weak_algorithm(sshd: dict[str, str]) -> None:
    offered = ",".join(sshd[name] for name in ("kexalgorithms", "ciphers", "macs"))
    assert not re.search(r"sha1\b|md5|cbc|arcfour|3des|group1\b|group14-sha1|umac-64", offered)


def test_the_firewall_refuses_what_is_not_allowed(host: Host, expected: Expected) -> None:
    if not expected["hardening_firewall"]:
        pytest.skip("the site has another firewall")
    rules = host.check_output("nft --stateless list table inet hardening")
    assert "policy drop" in rules
    allowed = set(re.findall(r'accept comment "([^"]+)"', rules))
    assert allowed == {"ssh"} | {rule["name"] for rule in expected["hardening_firewall_allowed"]}


def test_pods_and_services_are_closed_to_everybody_outside(host: Host, expected: Expected) -> None:
    networks = set(expected["hardening_firewall_internal_networks"])
    if not (expected["hardening_firewall"] and networks):
        pytest.skip("the site has another firewall, or keeps these networks open")
    rules = host.check_output("nft --stateless list chain inet hardening prerouting")
    assert "hook prerouting priority raw" in rules
    closed = re.findall(r"ip6? [sd]addr (?:\{ )?([^}]+?)(?: \})? drop", rules)
    assert {network for line in closed for network in line.split(", ")} == networks


def test_the_host_is_no_router(host: Host, expected: Expected) -> None:
    if not expected["hardening_firewall"]:
        pytest.skip("the site has another firewall")
    assert "policy drop" in host.check_output("nft --stateless list chain inet hardening forward")


def test_the_firewall_is_kept_for_the_next_boot(host: Host, expected: Expected) -> None:
    if not expected["hardening_firewall"]:
        pytest.skip("the site has another firewall")
    assert host.service("hardening-firewall").is_enabled
    assert host.check_output("cmp /etc/nftables.d/hardening.nft /etc/nftables.d/hardening.nft.next") == ""
    assert not host.service("hardening-firewall-rollback.timer").is_running


def test_apt_does_nothing_by_itself(host: Host, expected: Expected) -> None:
    if not expected["hardening_unattended_changes_off"]:
        pytest.skip("the site lets hosts update themselves")
    assert host.check_output("apt-config shell enabled APT::Periodic::Enable") == "enabled='0'"


def test_every_audit_rule_is_in_force(host: Host, expected: Expected) -> None:
    if not expected["hardening_auditd"]:
        pytest.skip("the kernel's audit is not this host's")
    assert host.service("auditd").is_running
    written = host.file("/etc/audit/rules.d/50-hardening.rules").content_string.splitlines()
    in_force = host.check_output("auditctl -l").splitlines()
    for kind in ("-w", "-a"):
        of_a_kind = [line for line in written if line.startswith(f"{kind} ")]
        assert len([line for line in in_force if line.startswith(f"{kind} ")]) == len(of_a_kind)
    assert "-w /var/lib/kubelet/config.yaml -p wa -k cluster" in in_force
