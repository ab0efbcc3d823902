"""Hosts have no way out: routing tables and a refused name show it; nothing is sent."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from lab.hosts import inventory, network, rack
from lab.shell import attempt, output


@pytest.mark.parametrize("host", inventory.hosts())
def test_a_host_has_one_network_and_its_gateway_refuses_to_forward(host: str) -> None:
    routes = output("podman", "exec", rack.PREFIX + host, "ip", "route").splitlines()
    outward = [r.strip() for r in routes if r.startswith("default")]
    assert [route.split(" dev ")[0] for route in outward] == [f"default via {network.GATEWAY}"]
    rules = output("iptables", "-S", "FORWARD")
    assert f"-A FORWARD -i {network.bridge_name()} ! -o {network.bridge_name()}" in rules
    first = next(r for r in rules.splitlines() if r.startswith("-A"))
    assert f"--comment {network.NAME} -j REJECT" in first, "refused before any other rule can accept"


@pytest.mark.parametrize("host", inventory.hosts())
def test_a_name_outside_the_rack_does_not_resolve(host: str) -> None:
    assert attempt("podman", "exec", rack.PREFIX + host, "getent", "hosts", "example.org").returncode == 2
    assert attempt("podman", "exec", rack.PREFIX + host, "getent", "hosts", network.MIRROR_NAME).returncode == 0


@pytest.mark.parametrize("host", inventory.hosts())
def test_apt_knows_the_mirror_only(host: str) -> None:
    listed = subprocess.run(
        ["podman", "exec", rack.PREFIX + host, "apt-get", "indextargets", "--format", "$(SITE)"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert set(listed.split()) == {f"https://{network.MIRROR_NAME}/apt"}
    assert not Path("/etc/apt/sources.list.d/site.sources").exists(), "the machine's own apt is not touched"
