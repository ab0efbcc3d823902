"""The cluster is the one that the inventory describes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from testinfra.host import Host

from ..inventory import Expected, hosts

KUBECTL = "kubectl --kubeconfig=/etc/kubernetes/admin.conf"


def get(host: Host, what: str) -> Any:
    return json.loads(host.check_output(f"{KUBECTL} get {what} --output=json"))


@pytest.fixture(scope="module")
def nodes(host: Host) -> dict[str, Any]:
    return {node["metadata"]["name"]: node for node in get(host, "nodes")["items"]}


def test_nodes_are_the_inventorys_hosts(nodes: dict[str, Any]) -> None:
    assert set(nodes) == set(hosts("cluster"))


def test_every_node_is_ready(nodes: dict[str, Any]) -> None:
    for name, node in nodes.items():
        ready = next(c for c in node["status"]["conditions"] if c["type"] == "Ready")
        assert ready["status"] == "True", f"{name}: {ready['message']}"


def test_every_node_runs_the_pinned_version(nodes: dict[str, Any], expected: Expected) -> None:
    versions = {node["status"]["nodeInfo"]["kubeletVersion"] for node in nodes.values()}
    assert versions == {f"v{expected['kubernetes_version']}"}


def test_every_node_has_its_address_and_labels(nodes: dict[str, Any]) -> None:
    for name, node in nodes.items():
        wanted = Expected(name)
        addresses = {entry["address"] for entry in node["status"]["addresses"] if entry["type"] == "InternalIP"}
        assert addresses == {wanted["kubernetes_node_ip"]}
        assert wanted["kubernetes_node_labels"].items() <= node["metadata"]["labels"].items()


def test_the_api_says_it_is_ready(host: Host) -> None:
    assert host.check_output(f"{KUBECTL} get --raw /readyz") == "ok"


def test_system_pods_run(host: Host) -> None:
    pods = [pod for space in ("kube-system", "kube-flannel") for pod in get(host, f"pods --namespace={space}")["items"]]
    assert pods
    for pod in pods:
        ready = [container["ready"] for container in pod["status"].get("containerStatuses", [])]
        assert ready, f"{pod['metadata']['name']} has not started"
        assert all(ready), f"{pod['metadata']['name']} is not ready"


def test_flannel_asks_the_api_without_kube_proxy(host: Host, expected: Expected) -> None:
    endpoint, _, port = expected["kubernetes_api_endpoint"].rpartition(":")
    environment = host.check_output(f"{KUBECTL} --namespace=kube-flannel exec daemonset/kube-flannel -- env")
    assert {f"KUBERNETES_SERVICE_HOST={endpoint}", f"KUBERNETES_SERVICE_PORT={port}"} <= set(environment.splitlines())


def test_no_pod_came_to_a_node_before_its_network(host: Host) -> None:
    """The events of an hour tell; where flannel has been started anew, pods that were there already met none."""
    flannel = get(host, "pods --namespace=kube-flannel")["items"]
    steady = {pod["spec"]["nodeName"] for pod in flannel if not pod["status"]["containerStatuses"][0]["restartCount"]}
    refused = get(host, "events --all-namespaces --field-selector=reason=FailedCreatePodSandBox")["items"]
    early = [event for event in refused if "/run/flannel/subnet.env" in event["message"]]
    assert not [event["message"] for event in early if event["source"]["host"] in steady]
