"""kube-router enforces network policies beside flannel and kube-proxy, and touches the work of neither."""

from __future__ import annotations

from typing import Any

import yaml

from .rendering import evaluate, render

NETWORK = {"pod_network_api_endpoint": "10.20.0.10:8443", "pod_network_policy_image": "registry/kube-router:v2"}


def objects(**variables: Any) -> dict[str, Any]:
    text = render("pod_network/templates/kube-router.yaml.j2", **(NETWORK | variables))
    return {item["kind"]: item for item in yaml.safe_load_all(text)}


def container(**variables: Any) -> dict[str, Any]:
    [only] = objects(**variables)["DaemonSet"]["spec"]["template"]["spec"]["containers"]
    return only


def test_it_is_the_firewall_and_neither_router_nor_proxy() -> None:
    arguments = container(pod_network_service_subnet="10.97.0.0/16")["args"]
    assert {"--run-firewall=true", "--run-router=false", "--run-service-proxy=false"} <= set(arguments)
    assert "--service-cluster-ip-range=10.97.0.0/16" in arguments


def test_it_runs_on_every_node_and_asks_the_api_without_kube_proxy() -> None:
    pod = objects()["DaemonSet"]["spec"]["template"]["spec"]
    assert pod["tolerations"] == [{"operator": "Exists"}]
    assert pod["hostNetwork"] is True
    environment = {entry["name"]: entry.get("value") for entry in container()["env"]}
    assert (environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]) == ("10.20.0.10", "8443")


def test_it_may_read_and_change_nothing() -> None:
    verbs = {verb for rule in objects()["ClusterRole"]["rules"] for verb in rule["verbs"]}
    assert verbs == {"get", "list", "watch"}


def test_a_host_waits_for_it_only_where_the_site_has_it() -> None:
    for image, wanted in (("registry/kube-router:v2", True), ("", False)):
        awaited = evaluate("pod_network", "__pod_network_awaited", **(NETWORK | {"pod_network_policy_image": image}))
        assert {part["what"]: part["wanted"] for part in awaited}["a pod of kube-router"] is wanted
