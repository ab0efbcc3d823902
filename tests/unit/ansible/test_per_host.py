"""Cards and name servers differ from host to host, so they are read on each host."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from .rendering import evaluate, render

RESOLVED = "/run/systemd/resolve/resolv.conf"
STUB = "/etc/resolv.conf:nameserver 127.0.0.53"


def test_flannel_takes_the_interface_of_the_nodes_own_address() -> None:
    text = render("pod_network/templates/flannel.yaml.j2", pod_network_api_endpoint="10.20.0.10:8443")
    daemon = next(item for item in yaml.safe_load_all(text) if item["kind"] == "DaemonSet")
    container: dict[str, Any] = daemon["spec"]["template"]["spec"]["containers"][0]
    assert [argument for argument in container["args"] if "iface" in argument] == ["--iface=$(NODE_ADDRESS)"]
    address = next(variable for variable in container["env"] if variable["name"] == "NODE_ADDRESS")
    assert address["valueFrom"]["fieldRef"]["fieldPath"] == "status.hostIP"


@pytest.mark.parametrize("card", ["eno1", "bond0.20"])
def test_the_virtual_address_moves_to_the_card_that_a_host_really_has(card: str) -> None:
    text = render(
        "api_endpoint/templates/keepalived.conf.j2",
        api_endpoint_virtual_ip="10.20.0.10",
        api_endpoint_node_ip="10.20.0.11",
        api_endpoint_servers={"host1": "10.20.0.11"},
        __api_endpoint_found={"stdout": f"2: {card}    inet 10.20.0.11/24 brd 10.20.0.255 scope global {card}"},
    )
    assert f"    interface {card}\n" in text
    assert f"10.20.0.10/32 dev {card}\n" in text


@pytest.mark.parametrize(
    ("nameservers", "file"),
    [
        ([STUB, f"{RESOLVED}:nameserver 10.20.0.2"], RESOLVED),
        (["/etc/resolv.conf:nameserver 10.20.0.2"], "/etc/resolv.conf"),
        (["/etc/resolv.conf:nameserver 10.20.0.2", f"{RESOLVED}:nameserver 10.20.0.9"], "/etc/resolv.conf"),
        ([STUB, "/etc/resolv.conf:nameserver 10.20.0.2", f"{RESOLVED}:nameserver 10.20.0.9"], "/etc/resolv.conf"),
        ([f"{RESOLVED}:nameserver 10.20.0.2"], RESOLVED),
        ([], "/etc/resolv.conf"),
    ],
    ids=["stub", "no resolved", "resolved that nobody asks", "both", "no servers but resolved's", "none at all"],
)
def test_a_kubelet_reads_the_name_servers_of_its_own_host(nameservers: list[str], file: str) -> None:
    variables = {"__kubernetes_nameservers": {"stdout": "\n".join(nameservers)}, "kubernetes_node_ip": "10.20.0.11"}
    flags = evaluate("kubernetes", "__kubernetes_registration.kubeletExtraArgs", **variables)
    assert {"name": "resolv-conf", "value": file} in flags


def test_a_site_may_name_one_file_for_all_kubelets() -> None:
    settings = {
        "kubernetes_kubelet_config": {"resolvConf": "/etc/site-resolv.conf"},
        "kubernetes_node_ip": "10.20.0.11",
    }
    flags = evaluate("kubernetes", "__kubernetes_registration.kubeletExtraArgs", **settings)
    assert [flag["name"] for flag in flags] == ["node-ip"]
