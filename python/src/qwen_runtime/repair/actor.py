"""The hands of the controller: begins repairs within limits, and takes those that were begun a step further."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from qwen_runtime.repair import record, steps
from qwen_runtime.repair.events import Event
from qwen_runtime.repair.nodes import GPU_RESOURCE, Node
from qwen_runtime.repair.record import Record
from qwen_runtime.repair.settings import Acting
from qwen_runtime.repair.steps import State, Step
from qwen_runtime.repair.table import Action
from qwen_runtime.repair.web import Api, Refused

JSON_PATCH = "application/json-patch+json"
STOP = "repair-stop"


class Actor:
    """`states` are those of the last pass, by node; `held` are the reasons for which a fault is left alone."""

    def __init__(self, limits: Acting, namespace: str, api: Api) -> None:
        self.states: dict[str, State] = {}
        self.held: dict[str, str] = {}
        self._limits = limits
        self._namespace = namespace
        self._api = api
        self._records: dict[str, Record] = {}

    def advance(self, nodes: Mapping[str, Node], now_s: float) -> None:
        """Takes each repair a step further. One step of a host is made in one pass."""
        self.states, self._records = {}, {}
        stopped = self._stopped()
        for name, node in nodes.items():
            try:
                known = record.read(node.annotations)
            except record.Unreadable as problem:
                self.states[name] = State(Step.FAILED, str(problem))
                continue
            self._records[name] = known
            pods = self._pods(node) if node.tainted else []
            state = self.states[name] = steps.find(node, known, pods, now_s, self._limits)
            if not stopped:
                self._step(node, state, pods, now_s)

    def begin(self, events: Iterable[Event], nodes: Mapping[str, Node], now_s: float) -> None:
        """Acts on the gravest fault of each host that is in service."""
        self.held = {}
        stopped = self._stopped()
        gravest: dict[str, Event] = {}
        for event in events:
            over = event.node not in self._records or event.at_s <= self._records[event.node].until_s
            if event.row.action is not Action.IGNORE and not over:
                gravest[event.node] = max(event, gravest.get(event.node, event), key=lambda one: one.row.action)
        for name, event in gravest.items():
            reason = f"configmap/{STOP} is there" if stopped else self._why_not(nodes[name], now_s)
            if reason:
                self.held[name] = reason
            elif event.row.action is Action.RESTART:
                self._restart(nodes[name], event, now_s)
            else:
                self._write(nodes[name], self._records[name].began(now_s, event), tainted=True)
                _log(f"{name}: draining because of {event.row.fault} of GPU {event.gpu}")

    def _why_not(self, node: Node, now_s: float) -> str:
        """The reason for leaving a host alone, or nothing."""
        step = self.states[node.name].step
        if step is not Step.IN_SERVICE:
            return f"the host is {step.value}"
        if node.cordoned or not node.ready:
            return "the host is cordoned or not ready: somebody is at work there, or it is away"
        if self._records[node.name].recent(now_s) >= self._limits.per_node_hour:
            return f"{self._limits.per_node_hour} actions at this host within an hour"
        if sum(known.recent(now_s) for known in self._records.values()) >= self._limits.per_fleet_hour:
            return f"{self._limits.per_fleet_hour} actions at all hosts within an hour"
        return ""

    def _restart(self, node: Node, event: Event, now_s: float) -> None:
        """Restarts the pod that has the GPU. The API does not say which pod has which GPU, so there must be one."""
        holders = steps.holding(self._pods(node))
        if len(holders) != 1:
            self.held[node.name] = f"{len(holders)} pods hold GPUs there, and one is needed to know whose fault it is"
            return
        # Written first: a pod that cannot be evicted now is not tried for ever.
        if self._write(node, self._records[node.name].acted(now_s, event), tainted=False):
            self._evict(holders[0])

    def _step(self, node: Node, state: State, pods: list[dict[str, Any]], now_s: float) -> None:
        if state.step is Step.DRAINING:
            for pod in steps.holding(pods):
                self._evict(pod)
        elif state.step is Step.TO_TEST and node.ready:
            self._create_test(node, now_s)
        elif state.step is Step.PASSED:
            self._end(node, now_s)
            for pod in filter(steps.is_test, pods):
                self._ask("DELETE", _path(pod), {})
            _log(f"{node.name}: back in service")
        elif state.step is Step.GIVEN_UP:
            self._end(node, now_s)
            _log(f"{node.name}: somebody took the taint away; the repair is given up")

    def _end(self, node: Node, now_s: float) -> None:
        self._write(node, self._records[node.name].ended(now_s), tainted=False)

    def _create_test(self, node: Node, now_s: float) -> None:
        pod = copy.deepcopy(self._limits.test_pod)
        pod["metadata"] |= {
            "name": f"repair-test-{node.name}-{int(now_s)}",
            "labels": steps.TEST_PODS,
            "annotations": {"qwen-onprem/created": str(now_s)},
        }
        spec = pod["spec"]
        # Past the scheduler's search for a node, and through the kubelet's own count of GPUs.
        spec["nodeName"] = node.name
        spec["containers"][0]["resources"]["limits"][GPU_RESOURCE] = str(node.gpus)
        self._ask("POST", f"/api/v1/namespaces/{self._namespace}/pods", pod)

    def _evict(self, pod: dict[str, Any]) -> None:
        """Asks for the end of a pod. It leaves the gateway at once, and its requests have its grace period; budgets
        may refuse for now."""
        metadata = pod["metadata"]
        if "deletionTimestamp" not in metadata:
            named = {"name": metadata["name"], "namespace": metadata["namespace"]}
            body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": named}
            self._ask("POST", f"{_path(pod)}/eviction", body)

    def _write(self, node: Node, known: Record, tainted: bool) -> bool:
        """Whether the API took it: a node that has changed meanwhile is looked at again in the next pass."""
        operations = record.patch(node.body, known, tainted)
        written = self._ask("PATCH", f"/api/v1/nodes/{node.name}", operations, JSON_PATCH)
        if written:
            self._records[node.name] = known
        return written

    def _ask(self, method: str, path: str, body: Any, content: str = "application/json") -> bool:
        try:
            self._api.ask(method, path, body, content)
        except Refused as refusal:
            _log(f"{method} {path}: {refusal}")
            return False
        return True

    def _pods(self, node: Node) -> list[dict[str, Any]]:
        return self._api.list("/api/v1/pods", fieldSelector=f"spec.nodeName={node.name}")

    def _stopped(self) -> bool:
        try:
            self._api.ask("GET", f"/api/v1/namespaces/{self._namespace}/configmaps/{STOP}")
        except Refused as refusal:
            # Whoever may not look must not act.
            return refusal.status != HTTPStatus.NOT_FOUND
        return True


def _path(pod: dict[str, Any]) -> str:
    return f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{pod['metadata']['name']}"


def _log(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
