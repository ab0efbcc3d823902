"""A machine beside the cluster with the route to pods and services: it gets in by node ports, which ask for a key."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import yaml

from lab.cluster import edge
from lab.hosts import inventory
from lab.machine import ports
from lab.paths import REPO
from lab.shell import attempt, output

SITE = yaml.safe_load((REPO / "inventory/local/group_vars/all/site.yml").read_text())
NETWORKS = [SITE["site_pod_subnet"], SITE["site_service_subnet"]]
GATEWAY_PORT = edge.node_ports()[ports.GATEWAY]
PATIENCE_S = 3

Target = tuple[str, int]


@pytest.fixture(params=inventory.hosts().values())
def router(request: pytest.FixtureRequest) -> Iterator[str]:
    """Uses each node in turn as this machine's route to pods and services."""
    address: str = request.param
    for network in NETWORKS:
        output("ip", "route", "replace", network, "via", address)
    yield address
    for network in NETWORKS:
        attempt("ip", "route", "del", network, "via", address)


def reachable(targets: list[Target]) -> list[Target]:
    """The targets that accept a TCP connection."""

    def connects(target: Target) -> bool:
        try:
            socket.create_connection(target, timeout=PATIENCE_S).close()
        except TimeoutError:
            return False
        return True

    with ThreadPoolExecutor(len(targets)) as pool:
        return [target for target, open_ in zip(targets, pool.map(connects, targets), strict=True) if open_]


def pods(kubectl: Callable[..., str]) -> list[Target]:
    """Every port of the stack's pods at their own addresses."""
    items = json.loads(kubectl("get", "pods", "--namespace", "qwen", "--output", "json"))["items"]
    return [
        (pod["status"]["podIP"], port["containerPort"])
        for pod in items
        if not pod["spec"].get("hostNetwork") and pod["status"]["phase"] == "Running"
        for container in pod["spec"]["containers"]
        for port in container.get("ports", [])
    ]


def services(kubectl: Callable[..., str]) -> list[Target]:
    items = json.loads(kubectl("get", "services", "--all-namespaces", "--output", "json"))["items"]
    return [
        (service["spec"]["clusterIP"], port["port"])
        for service in items
        if service["spec"]["clusterIP"] != "None"
        for port in service["spec"]["ports"]
        if port["protocol"] == "TCP"
    ]


def test_pods_and_services_do_not_answer_a_stranger_that_has_the_route(
    router: str, kubectl: Callable[..., str]
) -> None:
    for targets in (pods(kubectl), services(kubectl)):
        assert targets
        assert all(f"via {router} " in output("ip", "route", "get", address) for address, _ in targets)
        assert reachable(targets) == []


def test_a_node_port_answers_the_same_stranger_and_asks_for_a_key(router: str) -> None:
    with closing(http.client.HTTPConnection(router, GATEWAY_PORT, timeout=PATIENCE_S)) as connection:
        connection.request("GET", "/v1/models")
        with connection.getresponse() as answer:
            assert answer.status == 401
