"""A controller that may act drains the host of a broken GPU, and brings it back after a repair and a test."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from qwen_runtime.repair.controller import Controller
from qwen_runtime.repair.record import is_tainted
from qwen_runtime.repair.settings import Acting, Settings
from qwen_runtime.repair.web import Api, Prometheus

from lab.cluster.stack import NAMESPACE
from lab.paths import BIN, KUBECONFIG
from tests.faults.alert_receiver import Kubectl
from tests.support.waiting import wait_until

PROMETHEUS = "http://127.0.0.1:9090"
PATIENCE_S = 300
# Entries of the lab's stack with their replicas.
SERVERS = {"model-server": 2, "model-server-reference": 1}


@pytest.fixture
def hands(kubectl: Kubectl) -> Iterator[Controller]:
    """A controller that may act, beside the stack's, which observes; afterwards everything serves again."""
    with proxied() as url:
        try:
            for server in SERVERS:
                # Disruption budgets forbid to empty the only host of two replicas.
                kubectl("--namespace", NAMESPACE, "scale", f"deployment/{server}", "--replicas=1")
            stacks = json.loads(kubectl("--namespace", NAMESPACE, "get", "deployment/repair", "--output=json"))
            image = stacks["spec"]["template"]["spec"]["containers"][0]["image"]
            acting = Acting(1, 1, drain_s=300, test_s=300, gpus=8, test_pod=loaded(image))
            settings = Settings(NAMESPACE, PROMETHEUS, stale_s=20, expire_s=120, interval_s=5, acting=acting)
            yield Controller(settings, Api(url), Prometheus(PROMETHEUS))
        finally:
            for node in filter(is_tainted, json.loads(kubectl("get", "nodes", "--output=json"))["items"]):
                kubectl("taint", "node", node["metadata"]["name"], "qwen-onprem/repair-")
            kubectl("annotate", "nodes", "--all", "qwen-onprem/repair-", "qwen-onprem/repaired-")
            for server, replicas in SERVERS.items():
                kubectl("--namespace", NAMESPACE, "scale", f"deployment/{server}", f"--replicas={replicas}")
            for server in SERVERS:
                kubectl("--namespace", NAMESPACE, "rollout", "status", f"deployment/{server}", "--timeout=300s")


@contextmanager
def proxied() -> Iterator[str]:
    """Address of the cluster's API on this machine, without a login."""
    command = [BIN / "kubectl", "--kubeconfig", KUBECONFIG, "proxy", "--port=0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://{process.stdout.readline().strip().rpartition(' ')[2]}"
        finally:
            process.terminate()


def loaded(image: str) -> dict[str, Any]:
    """Stand-in for the pod of the loaded test, which needs real GPUs: it holds them and computes nothing."""
    container = {
        "name": "test",
        "image": image,
        "command": ["python3", "-c", "import time; time.sleep(5)"],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
    }
    spec = {"restartPolicy": "Never", "runtimeClassName": "nvidia", "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": spec}


def test_a_broken_host_is_drained_tested_after_its_repair_and_serves_again(
    hands: Controller, gpus: Callable[[list[dict[str, Any]]], None], kubectl: Kubectl
) -> None:
    def step_is(wanted: str) -> bool:
        hands.attempt()
        return wanted in {state.step.value for state in hands.figures.states.values()}

    wait_until(lambda: step_is("in-service"), "a first pass", PATIENCE_S)
    gpus([{"xid": 95}, *[{}] * 7])
    wait_until(lambda: step_is("draining"), "the drain's begin", PATIENCE_S)
    [node] = [name for name, state in hands.figures.states.items() if state.step.value == "draining"]
    wait_until(lambda: step_is("drained"), "a host without engines", PATIENCE_S)
    gpus([{}] * 8)
    kubectl("annotate", f"node/{node}", "qwen-onprem/repaired=by-a-test")
    wait_until(lambda: step_is("testing"), "the loaded test", PATIENCE_S)
    assert is_tainted(json.loads(kubectl("get", f"node/{node}", "--output=json")))
    wait_until(lambda: step_is("passed"), "the test's end", PATIENCE_S)
    wait_until(lambda: step_is("in-service"), "the host in service", PATIENCE_S)
    assert not is_tainted(json.loads(kubectl("get", f"node/{node}", "--output=json")))
