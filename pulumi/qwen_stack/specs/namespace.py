"""The namespace that holds the whole stack, and the bounds that it sets to every pod and service in it."""

from __future__ import annotations

from qwen_stack.settings.stack import Settings
from qwen_stack.specs.manifest import GPU_RESOURCE, Manifest, metadata

BOUNDS = "bounds"
# For containers that say nothing themselves, such as those that somebody starts by hand to look for a fault.
UNSAID_REQUEST = {"cpu": "50m", "memory": "64Mi"}
UNSAID_LIMIT = {"memory": "2Gi"}


def namespace(name: str) -> Manifest:
    # Not restricted, which NVIDIA's exporter does not meet: it runs as root.
    labels = {f"pod-security.kubernetes.io/{mode}": "baseline" for mode in ("enforce", "warn", "audit")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def quota(settings: Settings) -> Manifest:
    """Quota of what others on the cluster and on the network would notice: GPUs, and ports on every host."""
    monitoring = settings.monitoring
    given = (settings.gateway.service.node_port, monitoring.prometheus_node_port, monitoring.alertmanager_node_port)
    balanced = settings.gateway.service.type == "LoadBalancer"
    hard = {
        # A load balancer's service takes a node port too.
        "services.nodeports": str(sum(port is not None for port in given) + balanced),
        "services.loadbalancers": str(int(balanced)),
    }
    if settings.gpu_quota is not None:
        hard[f"requests.{GPU_RESOURCE}"] = str(settings.gpu_quota)
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata(BOUNDS), "spec": {"hard": hard}}


def limit_range() -> Manifest:
    limits = {"type": "Container", "defaultRequest": UNSAID_REQUEST, "default": UNSAID_LIMIT}
    return {"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata(BOUNDS), "spec": {"limits": [limits]}}
