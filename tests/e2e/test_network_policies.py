"""Network policies hold in the running cluster: what the stack needs gets through, and everything else does not."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lab.cluster.stack import NAMESPACE
from lab.hosts import inventory
from lab.paths import BIN, KUBECONFIG

# Prints the number of each target that accepts a connection. A refused packet may be answered or dropped.
LOOK = """
number=0
for target; do
  (timeout 3 bash -c "exec 3<>/dev/tcp/$target" && echo $number) 2>/dev/null &
  number=$((number + 1))
done
wait
"""
Kubectl = Callable[..., str]
Target = tuple[str, int]


def look(kubectl: Kubectl, pod: str, targets: list[Target]) -> list[Target]:
    """Targets that accept a connection from inside a pod."""
    places = [f"{host}/{port}" for host, port in targets]
    found = kubectl("--namespace", NAMESPACE, "exec", pod, "--", "bash", "-c", LOOK, "look", *places)
    return [targets[number] for number in sorted(map(int, found.split()))]


def running(kubectl: Kubectl, name: str) -> list[Any]:
    """Pods of a part of the stack that run and stay."""
    labelled = (f"--selector=app.kubernetes.io/name={name}", "--field-selector=status.phase=Running", "--output=json")
    pods = json.loads(kubectl("--namespace", NAMESPACE, "get", "pods", *labelled))["items"]
    return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]


def address(kubectl: Kubectl, name: str) -> str:
    return running(kubectl, name)[0]["status"]["podIP"]


@pytest.fixture(params=inventory.hosts())
def stray(request: pytest.FixtureRequest, kubectl: Kubectl) -> Iterator[str]:
    """A pod of the stack's namespace on each node in turn, that no policy names. Every node has the gateway's image."""
    image = running(kubectl, "gateway")[0]["spec"]["containers"][0]["image"]
    login = json.loads(kubectl("--namespace", NAMESPACE, "get", "deployment", "gateway", "--output=json"))
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "stray", "namespace": NAMESPACE},
        "spec": {
            "nodeName": request.param,
            "automountServiceAccountToken": False,
            "imagePullSecrets": login["spec"]["template"]["spec"].get("imagePullSecrets", []),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "tolerations": [{"operator": "Exists"}],
            "containers": [
                {
                    "name": "stray",
                    "image": image,
                    "command": ["sleep", "600"],
                    "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
                    "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "128Mi"}},
                }
            ],
        },
    }
    remove = ("--namespace", NAMESPACE, "delete", "pod", "stray", "--ignore-not-found", "--now")
    kubectl(*remove)
    subprocess.run(
        [BIN / "kubectl", "--kubeconfig", KUBECONFIG, "create", "--filename=-"],
        input=json.dumps(pod),
        text=True,
        check=True,
    )
    kubectl("--namespace", NAMESPACE, "wait", "pod", "stray", "--for=condition=Ready", "--timeout=120s")
    yield "stray"
    kubectl(*remove)


def test_kube_router_runs_on_every_node(kubectl: Kubectl) -> None:
    status = json.loads(kubectl("--namespace=kube-flannel", "get", "daemonset", "kube-router", "--output=json"))[
        "status"
    ]
    assert status["numberReady"] == status["desiredNumberScheduled"] == len(inventory.hosts())


def test_a_pod_that_no_policy_names_reaches_nothing_of_the_stack(stray: str, kubectl: Kubectl) -> None:
    """Rules for a new pod are written within seconds of its start, so the first connections may still get through."""
    targets = [
        (address(kubectl, name), port)
        for name, port in (
            ("model-server", 8080), ("model-server", 8081), ("gateway", 8080), ("gateway", 8404),
            ("prometheus", 9090), ("alertmanager", 9093), ("dcgm-exporter", 9400),
        )
    ] + [("kubernetes.default.svc.cluster.local", 443)]  # fmt: skip
    deadline = time.monotonic() + 60
    while opened := look(kubectl, stray, targets):
        assert time.monotonic() < deadline, opened


def test_an_engine_reaches_neither_its_neighbour_nor_the_api_and_nothing_outside(kubectl: Kubectl) -> None:
    first, second = running(kubectl, "model-server")[:2]
    name, neighbour = first["metadata"]["name"], second["status"]["podIP"]
    other = address(kubectl, "model-server-reference")
    mirror = "mirror.lab.internal"
    targets: list[Target] = [
        (neighbour, 8080),
        (other, 8080),
        ("kubernetes.default.svc.cluster.local", 443),
        (mirror, 443),
    ]
    assert look(kubectl, name, targets) == []


def test_what_the_stack_needs_gets_through(kubectl: Kubectl) -> None:
    gateway = running(kubectl, "gateway")[0]["metadata"]["name"]
    prometheus = running(kubectl, "prometheus")[0]["metadata"]["name"]
    engines: list[Target] = [
        (f"{server}.{NAMESPACE}.svc.cluster.local", port)
        for server in ("model-server", "model-server-reference")
        for port in (8080, 8081)
    ]
    for asks, targets in ((gateway, engines), (prometheus, [*engines, ("alertmanager", 9093)])):
        assert look(kubectl, asks, targets) == targets
