"""Manifests of NVIDIA's DCGM exporter: one pod on each GPU node, with that node's GPU metrics."""

from __future__ import annotations

from qwen_stack.specs import manifest
from qwen_stack.specs.alerts import gpu_rules
from qwen_stack.specs.manifest import (
    NO_CLUSTER_ACCESS,
    VISIBLE_DEVICES,
    Manifest,
    container_security,
    gpu_pod,
    probe,
    service,
)

NAME = "dcgm-exporter"
PORT = 9400
COUNTERS_DIR, COUNTERS_FILE = "/etc/dcgm-counters", "counters.csv"


def counters() -> Manifest:
    """List of the fields that the exporter reads, under a name that follows from it."""
    return manifest.fixed_config_map(f"{NAME}-counters", {COUNTERS_FILE: gpu_rules.counters_csv()})


def container(image: str, often_s: int) -> Manifest:
    return {
        "name": NAME,
        "image": image,
        "env": [
            {"name": "DCGM_EXPORTER_LISTEN", "value": f":{PORT}"},
            {"name": "DCGM_EXPORTER_COLLECTORS", "value": f"{COUNTERS_DIR}/{COUNTERS_FILE}"},
            # It asks the driver every half a minute by itself, in milliseconds: older than what Prometheus believes.
            {"name": "DCGM_EXPORTER_INTERVAL", "value": str(1000 * often_s)},
            # With this variable the exporter's label Hostname is the node's name; without it, the pod's.
            {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
            # The exporter reserves no GPU, but sees all of them.
            {"name": VISIBLE_DEVICES, "value": "all"},
        ],
        "ports": [{"name": "metrics", "containerPort": PORT}],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "512Mi"}},
        "readinessProbe": probe("/health", "metrics", period_s=5, failures=3),
        "livenessProbe": probe("/health", "metrics", period_s=10, failures=6),
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "counters", "mountPath": COUNTERS_DIR, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},
        ],
    }


def daemon_set(image: str, runtime_class: str, often_s: int) -> Manifest:
    """Exporter on each GPU host, which asks the driver every `often_s` seconds."""
    pod: Manifest = {
        **NO_CLUSTER_ACCESS,
        **gpu_pod(runtime_class),
        # DCGM's embedded engine opens the driver's device nodes as root; it needs no capability for these fields.
        "securityContext": {"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container(image, often_s)],
        "volumes": [
            {"name": "counters", "configMap": {"name": counters()["metadata"]["name"]}},
            {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}},
        ],
    }
    return manifest.daemon_set(NAME, pod)


def discovery() -> Manifest:
    """Service whose name resolves to every exporter, for Prometheus."""
    return service(NAME, {"metrics": PORT}, clusterIP="None")
