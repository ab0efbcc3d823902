"""The stack's own controller, which may act, drains the host of a broken GPU by its own rights, and brings it back.

Faults are simulated at the readings of GPUs. A stand-in takes the place of the loaded test, which needs real GPUs. The
last lines of the output are the table of docs/operate/repair.md.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import openai
import pytest
import yaml
from qwen_runtime.repair.record import is_tainted

from lab.cluster import stack
from lab.cluster.ask import wait as wait_for_the_gateway
from lab.cluster.stack import NAMESPACE
from lab.hosts import inventory
from tests.faults import breaking
from tests.faults.alert_receiver import Kubectl
from tests.support.waiting import wait_until

PATIENCE_S = 300
HOST = next(iter(inventory.hosts("gpu")))
# Entries of the lab's stack with their replicas.
SERVERS = {"model-server": 2, "model-server-reference": 1}
SETTINGS, STAND_IN = "repair.json", "repair-of-a-test"
STOP = ("--namespace", NAMESPACE, "configmap", "repair-stop")


@pytest.fixture
def acting(kubectl: Kubectl, tmp_path: Path) -> Iterator[None]:
    """The stack with `mode: act`; afterwards it observes again and everything serves."""
    kept = stack.CONFIG.read_text()
    settings = yaml.safe_load(kept)
    settings["config"]["qwen-onprem:repair"] |= {"mode": "act", "testSeconds": 5}
    with ExitStack() as back:
        back.callback(serve_again, kubectl, kept)
        for server in SERVERS:
            # Disruption budgets forbid to empty the only host of two replicas.
            breaking.scale(kubectl, server, 1)
        stack.CONFIG.write_text(yaml.safe_dump(settings, sort_keys=False))
        stack.up()
        stand_in_for_the_test(kubectl, tmp_path / "settings.json")
        yield


def serve_again(kubectl: Kubectl, kept: str) -> None:
    kubectl("--namespace", NAMESPACE, "delete", "configmap/repair-stop", f"configmap/{STAND_IN}", "--ignore-not-found")
    stack.CONFIG.write_text(kept)
    stack.up()
    if is_tainted(node(kubectl)):
        kubectl("taint", "node", HOST, "qwen-onprem/repair-")
    kubectl("annotate", "node", HOST, "qwen-onprem/repair-", "qwen-onprem/repaired-")
    for server, replicas in SERVERS.items():
        breaking.scale(kubectl, server, replicas)
    stack.wait()
    wait_for_the_gateway()


def stand_in_for_the_test(kubectl: Kubectl, file: Path) -> None:
    """Let the pod of the loaded test hold its GPUs and compute nothing; all else is as the stack says."""
    named = ("--namespace", NAMESPACE)
    volumes = json.loads(kubectl(*named, "get", "deployment/repair", "--output=json"))["spec"]["template"]["spec"][
        "volumes"
    ]
    [(index, name)] = [(at, one["configMap"]["name"]) for at, one in enumerate(volumes) if one["name"] == "config"]
    settings = json.loads(kubectl(*named, "get", f"configmap/{name}", "--output=json"))["data"][SETTINGS]
    changed = json.loads(settings)
    container = changed["acting"]["test_pod"]["spec"]["containers"][0]
    container |= {"command": ["sleep", "5"], "args": []}
    container["resources"] = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}}
    made = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": STAND_IN, "namespace": NAMESPACE},
        "data": {SETTINGS: json.dumps(changed)},
    }
    file.write_text(json.dumps(made))
    kubectl("apply", "-f", str(file))
    path = f"/spec/template/spec/volumes/{index}/configMap/name"
    patch = json.dumps([{"op": "replace", "path": path, "value": STAND_IN}])
    kubectl(*named, "patch", "deployment/repair", "--type=json", "--patch", patch)
    kubectl(*named, "rollout", "status", "deployment/repair", "--timeout=120s")


def node(kubectl: Kubectl) -> Any:
    return json.loads(kubectl("get", f"node/{HOST}", "--output=json"))


def said(kubectl: Kubectl, words: str) -> bool:
    """Whether the controller has said this."""
    return words in kubectl("--namespace", NAMESPACE, "logs", "deployment/repair")


def engines(kubectl: Kubectl) -> list[str]:
    """Phases of the pods that hold GPUs at the host. A power cut leaves pods that failed, which the cluster keeps."""
    living = ("--field-selector", "status.phase!=Failed")
    pods = json.loads(kubectl("--namespace", NAMESPACE, "get", "pods", *living, "--output=json"))["items"]
    own = [pod for pod in pods if pod["metadata"]["labels"]["app.kubernetes.io/name"] in SERVERS]
    return [pod["status"]["phase"] for pod in own if pod["spec"].get("nodeName") == HOST]


def test_a_broken_host_is_drained_by_the_stacks_own_rights_and_serves_again_after_a_test(
    acting: None,
    gpus: Callable[[list[dict[str, Any]]], None],
    kubectl: Kubectl,
    client: openai.OpenAI,
    model: str,
) -> None:
    begun, steps = time.monotonic(), []

    def wait(step: str, condition: Callable[[], Any]) -> None:
        wait_until(condition, step, PATIENCE_S)
        steps.append((step, time.monotonic() - begun))

    kubectl("create", *STOP)
    gpus([{"xid": 95}, *[{}] * 7])
    wait("told, and left alone: repair-stop is there", lambda: said(kubectl, "left alone: configmap/repair-stop"))
    assert not is_tainted(node(kubectl))
    assert "Running" in engines(kubectl)

    kubectl("delete", *STOP)
    wait("repair-stop deleted: the host is tainted", lambda: is_tainted(node(kubectl)))
    wait("no engine is left on it", lambda: not engines(kubectl))
    wait("drained, waits for a person", lambda: said(kubectl, f"{HOST}: drained"))
    assert is_tainted(node(kubectl))

    gpus([{}] * 8)
    kubectl("annotate", f"node/{HOST}", "qwen-onprem/repaired=by-a-test")
    wait("a person said it is repaired: the test begins", lambda: said(kubectl, f"{HOST}: to-test"))
    wait("the test passed: the taint is gone", lambda: not is_tainted(node(kubectl)))
    assert "qwen-onprem/repaired" not in node(kubectl)["metadata"]["annotations"]
    wait("engines run again", lambda: engines(kubectl).count("Running") == len(SERVERS))
    stack.wait()
    wait_for_the_gateway()
    answer = client.completions.create(model=model, prompt="1, 2,", max_tokens=2)
    assert answer.choices[0].text
    steps.append(("an answer", time.monotonic() - begun))
    tests = ("--namespace", NAMESPACE, "get", "pods", "--selector=app.kubernetes.io/name=repair-test", "--output=name")
    wait_until(lambda: not kubectl(*tests), "the end of the test's pod")
    print("\n| step | after |\n|---|---|")
    print("\n".join(f"| {step} | {after:.0f} s |" for step, after in steps))
