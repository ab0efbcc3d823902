"""The control plane as a whole: certificates that live on, etcd with a majority to spare, an address that moves."""

from __future__ import annotations

import json

import pytest
from testinfra.host import Host

from ..etcd import ETCDCTL
from ..inventory import Expected, hosts

DAY_S = 86400


def test_no_certificate_is_near_its_end(host: Host, expected: Expected) -> None:
    certificates = json.loads(host.check_output("kubeadm certs check-expiration --output=json"))["certificates"]
    left = {entry["name"]: entry["residualTime"] / DAY_S for entry in certificates if not entry["missing"]}
    assert len(left) >= 9
    assert min(left.values()) > expected["kubernetes_certificate_days"], left


def test_etcd_has_a_healthy_member_on_every_host_of_the_control_plane(host: Host, expected: Expected) -> None:
    members = json.loads(host.check_output(f"{ETCDCTL} member list --write-out=json"))["members"]
    assert {member["name"] for member in members} == set(expected["kubernetes_control_plane_hosts"])
    assert not [member for member in members if member.get("isLearner")]
    assert host.run(f"{ETCDCTL} endpoint health --cluster").rc == 0


def test_one_host_has_the_virtual_address(node: str, host: Host, expected: Expected) -> None:
    address = expected["api_endpoint_virtual_ip"]
    if not address:
        pytest.skip("the API has no address of its own")
    first = hosts("control_plane")[0]
    interface = host.check_output("ip -oneline -4 address show to %s", expected["api_endpoint_node_ip"]).split()[1]
    assert (address in host.interface(interface).addresses) is (node == first), "while it lives, the first host has it"


def test_the_proxy_and_its_partner_run_now_and_at_boot(host: Host, expected: Expected) -> None:
    if not expected["api_endpoint_virtual_ip"]:
        pytest.skip("the API has no address of its own")
    for name in ("haproxy", "keepalived"):
        assert host.service(name).is_running
        assert host.service(name).is_enabled


def test_what_is_forwarded_answers_at_the_virtual_address(host: Host, expected: Expected) -> None:
    forwards = expected["api_endpoint_forwards"]
    if not expected["api_endpoint_virtual_ip"] or not forwards:
        pytest.skip("nothing but the API is at the address")
    for forward in forwards:
        connects = f"exec 3<>/dev/tcp/{expected['api_endpoint_virtual_ip']}/{forward['port']}"
        assert host.run("timeout 5 bash -c %s", connects).rc == 0, forward["name"]
