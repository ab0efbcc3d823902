"""How far the repair of a host is: a function of facts, which a restart of the controller does not change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

from qwen_runtime.repair.nodes import GPU_RESOURCE, Node
from qwen_runtime.repair.record import REPAIRED, Record
from qwen_runtime.repair.settings import Acting

TEST_PODS = {"app.kubernetes.io/name": "repair-test"}


class Step(Enum):
    """IN_SERVICE: nothing is done. TO_TEST: the host was repaired, and no test runs yet. GIVEN_UP: somebody took the
    taint away, so that the host serves again."""

    IN_SERVICE = "in-service"
    DRAINING = "draining"
    DRAINED = "drained"
    TO_TEST = "to-test"
    TESTING = "testing"
    PASSED = "passed"
    FAILED = "failed"
    GIVEN_UP = "given-up"


@dataclass(frozen=True, slots=True)
class State:
    step: Step
    why: str = ""


def find(node: Node, record: Record, pods: Sequence[dict[str, Any]], now_s: float, limits: Acting) -> State:
    """State of a host. `pods` are all that are on it."""
    if not node.tainted:
        return State(Step.GIVEN_UP if record.begun else Step.IN_SERVICE)
    if record.begun is None:
        return State(Step.FAILED, "a taint without a record of what was begun")
    holders = holding(pods)
    if holders:
        if now_s > record.begun.since_s + limits.drain_s:
            names = ", ".join(pod["metadata"]["name"] for pod in holders)
            return State(Step.FAILED, f"after {limits.drain_s} s still there: {names}")
        return State(Step.DRAINING)
    repaired = REPAIRED in node.annotations or node.boot_id != record.begun.boot_id
    if not repaired:
        return State(Step.DRAINED, record.begun.fault)
    if node.gpus < limits.gpus:
        return State(Step.DRAINED, f"{node.gpus} GPUs of {limits.gpus} after {record.begun.fault}")
    test = next((pod for pod in pods if is_test(pod)), None)
    return State(Step.TO_TEST) if test is None else _of_test(test, now_s, limits)


def holding(pods: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Pods that hold GPUs, but for tests."""
    return [pod for pod in pods if _holds(pod) and not is_test(pod)]


def is_test(pod: dict[str, Any]) -> bool:
    labels: dict[str, str] = pod["metadata"].get("labels", {})
    return TEST_PODS.items() <= labels.items()


def _of_test(pod: dict[str, Any], now_s: float, limits: Acting) -> State:
    phase = pod.get("status", {}).get("phase", "Pending")
    if phase == "Succeeded":
        return State(Step.PASSED)
    if phase == "Failed":
        return State(Step.FAILED, f"the test failed: kubectl logs {pod['metadata']['name']}")
    created_s = float(pod["metadata"]["annotations"]["qwen-onprem/created"])
    if now_s > created_s + limits.test_s:
        return State(Step.FAILED, f"the test did not end within {limits.test_s} s")
    return State(Step.TESTING)


def _holds(pod: dict[str, Any]) -> bool:
    if pod.get("status", {}).get("phase") in ("Succeeded", "Failed"):
        return False
    containers = pod.get("spec", {}).get("containers", [])
    return any(GPU_RESOURCE in container.get("resources", {}).get("limits", {}) for container in containers)
