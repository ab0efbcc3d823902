"""A site of one GPU host, with the API and Prometheus as stand-ins."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from qwen_runtime.repair.controller import Controller
from qwen_runtime.repair.settings import Acting, Settings
from qwen_runtime.repair.web import Api, Prometheus

from tests.fakes.kubernetes_api import Cluster
from tests.fakes.prometheus_api import Measured

NAMESPACE = "qwen"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


class Site:
    def __init__(self, api: Cluster, prometheus: Measured) -> None:
        self.api, self.prometheus = api, prometheus
        self.host("gpu1")
        self.skew_s = 0.0
        self.controller = self.started()

    def host(self, name: str, boot_id: str = "first-boot", exporter_age_s: float = 86_400) -> None:
        """Host with its exporter, which has run for this long."""
        started = datetime.fromtimestamp(self.prometheus.now_s - exporter_age_s, timezone.utc).isoformat()
        self.api.put(
            f"/api/v1/nodes/{name}",
            metadata={"labels": {"nvidia.com/gpu.present": "true"}},
            status={
                "nodeInfo": {"bootID": boot_id},
                "conditions": [{"type": "Ready", "status": "True"}],
                "allocatable": {"nvidia.com/gpu": "8"},
            },
            spec={},
        )
        self.api.put(
            f"/api/v1/namespaces/{NAMESPACE}/pods/exporter-{name}",
            metadata={"labels": {"app.kubernetes.io/name": "dcgm-exporter"}},
            spec={"nodeName": name},
            status={"containerStatuses": [{"state": {"running": {"startedAt": started}}}]},
        )

    def started(self, acting: Acting | None = None) -> Controller:
        """A controller that has just started, and so knows nothing."""
        settings = Settings(NAMESPACE, self.prometheus.url, stale_s=60, expire_s=600, interval_s=15, acting=acting)
        prometheus = Prometheus(self.prometheus.url)
        return Controller(settings, Api(self.api.url), prometheus, lambda: self.prometheus.now_s + self.skew_s)

    def act(self) -> None:
        """Starts a controller anew, with one action for each host and two for all in an hour."""
        container = {"name": "test", "image": "runtime", "resources": {"limits": {}}}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {}, "spec": {"containers": [container]}}
        self.controller = self.started(Acting(1, 2, drain_s=600, test_s=300, gpus=8, test_pod=pod))

    def passes(self, count: int = 1) -> None:
        for _ in range(count):
            self.controller.attempt()

    def engine(self, name: str, node: str = "gpu1") -> None:
        container = {"resources": {"limits": {"nvidia.com/gpu": "4"}}}
        spec = {"nodeName": node, "containers": [container]}
        self.api.put(f"{PODS}/{name}", metadata={"labels": {}}, spec=spec, status={"phase": "Running"})

    def ends(self, name: str) -> None:
        del self.api.objects[f"{PODS}/{name}"]

    def protect(self, name: str) -> None:
        self.api.protected.add(f"{PODS}/{name}")

    def repaired(self, node: str) -> None:
        """A person's word."""
        self.node(node)["metadata"]["annotations"]["qwen-onprem/repaired"] = "yes"

    def node(self, name: str) -> dict[str, Any]:
        return self.api.objects[f"/api/v1/nodes/{name}"]

    def node_pod(self, name: str) -> dict[str, Any]:
        return self.api.objects[f"{PODS}/{name}"]

    def tests(self) -> list[dict[str, Any]]:
        return self.api.named(f"{PODS}/repair-test-")

    def tainted(self, name: str) -> bool:
        return any(taint["key"] == "qwen-onprem/repair" for taint in self.node(name)["spec"].get("taints", []))

    def step(self, name: str) -> str:
        return self.controller.figures.states[name].step.value

    def asked(self, method: str, end: str) -> list[str]:
        return [path for how, path, _ in self.api.asked if how == method and path.endswith(end)]

    def told(self) -> list[str]:
        return [event["message"] for event in self.api.named("/api/v1/namespaces/default/events/")]
