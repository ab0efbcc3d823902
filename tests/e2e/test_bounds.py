"""The cluster itself holds the bounds of the stack's namespace; nothing is created here."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from lab.cluster.stack import NAMESPACE
from lab.paths import BIN, KUBECONFIG

IMAGE = "mirror.lab.internal:5000/debian:bookworm-slim"
HARMLESS = {"name": "look", "image": IMAGE, "securityContext": {"allowPrivilegeEscalation": False}}
HOST_FOLDER = {"volumes": [{"name": "host", "hostPath": {"path": "/etc"}}]}


def refusal(kind: str, spec: dict[str, Any]) -> str:
    """Answer of the API to an object that it is only asked about; empty if it would take it."""
    asked = {"apiVersion": "v1", "kind": kind, "metadata": {"name": "asked", "namespace": NAMESPACE}, "spec": spec}
    command = [BIN / "kubectl", "--kubeconfig", KUBECONFIG, "create", "--dry-run=server", "--filename=-"]
    done = subprocess.run(command, input=json.dumps(asked), text=True, capture_output=True, check=False)
    return done.stderr if done.returncode else ""


@pytest.mark.parametrize(
    "wish",
    [
        {"containers": [HARMLESS], **HOST_FOLDER},
        {"containers": [HARMLESS], "hostNetwork": True},
        {"containers": [{**HARMLESS, "securityContext": {"privileged": True}}]},
    ],
    ids=["host folder", "host network", "privileged"],
)
def test_a_pod_that_asks_for_rights_on_its_host_is_refused(wish: dict[str, Any]) -> None:
    assert 'violates PodSecurity "baseline' in refusal("Pod", wish)
    assert refusal("Pod", {"containers": [HARMLESS]}) == ""


def test_no_further_port_is_opened_on_every_host() -> None:
    ports = [{"port": 80}]
    assert "exceeded quota: bounds" in refusal("Service", {"type": "NodePort", "ports": ports})
    assert "exceeded quota: bounds" in refusal("Service", {"type": "LoadBalancer", "ports": ports})
    assert refusal("Service", {"ports": ports}) == ""


def test_every_pod_of_the_stack_has_its_priority_and_weights_are_a_volume(kubectl: Callable[..., str]) -> None:
    pods = json.loads(kubectl("--namespace", NAMESPACE, "get", "pods", "--output=json"))["items"]
    parts = {pod["metadata"]["labels"].get("app.kubernetes.io/name"): pod["spec"] for pod in pods}
    assert parts["gateway"]["priority"] > parts["model-server"]["priority"] > 0
    sources = {name: source for volume in parts["model-server"]["volumes"] for name, source in volume.items()}
    assert sources["persistentVolumeClaim"]["readOnly"] is True
    assert "hostPath" not in sources
